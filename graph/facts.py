"""What a text claims, in a form that can be compared: numbers, dates, times, addresses, names, quotations.

Made for customer service in Chinese and English, not for language in general: `七天`, `7 天` and `7 days` are one fact,
`3个工作日` and `3天` are two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from graph.units import CURRENCY, UNIT, UNITS, in_digits

Kind = Literal["number", "date", "time", "weekday", "url", "email", "phone"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One claim."""

    kind: Kind
    value: str
    unit: str = ""
    """Of a number; empty when there is none, or none that is known."""


_TLDS = (
    "com|cn|net|org|io|top|shop|vip|cc|xyz|info|me|co|app|link|site|store|online|club|tv|hk|tw|gov|edu|ly|biz|work|live"
)
_PATH = r"[^\s<>\"'、,;!?()\[\]{}【】《》「」『』“”‘’。；！？\u3400-\u9fff]*"
_URL = re.compile(
    rf"(?:https?://|www\.){_PATH}|(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:{_TLDS})(?![\w-])(?:[/?#:]{_PATH})?",
    re.ASCII,
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+", re.ASCII)
_PHONE = re.compile(
    r"(?<![\d.-])(?:\+?86[- ]?)?(?:1[3-9]\d[- ]?\d{4}[- ]?\d{4}|\(?0\d{2,3}\)?[- ]?\d{7,8}(?:-\d{1,5})?"
    r"|[48]00[- ]?\d{3,4}[- ]?\d{3,4})(?!\d)|\+\d{1,3}(?:[- ]?\d{2,4}){2,4}(?!\d)"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<m>{'|'.join(_MONTHS)})[a-z]*\.?"
_DATES = (
    re.compile(r"(?:(?P<y>\d{4})\s*年\s*)?(?<!\d)(?P<m>\d{1,2})\s*月\s*(?P<d>\d{1,2})(?:\s*[日号號])?(?!\d)"),
    re.compile(r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)"),
    re.compile(r"(?<![\d/.])(?P<m>1[0-2]|0?[1-9])/(?P<d>3[01]|[12]\d|0?[1-9])(?![\d/])"),
    re.compile(rf"\b{_MONTH}\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(?P<y>\d{{4}}))?"),
    re.compile(rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}\b(?:,?\s+(?P<y>\d{{4}}))?"),
)
_PERIOD = "凌晨|清晨|早上|早晨|早|上午|中午|下午|午后|傍晚|晚上|晚间|晚|夜里|夜间"
_TIME = re.compile(
    rf"(?P<to>[至到~—–-]\s{{0,3}})?(?P<period>{_PERIOD})?\s{{0,3}}(?<![\d.])(?P<h>\d{{1,2}})(?:"
    r":(?P<m>\d{2})(?::\d{2})?(?!\d)\s*(?P<ampm>[ap]\.?m\b\.?)?"
    r"|\s*[点點](?:钟|鐘|整)?(?:(?P<half>半)|(?P<minute>\d{1,2})\s*分?(?!\d))?"
    r"|\s*[时時](?!间|間)(?:(?P<minute_>\d{1,2})\s*分)?"
    r"|\s*(?P<ampm_>[ap]\.?m\b\.?))"
)
_LATE = frozenset({"中午", "下午", "午后", "傍晚", "晚上", "晚间", "晚", "夜里", "夜间", "p"})
_MIDNIGHT = frozenset({"凌晨", "晚上", "晚间", "晚", "夜里", "夜间", "a"})
"""Twelve o'clock in these is the end of a day."""
_WEEKDAYS = ("mon", "tue(?:s)?", "wed(?:nes)?", "thu(?:rs?)?", "fri", "sat(?:ur)?", "sun")
_WEEKDAY = re.compile(
    r"(?:周|週|星期|礼拜)(?P<han>[一二三四五六日天])(?![次个個])|\b(?:"
    + "|".join(rf"(?P<d{number}>{name}(?:days?)?)" for number, name in enumerate(_WEEKDAYS))
    + r")\b"
)
_CODE = re.compile(rf"(?<![a-z\d])(?!(?:{CURRENCY})\d)[a-z]+-?\d[a-z\d]*(?:-[a-z\d]+)*", re.ASCII)
_NUMBER = re.compile(
    rf"(?P<before>{CURRENCY})?\s{{0,3}}(?<![\d.])(?P<n>\d{{1,3}}(?:,\d{{3}})+(?!\d)(?:\.\d+)?|\d+块\d(?!\d)|\d+(?:\.\d+)?)\s{{0,3}}"
    r"(?P<many>[万萬亿億]|千(?![克米瓦卡])|[kw](?![a-z]))?"
    rf"(?:(?P<range>\s{{0,3}}[至到~—–-]\s{{0,3}}(?=\d))|[\s-]{{0,3}}(?P<unit>{UNIT}))?"
)
_MANY = {"千": 10**3, "k": 10**3, "万": 10**4, "萬": 10**4, "w": 10**4, "亿": 10**8, "億": 10**8}
_ITEM = re.compile(r"(?m)^[ \t]*\(?(\d{1,2})(?:\.(?!\d)|[、)])")
_STEP = re.compile(r"第(\d{1,2})步")


def facts_of(text: str, *, is_source: bool = False) -> set[Fact]:
    """Collect the claims of a text that `units.plain` has tidied.

    A source also offers what its facts are made of: the year of a date, the digits of a model's name.
    """
    rest = in_digits(text.lower())
    for marker in (_ITEM, _STEP):
        rest = _without_numbering(rest, marker)
    found: set[Fact] = set()

    def take(pattern: re.Pattern[str], read: Callable[[re.Match[str]], Iterator[Fact]]) -> None:
        nonlocal rest

        def replace(match: re.Match[str]) -> str:
            facts = list(read(match))
            found.update(facts)
            return " ; " if facts else match.group()

        rest = pattern.sub(replace, rest)

    take(_EMAIL, lambda match: iter([Fact("email", match.group())]))
    take(_URL, lambda match: iter([Fact("url", _address(match.group()))]))
    take(_PHONE, lambda match: iter([Fact("phone", _phone(match.group()))]))
    for pattern in _DATES:
        take(pattern, lambda match: _date(match, is_source=is_source))
    found.update(_times(rest))
    rest = _TIME.sub(" ; ", rest)
    take(_WEEKDAY, _weekday)
    # The letters of a code are a name; its digits are no number.
    codes = _CODE.findall(rest)
    rest = _CODE.sub(" ; ", rest)
    if is_source:
        found.update(Fact("number", digits) for code in codes for digits in re.findall(r"\d+", code))
    found.update(_numbers(rest))
    return found


def offers(sources: set[Fact], fact: Fact) -> bool:
    """Tell whether one of the facts is this one; a number without a unit fits any unit."""
    if fact in sources:
        return True
    if fact.kind == "date":
        return any(source.kind == "date" and source.value.endswith(fact.value) for source in sources)
    if fact.kind != "number":
        return False
    same = (source for source in sources if source.kind == "number" and source.value == fact.value)
    return any(not fact.unit or source.unit in {"", fact.unit} for source in same)


def _without_numbering(text: str, marker: re.Pattern[str]) -> str:
    """Drop 1. 2. 3. in front of lines; numbers that do not count up from one are claims."""
    numbers = [int(number) for number in marker.findall(text)]
    return marker.sub(" ", text) if numbers == list(range(1, len(numbers) + 1)) else text


def _address(url: str) -> str:
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", url).rstrip("./:")


def _phone(number: str) -> str:
    digits = re.sub(r"\D", "", number)
    return digits.removeprefix("86") if len(digits) > 11 else digits


def _date(match: re.Match[str], *, is_source: bool) -> Iterator[Fact]:
    year, month, day = match.groupdict().get("y"), match["m"], int(match["d"])
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3]) + 1
    # Without its year a date is the end of the one with it.
    yield Fact("date", f"{year or ''}-{number}-{day}")
    if is_source:
        yield Fact("number", str(number), "月")
        yield Fact("number", str(day), "号")
        if year:
            yield Fact("number", year, "年")


def _times(text: str) -> Iterator[Fact]:
    afternoon_until = -1
    for match in _TIME.finditer(text):
        hour, minute = int(match["h"]), int(match["m"] or match["minute"] or match["minute_"] or 0)
        half_day = match["period"] or (match["ampm"] or match["ampm_"] or "")[:1]
        # 下午2点到5点: the second one is in the afternoon too.
        is_late = half_day in _LATE or (not half_day and bool(match["to"]) and match.start() == afternoon_until)
        if hour == 12 and half_day in _MIDNIGHT:
            hour = 0
        elif is_late and hour < (10 if half_day == "中午" else 12):
            hour += 12
        afternoon_until = match.end() if is_late else -1
        yield Fact("time", str((hour * 60 + (30 if match["half"] else minute)) % 1440))


def _weekday(match: re.Match[str]) -> Iterator[Fact]:
    if han := match["han"]:
        yield Fact("weekday", str("一二三四五六日".find("日" if han == "天" else han)))
    else:
        yield Fact("weekday", str(next(number for number in range(7) if match[f"d{number}"])))


def _numbers(text: str) -> Iterator[Fact]:
    earlier: list[Decimal] = []
    for match in _NUMBER.finditer(text):
        number = match["n"].replace(",", "").replace("块", ".")
        earlier.append(Decimal(number) * _MANY.get(match["many"] or "", 1))
        unit = UNITS.get(match["before"] or match["unit"] or ("元" if "块" in match["n"] else ""), "")
        if match["range"] and not unit:
            # 7-15天: the unit of the last one is everybody's.
            continue
        for value in earlier:
            # 95折 and 9.5折 are the same.
            discount = value / 10 if unit == "折" and value > 10 else value
            yield Fact("number", f"{discount.normalize():f}", unit)
        earlier = []
