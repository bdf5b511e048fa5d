"""Whether an answer says nothing that the entries it cites do not say: a cheap check, without any model.

It compares what can be compared: numbers with their units, dates, times, addresses, names, quotations, promises, what
is denied, and the wording where both are in the same script. It can be wrong in one direction only on purpose: an
answer that says the same in unforeseen words is held back, and a person answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from graph.facts import Fact, Kind, facts_of, offers
from graph.overreach import INSIDE, PROMISES, gives_orders, has_markup, oversteps
from graph.units import UNITS, plain

Doubt = Kind | Literal["name", "quote", "promise", "denial", "wording", "language", "markup", "inside", "order"]
"""What an answer claims that its sources do not."""

MIN_SHARED = 0.5
"""Share of an answer's words that must be its sources'."""

MIN_SHARED_BY_CLAUSE = 0.25
"""The same for each clause of more than a few words: nothing is smuggled in behind what is true."""

MIN_SHARED_BY_NEWS = 0.3
"""Share of the neighbouring characters of what is not said word for word that must stand like that in the sources."""

_CLAUSE_WORDS = 4

_HAN = re.compile(r"[\u3400-\u9fff]")
_RUN = re.compile(r"[\u3400-\u9fff]+")
_LETTER = re.compile(r"[^\W\d_]")
_QUOTED = re.compile(r"「(.+?)」|『(.+?)』|《(.+?)》|【(.+?)】|“(.+?)”|\"(.+?)\"|‘(.+?)’|(?<!\w)'(.+?)'(?!\w)")
_NAME = re.compile(r"[a-z][a-z\d]*(?:[-'’.&+][a-z\d]+)*", re.IGNORECASE | re.ASCII)
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n。！？：；…•*\"“(])[\s\d.)*•\"“-]*$")
_NO_NAMES = frozenset(
    re.findall(
        r"\S+",
        "ok hi hello i i'm i'll i'd i've am pm a.m p.m monday tuesday wednesday thursday friday saturday sunday "
        "january february march april may june july august september october november december "
        "jan feb mar apr jun jul aug sep oct nov dec mon tue tues wed thu thurs fri sat sun",
    )
)
_UNITS = frozenset({*UNITS, "mg"})

_COUNTS = re.compile(r"\d\s*#|#\s*\d")
_NAMELESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|(?<=\d)\s*x\s*(?=\d)", re.IGNORECASE)

_CLAUSE_END = re.compile(r"[,.;:!?、。；：！？\n]")
_CLAUSE_OF_NUMBERS = re.compile(r"(?<!\d)[,.:]|[,.:](?!\d)|[;!?。；！？\n]")
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]{3,}")
_COURTESY = re.compile(
    "亲爱的|亲亲|您好|你好|抱歉|不好意思|感谢|谢谢|请您|麻烦|如果|需要的话|可以|我们|咱们|关于|根据|目前|如有|其他|问题|疑问|随时"
    "|带来不便|给您|耐心|理解|欢迎|咨询|联系|告诉|帮助|希望|左右|大概|的话|一般|通常|建议|方便|放心|哦|呢|呀|啦|哈|嗯|喔"
)
_STOP_WORDS = frozenset(
    "的了是在有和与就都也还您你我它这那个能会请到为以要把被给对从后再即可啊吧吗亲嘛很将让先零一二两三四五六七八九十百千万半"
    "早晚午凌晨夜点分钟号日天年月周期星上下时间"
)
_STOP_WORDS |= frozenset(
    re.findall(
        r"\S+",
        "the and are you your our for can will with from this that have has not but any all may please yes dear sorry "
        "thank thanks hello just been was were would could should they them there then also than into over about when "
        "which who what how here its it's let know feel free if contact help",
    )
)

_A_NOT_A = re.compile(r"([\u3400-\u9fff])[不没]\1")
_NO_DENIAL = re.compile(
    "不好意思|不客气|不用担心|不仅|不但|不过|不同|不错|没关系|没问题|无论|不管|特别|分别|区别|级别|类别|别人"
)
_ASKED = re.compile(r"[^。！!？?\n]*[?？]")
"""A question affirms nothing."""
_EXCEPTED = re.compile(r"([^,;:。，；：！!？?\n]+?)除外")
_EXCEPTS = re.compile(r"除外|除了|不|无法|非|未|\b(?:not|except)\b")
_YES = re.compile(r"(?:^|[,.;!?、。；！？\n])\s*(?:可以|能|行|支持)(?:的|呀|哦|啊)*\s*(?:$|[,.;!?、。；！？\n])")
_REFUSES = re.compile(r"(?m)^[^,.;:!?、。；：！？\n]{0,12}?(?:不支持|不能|不可以?|无法|不行|不提供)")
_DENIED = re.compile(
    r"(?:无法|禁止|拒绝|谢绝|不|没有?|無|无|未|非|勿|别|\b(?:not|no|never|without|cannot)\b|n['’]t\b)"
    r"(?:会|能|可以|可|需要?|用|得|再|予|被|是| |\b(?:be|been|a|an|any|the|to|able|yet)\b)*"
    r"(?P<head>[\u3400-\u9fff]{2}|[a-z]{4,5})[a-z]*(?P<object>[\u3400-\u9fff]{2}| [a-z]{4,5})?"
    r"(?:(?!可以|可|就|但|\bbut\b)[^,.;!?、。；！？\n])*"
)
"""What is denied, and the rest of the clause, in which nothing is affirmed."""


def doubts(answer: str, sources: Sequence[str], *, question: str = "") -> list[Doubt]:
    """Name what in the answer does not occur in the sources, sorted; nothing when it is supported.

    The customer's question is no source: it only tells the language to answer in.
    """
    if not sources:
        return ["wording"]
    said, known = plain(answer), plain("\n".join(sources))
    found: set[Doubt] = set()
    claims, offered = facts_of(said), facts_of(known, is_source=True)
    found.update(claim.kind for claim in claims if not offers(offered, claim))
    if not all(_is_named(name, known) for name in _names(said, among_han=_is_han(known))):
        found.add("name")
    squeezed = _squeeze(known)
    if any(_squeeze(quoted) not in squeezed for quoted in _quotations(said)):
        found.add("quote")
    lower, known_lower = said.lower(), known.lower()
    found.update(_oversteps(lower, known_lower))
    each = [plain(source).lower() for source in sources]
    found.update(_number_elsewhere(lower, claims, each))
    if _promises_elsewhere(lower, each):
        found.add("promise")
    news = "\n".join(_news(lower, squeezed))
    if any(_contradicts(part, known_lower) for part in (lower, news)):
        found.add("denial")
    # A bare yes could mean anything.
    if not (_words(lower) or claims) or (_HAN.search(said) and _is_han(known) and _is_news(news, known_lower)):
        found.add("wording")
    if _is_han(known) == _is_han(said) and _is_foreign(lower, known_lower):
        found.add("wording")
    if _HAN.search(question) and not _HAN.search(said):
        found.add("language")
    return sorted(found)


def _oversteps(answer: str, source: str) -> set[Doubt]:
    found: set[Doubt] = set()
    if oversteps(answer, source, PROMISES):
        found.add("promise")
    if oversteps(answer, source, INSIDE):
        found.add("inside")
    if has_markup(answer, source):
        found.add("markup")
    if gives_orders(source):
        found.add("order")
    return found


def _promises_elsewhere(answer: str, sources: Sequence[str]) -> bool:
    """Whether a clause binds the shop with a word that the sources have only about another matter."""
    bound = (
        (clause, kind, match)
        for clause in _CLAUSE_END.split(answer)
        for kind in PROMISES
        if (match := kind.search(clause))
    )
    for clause, kind, match in bound:
        words = _words(clause) - _words(match.group())
        backing = [source for source in sources if kind.search(source) and _is_han(source) == _is_han(clause)]
        if backing and max(len(words & _words(source)) for source in backing) < MIN_SHARED * len(words):
            return True
    return False


def _number_elsewhere(answer: str, claims: set[Fact], sources: Sequence[str]) -> set[Doubt]:
    """Name the facts that several sources have only about another matter than the clause which tells them."""
    apart = [source for source in sources if not any(source in other and source != other for other in sources)]
    if len(set(apart)) < 2:
        return set()
    found: set[Doubt] = set()
    for clause in _CLAUSE_OF_NUMBERS.split(answer):
        words = _words(clause)
        near = [source for source in apart if len(words & _words(source)) >= MIN_SHARED * len(words)]
        if len(words) > 1 and near and _is_han(clause) == _is_han(near[0]):
            offered = set[Fact]().union(*(facts_of(source, is_source=True) for source in near))
            found.update(claim.kind for claim in facts_of(clause) & claims if not offers(offered, claim))
    return found


def _news(answer: str, squeezed: str) -> list[str]:
    """Return the clauses that no source has word for word: behind what is true nothing else may hide."""
    return [clause for clause in _CLAUSE_END.split(answer) if _squeeze(clause) not in squeezed]


def _is_news(news: str, source: str) -> bool:
    """Whether what is not said word for word is made of other words than the sources."""
    runs = _RUN.findall(_COURTESY.sub(" ", news))
    pairs = {run[at : at + 2] for run in runs for at in range(len(run) - 1)}
    pairs = {pair for pair in pairs if not _STOP_WORDS & set(pair)}
    return sum(pair in source for pair in pairs) < MIN_SHARED_BY_NEWS * len(pairs)


def _names(text: str, *, among_han: bool = False) -> list[str]:
    """Return the names in Latin letters: in a Chinese text every word, in others what is written like a name.

    `among_han`: a text with any Chinese is one; the sources are.
    """
    text = _NAMELESS.sub(" ", text)
    is_han = _is_han(text) or (among_han and bool(_HAN.search(text)))
    names = []
    for match in _NAME.finditer(text):
        word, before = match.group(), text[: match.start()]
        if word.lower() in _NO_NAMES or (word.lower() in _UNITS and _COUNTS.search(f"{before}#{text[match.end() :]}")):
            continue
        if is_han or _is_like_a_name(word, is_first=bool(_SENTENCE_START.search(before))):
            names.append(word)
    return names


def _is_like_a_name(word: str, *, is_first: bool) -> bool:
    if any(char.isdigit() for char in word) or word[1:] != word[1:].lower():
        return True
    return word[0].isupper() and not is_first


def _is_named(name: str, text: str) -> bool:
    """Whether the name stands in the text, whatever its case, spaces and hyphens."""
    spelled = r"[\s.&+-]*".join(char for char in name if char.isalnum())
    end = "s?(?![a-z])" if name[-1].isalpha() else r"(?!\d)"
    return bool(re.search(rf"(?<![a-z\d]){spelled}{end}", text, re.IGNORECASE | re.ASCII))


def _quotations(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def _squeeze(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _is_han(text: str) -> bool:
    """Whether it is written in Chinese for the most part; names in Latin letters count a letter each."""
    return len(_HAN.findall(text)) * 3 > len(_LETTER.findall(text))


def _is_foreign(answer: str, source: str) -> bool:
    """Whether the answer, or a clause of it, is made of words the source does not have."""
    said, known = _words(answer), _words(source)
    if len(said & known) < MIN_SHARED * len(said):
        return True
    clauses = (_words(clause) for clause in _CLAUSE_END.split(answer))
    return any(
        len(words & known) < MIN_SHARED_BY_CLAUSE * len(words) for words in clauses if len(words) >= _CLAUSE_WORDS
    )


def _words(text: str) -> set[str]:
    """Return the Chinese characters and the other words that carry a matter."""
    words = set(_WORD.findall(_COURTESY.sub(" ", text))) - _STOP_WORDS
    # An English word by its beginning: return, returned, returning.
    return {word[:5] for word in words}


def _contradicts(answer: str, source: str) -> bool:
    """Whether one denies what the other only affirms."""
    source = _ASKED.sub(" ", source)
    if any(name in answer and not _EXCEPTS.search(answer) for name in _excepted(source)):
        return True
    answer, source = (_NO_DENIAL.sub(" ", _A_NOT_A.sub(" ", text)) for text in (answer, source))
    if _YES.search(answer) and _REFUSES.search(source):
        return True
    return _denies_affirmed(answer, source) or _denies_affirmed(source, answer)


def _excepted(source: str) -> list[str]:
    """Return what the source makes exceptions of: A and B in 「A、B除外」."""
    names = (name.strip() for clause in _EXCEPTED.findall(source) for name in re.split("[、和及与或]", clause))
    return [name for name in names if len(name) > 1]


def _denies_affirmed(denying: str, affirming: str) -> bool:
    denials = list(_DENIED.finditer(denying))
    agreed = {match["head"] for match in _DENIED.finditer(affirming)}
    others, affirmed = _DENIED.sub(" ", denying), _DENIED.sub(" ", affirming)
    return any(
        word and word.strip() in affirmed and word.strip() not in others
        for match in denials
        if match["head"] not in agreed
        for word in match.group("head", "object")
    )
