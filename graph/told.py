"""What customers tell about themselves that stays true: order numbers, what they own, their name, their language.

By patterns, and by what a model read; a telephone number, an address or the number of a card or document is never kept.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

FactKind = Literal["order_number", "preferred_name", "product", "language"]
SINGLE: frozenset[FactKind] = frozenset({"preferred_name", "language"})
"""Of these there is one at a time: a newer one replaces it."""

LABELS: Mapping[FactKind, str] = {
    "order_number": "订单号",
    "preferred_name": "称呼",
    "product": "商品",
    "language": "语言",
}
LIMITS: Mapping[FactKind, int] = {"order_number": 32, "preferred_name": 12, "product": 60, "language": 12}
"""Characters of a value."""

_ORDER = re.compile(
    r"(?:订单(?:编?号|号码)?|单号|\border(?: ?(?:no\.?|number|num|id))?)[\s:是为#]{0,6}"
    r"(?P<number>[a-z]{0,4}-?\d[\da-z-]{5,28}[\da-z])(?![\da-z])",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?<![\da-z.-])\d{12,28}(?![\da-z.-])", re.IGNORECASE)
_ABOUT_ORDERS = re.compile(r"订单|单号|\border", re.IGNORECASE)
_ABOUT_PAPERS = re.compile(r"卡|银行|身份证|证件|\b(?:bank|card|passport)", re.IGNORECASE)
"""What makes a number that nothing is said of more likely one of these."""
_PHONE = re.compile(r"(?:\+?86)?-?1[3-9]\d(?:-?\d{4}){2}|0\d{2,3}-?\d{7,8}|[48]00-?\d{3}-?\d{4}")
_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_IDENTITY = re.compile(
    rf"(?<![\da-z])\d{{6}}(?:(?:19|20)\d{{2}}{_DAY}\d{{3}}[\dx]|\d{{2}}{_DAY}\d{{3}})(?![\da-z])", re.IGNORECASE
)
# Parcels have letters in front.
_DIGITS = re.compile(r"(?<![\da-z])\d{13,19}(?![\da-z])", re.IGNORECASE)
# 快递员叫我去拿 and 别叫我亲 tell no name: nobody else is spoken of before it, and no deed follows.
_DEEDS = (
    "去|来|等|拿|找|打|退|换|问|看|发|给|把|先|再|不|别|自己|联系|提供|重|下单|付款|付钱|取|签|收|做|说|填|写|买|选|点|加"
    "|申请|补|寄|送|确认|怎|什么|啥|谁|干|回|上(?!官)|在|用|到|带|跟|过|留|验|投诉|转|拍|改|注册|登|扫|交|随便|都"
)
_NAME = re.compile(
    r"(?:^|[,。!?;:、.~\s])(?:请|麻烦|您|你们?|可以|就|以后|直接|都|大家|朋友){0,3}"
    rf"(?:叫我|称呼我(?:为)?|喊我)(?!{_DEEDS})(?P<name>[\u3400-\u9fff]{{1,4}}?)"
    r"(?:就好|就行|就可以|即可|吧|哈|[,。!,.!\s]|$)"
    r"|我姓(?![什啥甚哪谁名氏的都也就写打填输不没被是])(?P<family>[\u3400-\u9fff])"
)
_PRODUCT_CARD = re.compile(r"^\[订单\]\s*(?P<title>[^\n|(]{2,60})", re.MULTILINE)
_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_SCRIPTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[\uac00-\ud7af]"), "韩语"),
    (re.compile(r"[\u0400-\u04ff]{3}"), "俄语"),
    (re.compile(r"[\u0e00-\u0e7f]{3}"), "泰语"),
    (
        re.compile(r"(?i)\b(?:the|is|are|my|how|what|when|can|do|does|you|please|where|i|to)\b.{0,80}\b[a-z]{2,}\b"),
        "英语",
    ),
)
_READ = 4000
"""Characters of a message that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One thing a customer told about themselves."""

    kind: FactKind
    value: str


def told_in(text: str) -> list[Told]:
    """Return what a message tells by its patterns, each thing once, in order."""
    plain = unicodedata.normalize("NFKC", text[:_READ])
    return list(dict.fromkeys([*_orders(plain), *_names(plain), *_products(plain), *_languages(plain)]))


def told_of(kind: str, value: str) -> Told | None:
    """Return what a model read, None when it is of no kind that is kept."""
    known = next((each for each in LABELS if each == kind), None)
    return Told(kind=known, value=value.strip()) if known else None


def is_told(told: Told, text: str) -> bool:
    """Tell whether something a model read may be kept: it stands in the text and is nothing private."""
    if not told.value or len(told.value) > LIMITS[told.kind] or _is_private(told.value):
        return False
    if told.kind == "order_number" and not _is_order(told.value, unicodedata.normalize("NFKC", text)):
        return False
    spoken = _squeezed(text)
    return told.kind == "language" or _squeezed(told.value) in spoken


def _is_order(value: str, text: str) -> bool:
    """Tell whether it may be the number of an order; where cards are spoken of it must be called one."""
    if not re.search(r"\d{6}", value):
        return False
    called = {_squeezed(match["number"]) for match in _ORDER.finditer(text)}
    return _squeezed(value) in called or not _ABOUT_PAPERS.search(text)


def _orders(text: str) -> Iterator[Told]:
    numbers = [match["number"] for match in _ORDER.finditer(text)]
    if _ABOUT_ORDERS.search(text) and not _ABOUT_PAPERS.search(text):
        numbers += _BARE.findall(text)
    for number in numbers:
        if sum(map(str.isdigit, number)) >= 6 and not _is_private(number):
            yield Told(kind="order_number", value=number.upper())


def _names(text: str) -> Iterator[Told]:
    for match in _NAME.finditer(text):
        yield Told(kind="preferred_name", value=match["name"] or f"姓{match['family']}")


def _products(text: str) -> Iterator[Told]:
    for match in _PRODUCT_CARD.finditer(text):
        yield Told(kind="product", value=match["title"].strip())


def _languages(text: str) -> Iterator[Told]:
    if _KANA.search(text):
        yield Told(kind="language", value="日语")
    elif not _HAN.search(text):
        yield from (Told(kind="language", value=name) for script, name in _SCRIPTS if script.search(text))


def _is_private(value: str) -> bool:
    """Tell whether it is a telephone number, or has the number of a bank card or an identity card in it."""
    bare = re.sub(r"[\s-]", "", value)
    return bool(_PHONE.fullmatch(bare) or _IDENTITY.search(bare)) or any(map(_is_card, _DIGITS.findall(bare)))


def _is_card(digits: str) -> bool:
    """Tell whether the last digit checks the others as on bank cards (Luhn)."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _squeezed(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())
