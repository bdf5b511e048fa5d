"""Words in common: how two short texts in Chinese or English overlap, without any model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from opencc import OpenCC

_RUN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[\u3400-\u9fff]+")
_FILLER = re.compile(
    "请问一下|请问|你好|您好|麻烦|一下|我想要|我要|我想|想要|想问|咨询|知道|可不可以|可以|能不能|能否|是不是|有没有|是否|"
    "怎么样|怎么办|怎么弄|怎么操作|怎么|怎样|如何|什么|多少钱|多少|哪里|哪些|哪个|为什么|为何|多久|几天|你们|我们|我的|你的|这个|那个|"
    "[的了吗呢啊吧呀是有在和与我你您他她它要想能会把被个啦哦嘛]"
)
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the is are am be do does did i you me my your we our it this that to of for in on at with and or can "
        "could would will shall please pls tell u ur have has how what when where which who why there any some about "
        "want need know get if hi hello",
    )
)
_NEGATION = re.compile(r"[不没无未非勿别]|\b(?:not|no|never|without|cannot)\b|n't\b")
_YES_NO = re.compile("是不是|有没有|能不能|可不可以|要不要|会不会|好不好|行不行|不同|不好意思")
_ASKS = {
    "how": re.compile(r"怎么(?!样|回事)|如何|怎样|方法|流程|步骤|\bhow (?:do|to|can|should|could)\b"),
    "why": re.compile(r"为什么|为何|原因|怎么回事|\bwhy\b"),
    "when": re.compile(r"什么时候|何时|多久|几天|几点|时间|\bwhen\b|\bhow long\b|\btime\b"),
    "where": re.compile(r"哪里|哪儿|在哪|地址|\bwhere\b"),
    "price": re.compile(r"多少钱|价格|费用|运费|\bprice\b|\bcosts?\b|\bhow much\b|\bcharges?\b"),
    "who": re.compile(r"谁|\bwho\b"),
}


def simplify(text: str) -> str:
    """Fold width, and turn traditional characters into simplified ones."""
    return _simplified(unicodedata.normalize("NFKC", text))


@lru_cache(1024)
def clean(text: str) -> str:
    """Fold case, width and script, and keep words, numbers and runs of Chinese, separated by spaces."""
    return " ".join(_RUN.findall(simplify(text).lower().replace("’", "'")))


def _simplified(text: str) -> str:
    return str(_converter().convert(text))


@lru_cache(1)
def _converter() -> OpenCC:
    return OpenCC("t2s")


def bigrams(cleaned: str) -> Counter[str]:
    """Count neighbouring Chinese characters and whole other words."""
    units: Counter[str] = Counter()
    for run in cleaned.split():
        if run[0] < "\u3400" or len(run) == 1:
            units[run] += 1
        else:
            units.update(run[i : i + 2] for i in range(len(run) - 1))
    return units


@lru_cache(1024)
def core(cleaned: str) -> frozenset[str]:
    """Return the bigrams and words that carry the matter, without polite and question words."""
    kept = _FILLER.sub(" ", cleaned)
    return frozenset(unit for unit in bigrams(kept) if unit not in STOP_WORDS)


def covered(part: frozenset[str], whole: frozenset[str]) -> float:
    """Return the share of `part` that is in `whole`."""
    return len(part & whole) / len(part) if part else 0.0


def negates(cleaned: str) -> bool:
    """Whether a negation is in it; `能不能` and its like are none."""
    return bool(_NEGATION.search(_YES_NO.sub("", cleaned)))


def asks_other(left: str, right: str) -> bool:
    """Whether both name what they ask for, and it is not the same."""
    asked = {name for name, pattern in _ASKS.items() if pattern.search(left)}
    found = {name for name, pattern in _ASKS.items() if pattern.search(right)}
    return bool(asked and found and not asked & found)
