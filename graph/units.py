"""Numbers and units as shops and customers write them, in Chinese and English, brought to one spelling."""

from __future__ import annotations

import re
import unicodedata

_SPELLINGS = {
    "元": "元|块钱|块|圆|人民币|rmb|cny|yuan|¥",
    "角": "角|毛钱",
    "美元": "美元|美金|usd|us$|dollars|dollar|$",
    "港币": "港币|港元|港幣|hkd|hk$",
    "欧元": "欧元|eur|euros|euro|€",
    "英镑": "英镑|gbp|pounds|pound|£",
    "日元": "日元|jpy|yen",
    "年": "周年|年|years|year|yrs",
    "个月": "个月|個月|months|month",
    "月": "月份|月",
    "周": "个星期|星期|个礼拜|礼拜|周|週|weeks|week",
    "工作日": "个工作日|工作日|business days|business day|working days|working day",
    "天": "天|日|days|day",
    "号": "号|號",
    "小时": "个小时|個小時|小时|小時|个钟头|钟头|hours|hour|hrs|hr|h",
    "分钟": "分钟|分鐘|minutes|minute|mins|min",
    "秒": "秒钟|秒|seconds|second|secs|sec",
    "%": "%|percent|个百分点",
    "折": "折",
    "倍": "倍",
    "kg": "kg|公斤|千克|kilograms|kilogram",
    "斤": "斤",
    "g": "g|克|grams|gram",
    "吨": "吨|tons|ton",
    "ml": "ml|毫升",
    "l": "l|升|litres|liters|liter",
    "mm": "mm|毫米",
    "cm": "cm|厘米|公分",
    "m": "米|meters|metres|meter",
    "km": "km|公里|千米",
    "寸": "英寸|寸|inches|inch",
    "度": "度|°c|℃",
    "岁": "周岁|岁|years old",
    "积分": "积分|分|points|point",
    "人": "人|位|people|persons|person",
    "次": "次|times",
    "楼": "楼层|楼|层|floors|floor",
    "期": "期",
    # Counting words change from speaker to speaker (3件, 3个, 3 items): one unit.
    "件": "件|个|個|张|台|辆|颗|枚|双|套|条|款|份|盒|瓶|包|箱|本|支"
    "|items|item|pieces|piece|pcs|pairs|pair|boxes|bottles",
}
UNITS = {spelling: unit for unit, line in _SPELLINGS.items() for spelling in line.split("|")}
"""Every spelling, in lower case, and the unit it stands for."""
_NOT_BEFORE = {
    "包": "邮退换含括装",
    "支": "付持",
    "本": "店品人商地月周",
    "升": "级",
    "次": "日月",
    "人": "民工",
    "元": "旦宵",
    "天": "猫",
    "周": "边转",
    "条": "件",
    "期": "间限",
    "张": "贴",
    "台": "式面灯风",
    "层": "级次",
    "折": "扣",
    "份": "额",
    "号": "码",
    "分": "期",
    "位": "置",
}
"""Units that are the beginning of another word before these."""


def _unit(word: str) -> str:
    if "a" <= word[-1] <= "z":
        return re.escape(word) + "(?![a-z])"
    return re.escape(word) + (f"(?![{_NOT_BEFORE[word]}])" if word in _NOT_BEFORE else "")


UNIT = "|".join(map(_unit, sorted(UNITS, key=len, reverse=True)))
"""Matches any of them in lower-case text."""
CURRENCY = r"us\$|hk\$|rmb|cny|usd|hkd|eur|gbp|jpy|人民币|[¥$€£]"
"""Units that stand before the number too."""

_CHINESE_DIGITS = {
    char: value
    for value, chars in enumerate(("零〇", "一壹", "二两兩贰", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖"))
    for char in chars
}
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_MYRIADS = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_NUMERAL = f"[{''.join([*_CHINESE_DIGITS, *_TENS, *_MYRIADS])}]"
# Every run is bounded, or a page of 万 or of blanks would be gone through from each of its characters.
_NUMERALS = f"{_NUMERAL}{{1,20}}"
# 周三 is a day; 一个, 一点, 十分 are no numbers; what is counted in no unit is often part of a word (一般, 万一).
_NO_NUMBER = (
    "一(?:[次种種些位条條句步项項份时時]|个(?!半|月|工作日|小时|钟头|星期|礼拜))|[十百千万]分(?!钟)"
    "|(?<![午晨晚上夜里])一点(?![钟半整到至])"
)
# 五百, 二十三, 一三八零: numbers without any unit.
_DIGIT = f"[{''.join(_CHINESE_DIGITS)}]"
_LONG = f"{_DIGIT}[十拾百佰千仟]{_NUMERAL}{{0,18}}|十{_DIGIT}|{_DIGIT}{{3,20}}"
_COUNTED = re.compile(
    rf"百分之(?P<percent>{_NUMERALS}|\d+(?:\.\d+)?)|(?<=第)(?P<nth>{_NUMERALS})"
    rf"|(?<![周週期拜\d.])(?!{_NO_NUMBER})(?P<n>{_NUMERALS}(?=\s{{0,3}}(?:{UNIT}|[点點]|[时時](?!间)))|{_LONG}"
    r"|[一二两三四五六七八九十百][一二三四五六七八九十百千零]{0,6}[万亿](?![\u3400-\u9fff]))"
)
_HALF = re.compile(r"半(?=个?(?:小时|钟头|月|年|天|日|斤))")

_UNDER_TWENTY = re.findall(
    r"\w+",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
)
_BY_TEN = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_WORDS = {word: value for value, word in enumerate(_UNDER_TWENTY, start=1)}
_WORDS |= {word: value * 10 for value, word in enumerate(_BY_TEN, start=2)}
_FIRST, _SECOND = "|".join(sorted(_WORDS, key=len, reverse=True)), "|".join(_UNDER_TWENTY[:9])
_ENGLISH = re.compile(
    rf"\b(?P<first>{_FIRST}|a(?= (?:hundred|thousand|million)\b))(?:[- ](?P<second>{_SECOND}))?\b"
    r"(?:[- ](?P<scale>hundred|thousand|million)\b)?"
)
_TIME_FOLLOWS = re.compile(r"[ -](?:business |working )?(?:minute|hour|day|week|month|year)\b")
"""One is more often a pronoun than a number."""
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
_WIDE_COMMA = re.compile("，(?![０-９]{3})")
_HIDDEN = re.compile("[\ufe0f\u20e3]")


def plain(text: str) -> str:
    """Return it half-width and without invisible characters, digits of any script as 0 to 9, commas of lists apart."""
    # In 100，200 the wide comma parts two numbers; folded it would make them one. １，２００ is wide throughout.
    folded = unicodedata.normalize("NFKC", _WIDE_COMMA.sub(", ", text))
    visible = "".join(char for char in _HIDDEN.sub("", folded) if unicodedata.category(char) != "Cf")
    return re.sub(r"\d", lambda digit: str(unicodedata.digit(digit.group())), visible)


def in_digits(text: str) -> str:
    """Write the numbers that are spelled out, such as 七天 or seven days, in digits; `text` is plain and lower case."""
    return _ENGLISH.sub(_english, _HALF.sub("0.5", _COUNTED.sub(_chinese, text)))


def _chinese(match: re.Match[str]) -> str:
    percent = match["percent"]
    if percent is None:
        return str(_value(match["n"] or match["nth"]))
    return f"{percent if percent[0].isdecimal() else _value(percent)}%"


def _value(numeral: str) -> int:
    if all(char in _CHINESE_DIGITS for char in numeral):
        return int("".join(str(_CHINESE_DIGITS[char]) for char in numeral))
    total = section = digit = 0
    for char in numeral:
        if char in _MYRIADS:
            total += (section + digit or 1) * _MYRIADS[char]
            section = digit = 0
        elif char in _TENS:
            section += (digit or 1) * _TENS[char]
            digit = 0
        else:
            digit = _CHINESE_DIGITS[char]
    return total + section + digit


def _english(match: re.Match[str]) -> str:
    if match["first"] == "a":
        return str(_SCALES[match["scale"]])
    if match.group() == "one" and not _TIME_FOLLOWS.match(match.string, match.end()):
        return match.group()
    value = _WORDS[match["first"]] + (_WORDS[match["second"]] if match["second"] else 0)
    return str(value * _SCALES.get(match["scale"], 1))
