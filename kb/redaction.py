"""Takes persons out of texts that are to become knowledge: numbers, names and addresses, by rules alone.

The rules would rather take too much: what is taken stands there as 〔电话〕 for the reviewer to see, what is missed is
told to every customer who asks. Amounts, dates, times and service numbers (400…, 95…) stay: they are the answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kb.names import find_names

Kind = Literal["email", "id_card", "bank_card", "phone", "order", "account", "plate", "address", "name", "number"]

MARKS: dict[Kind, str] = {
    "email": "邮箱",
    "id_card": "证件号",
    "bank_card": "银行卡号",
    "phone": "电话",
    "order": "订单号",
    "account": "账号",
    "plate": "车牌号",
    "address": "地址",
    "name": "姓名",
    "number": "号码",
}
"""What stands in the text instead."""

MARK = re.compile("〔(?:" + "|".join(MARKS.values()) + ")〕")
_NUMBER_MARK = re.compile(
    "〔(?:" + "|".join(mark for kind, mark in MARKS.items() if kind not in {"name", "address"}) + ")〕"
)

_CLAUSE = re.compile(
    r"(^|[,，。.;；:：!！?？\s])(?:我的?)?(?:[\u4e00-\u9fff]{0,4}(?:号码?|电话|手机|邮箱|订单|尾号|[Qq][Qq]|微信))?(?:是|为)?\s*[:：]?\s*"
    + _NUMBER_MARK.pattern
    + r"\s*(?:[,，。.;；]\s*|$)"
)
"""A clause that says nothing but a number."""

_FOLD = str.maketrans(
    {chr(0xFF10 + n): str(n) for n in range(10)}
    | {chr(0xFF21 + n): chr(65 + n) for n in range(26)}
    | {chr(0xFF41 + n): chr(97 + n) for n in range(26)}
    | dict(zip("－—–＋＠．：＃（）\u3000", "---+@.:#() ", strict=True))
)
"""One character for one, so that places stay."""

_HAN_DIGITS = str.maketrans("零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖", "001234567891123456789")
_HAN_NUMBER = re.compile("[零〇一二三四五六七八九幺壹贰叁肆伍陆柒捌玖]{7,}")

_GAP = r"[ \-.]?"
_NO_AMOUNT = r"(?!\s*(?:元|块|万|亿|rmb|件|个|人|次|积分|分|天|%))"
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_ID_CARD = re.compile(
    rf"(?<![\dA-Za-z])\d{{6}}{_GAP}(?:18|19|20)\d{{2}}{_GAP}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_GAP}\d{{3}}[\dXx]"
    r"(?![\dA-Za-z])"
)
_OLD_ID_CARD = re.compile(r"(?<![\dA-Za-z])\d{8}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?![\dA-Za-z])")
_BANK_CARD = re.compile(
    r"(?<![\dA-Za-z])(?:[3-69]\d{3}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,3})?|[3-69]\d{15,18})(?![\dA-Za-z])"
)
_MOBILE = re.compile(r"(?<!\d)(?:\+?86[ -]?|0086[ -]?)?1[3-9]\d(?:[ \-.]?\d{4}){2}(?!\d)")
_MASKED = re.compile(r"(?<!\d)1[3-9]\d[*xX·]{3,}\d{2,4}(?!\d)|(?<!\d)\d{3,6}[*]{3,}\d{2,4}(?!\d)")
_LANDLINE = re.compile(r"(?<!\d)\(?0\d{2,3}\)?[ -]?[2-9]\d{6,7}(?:-\d{1,5})?(?!\d)")
_FOREIGN = re.compile(
    r"(?<![\w+])\+(?!86)\d{1,3}(?:[ ().-]{0,2}\d{2,4}){2,5}(?!\d)|(?<![\d-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?!\d)"
)
_SERVICE = re.compile(r"(?<!\d)(?:[48]00[ -]?\d{3,4}[ -]?\d{3,4}|95\d{3,6}|10\d{3}|12\d{3})(?!\d)")
_CODE_LABEL = re.compile(
    r"(?P<label>(?:订单|运单|快递|物流|退款|退货|售后|工单|流水|交易|合同|发票|会员|取件|取货|验证|提货|券|卡|编|单|货)(?:编号|单号|号码|号|码)"
    r"|尾号|order(?: (?:no|number|id))?|tracking(?: (?:no|number|id))?)(?P<is>\s*(?:是|为|[.:#]|\s)*)"
    r"(?P<code>[A-Za-z\d][A-Za-z\d-]*\d[A-Za-z\d-]*)",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(
    r"(?P<label>微信号?|qq号?|支付宝(?:账号)?|账号|帐号|昵称|wechat(?: id)?|user(?:name| id))"
    r"(?P<is>\s*(?:是|为|:)\s*|\s+(?=[a-z\d])|(?=\d))"
    r"(?P<code>[A-Za-z\d][\w-]{4,29})",
    re.IGNORECASE | re.ASCII,
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][· ]?[A-HJ-NP-Z\d]{5,6}(?![A-Za-z\d])"
)
_CODE = re.compile(
    r"(?<![A-Za-z\d])(?:[A-Za-z]{1,4}-?\d{8,}|(?=[A-Za-z\d]*\d{4})(?=\d*[A-Za-z])[A-Za-z\d]{12,})(?![A-Za-z\d])"
)
_DATE = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_LONG = re.compile(rf"(?<![\d.,])\d{{7,}}(?![\d]){_NO_AMOUNT}")

# Not the words an address follows: 寄到…, 我在…
_PLACE = r"[^\W\d_a-zA-Z寄到在于是的您我你他她们请把给从住往：]"
_HAN_NO = r"[\d一二三四五六七八九十百零〇A-Za-z-]{1,6}"
_ROAD = rf"{_PLACE}{{1,8}}?(?:大街|大道|胡同|公路|路|街|巷|弄|里)(?:东|西|南|北|中)?(?:段)?\s*{_HAN_NO}\s*(?:号|弄)"
_ESTATE = rf"{_PLACE}{{1,10}}?(?:小区|花园|公寓|大厦|广场|家园|新村|新城|公馆|苑|园|村|府|庭|湾|城)"
_INSIDE = rf"(?:[\s,，]*{_HAN_NO}(?:号楼|号院|栋|幢|座|单元|楼|层|室|房|号|户))"
_REGION = (
    rf"(?:{_PLACE}{{2,7}}?(?:省|自治区|特别行政区))?\s*(?:{_PLACE}{{2,6}}?(?:市|自治州|地区|盟))?\s*"
    rf"(?:{_PLACE}{{1,6}}?(?:区|县|旗))?\s*(?:{_PLACE}{{1,6}}?(?:街道|镇|乡))?\s*"
)
_ADDRESS = re.compile(
    rf"{_REGION}(?:{_ROAD}(?:{_PLACE}{{0,8}}?{_INSIDE})*|{_ESTATE}{_INSIDE}+(?:\d{{3,4}}(?!\d))?|{_PLACE}{{1,6}}村{_HAN_NO}(?:组|队|社|号))"
)
_UNIT = re.compile(rf"(?<![A-Za-z\d]){_HAN_NO}(?:号楼|栋|幢|座){_INSIDE}+|\d{{1,2}}单元\d{{2,4}}(?:室|房|号)?")
_ADDRESS_LABEL = re.compile(
    r"(?P<label>(?:收货|收件|邮寄|寄件|家庭|详细)?地址(?:是|为|:|\s)+)(?P<code>[^,，。;；!！?？\n〔]{4,40})"
)
_STREET = re.compile(
    r"\b\d{1,5}[A-Za-z]?\s+(?:[A-Z][a-z]+\.?\s+){1,4}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way)\b"
    r"\.?(?:,?\s*(?:Apt|Unit|Suite|#)\.?\s*\w+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text without persons, and what was taken out of it."""

    text: str
    kinds: tuple[Kind, ...]
    """Of everything taken, in the order of the text."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands in a text, and what it is."""

    start: int
    end: int
    kind: Kind


def redact(text: str, known: Sequence[str] = ()) -> Redacted:
    """Put marks where a person can be recognised.

    Args:
        text: what somebody wrote.
        known: names that are known to be some, of the customer and of the agent.
    """
    found = find_personal(text, known)
    pieces, at = [], 0
    for span in found:
        pieces += [text[at : span.start], f"〔{MARKS[span.kind]}〕"]
        at = span.end
    return Redacted(text="".join([*pieces, text[at:]]), kinds=tuple(span.kind for span in found))


def find_personal(text: str, known: Sequence[str] = ()) -> list[Span]:
    """Return where a person can be recognised, in the order of the text; places that are marked already are none."""
    folded = text.translate(_FOLD)
    taken: list[Span] = [Span(match.start(), match.end(), "name") for match in MARK.finditer(folded)]
    earlier = len(taken)
    kept = [match.span() for match in _SERVICE.finditer(folded)]

    def take(kind: Kind, start: int, end: int) -> None:
        is_free = all(end <= span.start or span.end <= start for span in taken)
        is_service = any(start == begin and end == finish for begin, finish in kept)
        if start < end and is_free and not is_service:
            taken.append(Span(start, end, kind))

    for name in sorted({name.strip() for name in known}, key=len, reverse=True):
        if len(name) >= 2:
            for match in re.finditer(re.escape(name.translate(_FOLD)), folded):
                take("name", *match.span())
    for kind, find in _RULES:
        for start, end in find(folded):
            take(kind, start, end)
    return sorted(taken[earlier:], key=lambda span: span.start)


def is_marked(text: str) -> bool:
    """Whether something was taken out that a reader would miss."""
    return bool(MARK.search(text))


def generalise(text: str, known: Sequence[str] = ()) -> str:
    """Redact a question and leave out the marks of numbers: it is found by what it asks, not by whose it was.

    Marks of names and addresses stay: a word may have been taken for one, and without it the question is another.
    """
    bare = _NUMBER_MARK.sub("", _CLAUSE.sub(r"\1", redact(text, known).text))
    bare = re.sub(r"[（(]\s*[)）]|[\[【]\s*[\]】]", "", bare)
    bare = re.sub(r"[,，、;；:：]\s*(?=[,，、;；:：。.!！?？]|$)", "", bare)
    return re.sub(r"\s{2,}", " ", bare).strip(" ,，、;；:：")


def _spans(*patterns: re.Pattern[str]) -> Callable[[str], list[tuple[int, int]]]:
    return lambda text: [match.span() for pattern in patterns for match in pattern.finditer(text)]


def _labelled(pattern: re.Pattern[str]) -> Callable[[str], list[tuple[int, int]]]:
    return lambda text: [match.span("code") for match in pattern.finditer(text)]


def _han_numbers(text: str) -> list[tuple[int, int]]:
    """Find numbers spelt out digit by digit, 一三八…."""
    return [match.span() for match in _HAN_NUMBER.finditer(text) if int(match[0].translate(_HAN_DIGITS)) > 0]


def _long_numbers(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _LONG.finditer(text) if not _DATE.fullmatch(match[0])]


_RULES: tuple[tuple[Kind, Callable[[str], list[tuple[int, int]]]], ...] = (
    ("email", _spans(_EMAIL)),
    ("id_card", _spans(_ID_CARD)),
    ("bank_card", _spans(_BANK_CARD)),
    ("order", _labelled(_CODE_LABEL)),
    ("account", _labelled(_ACCOUNT)),
    ("id_card", _spans(_OLD_ID_CARD)),
    ("phone", _spans(_MOBILE, _MASKED, _LANDLINE, _FOREIGN)),
    ("plate", _spans(_PLATE)),
    ("order", _spans(_CODE)),
    ("number", _han_numbers),
    ("number", _long_numbers),
    ("address", _labelled(_ADDRESS_LABEL)),
    ("address", _spans(_ADDRESS, _UNIT, _STREET)),
    ("name", lambda text: list(find_names(text))),
)
"""In this order: what an earlier rule took, a later one leaves."""
