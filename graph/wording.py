"""Words and characters of a text, as answers and their sources are compared by them."""

from __future__ import annotations

import re

HAN = re.compile(r"[\u3400-\u9fff]")
RUN = re.compile(r"[\u3400-\u9fff]+")
_LETTER = re.compile(r"[^\W\d_]")

CLAUSE_END = re.compile(r"[,.;:!?、。；：！？\n]")
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]{3,}")
COURTESY = re.compile(
    "亲爱的|亲亲|您好|你好|抱歉|不好意思|感谢|谢谢|请您|麻烦|如果|需要的话|可以|我们|咱们|关于|根据|目前|如有|其他|问题|疑问|随时"
    "|带来不便|给您|耐心|理解|欢迎|咨询|联系|告诉|帮助|希望|左右|大概|的话|一般|通常|建议|方便|放心|哦|呢|呀|啦|哈|嗯|喔"
)
STOP_WORDS = frozenset(
    "的了是在有和与就都也还您你我它这那个能会请到为以要把被给对从后再即可啊吧吗亲嘛很将让先零一二两三四五六七八九十百千万半"
    "早晚午凌晨夜点分钟号日天年月周期星上下时间"
)
STOP_WORDS |= frozenset(
    re.findall(
        r"\S+",
        "the and are you your our for can will with from this that have has not but any all may please yes dear sorry "
        "thank thanks hello just been was were would could should they them there then also than into over about when "
        "which who what how here its it's let know feel free if contact help",
    )
)


def squeezed(text: str) -> str:
    """Return its letters and digits, run together."""
    return re.sub(r"[\W_]+", "", text.lower())


def is_han(text: str) -> bool:
    """Whether it is written in Chinese for the most part; names in Latin letters count a letter each."""
    return len(HAN.findall(text)) * 3 > len(_LETTER.findall(text))


def words_of(text: str) -> set[str]:
    """Return the Chinese characters and the other words that carry a matter."""
    words = set(_WORD.findall(COURTESY.sub(" ", text))) - STOP_WORDS
    # An English word by its beginning: return, returned, returning.
    return {word[:5] for word in words}


def pairs_of(text: str) -> set[str]:
    """Return the neighbouring characters that carry a matter."""
    return {pair for pair in neighbours_in(COURTESY.sub(" ", text)) if not STOP_WORDS & set(pair)}


def neighbours_in(text: str) -> set[str]:
    """Return each two Chinese characters that stand side by side."""
    return {run[at : at + 2] for run in RUN.findall(text) for at in range(len(run) - 1)}
