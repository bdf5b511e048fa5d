"""Whether an answer says nothing that the entries it cites do not say: a cheap check, without any model.

It compares what can be compared: numbers with their units, dates, times, addresses, names, quotations, promises, what
is denied, and the wording where both are in the same script. It can be wrong in one direction only on purpose: an
answer that says the same in unforeseen words is held back, and a person answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Literal

from graph.denials import contradicts, grants
from graph.facts import Fact, Kind, facts_of, offers
from graph.overreach import INSIDE, MATTERS, PROMISES, gives_orders, has_markup, oversteps
from graph.units import UNITS, plain
from graph.wording import CLAUSE_END, HAN, RUN, is_han, pairs_of, squeezed, words_of
from prompts.loader import load

Doubt = Kind | Literal["name", "quote", "promise", "denial", "wording", "language", "markup", "inside", "order"]
"""What an answer claims that its sources do not."""

MIN_SHARED = 0.5
"""Share of an answer's words that must be its sources'."""

MIN_SHARED_BY_CLAUSE = 0.25
"""The same for each clause of more than a few words: nothing is smuggled in behind what is true."""

MIN_SHARED_BY_NEWS = 0.3
"""Share of the neighbouring characters of what is not said word for word that must stand like that in the sources."""

_CLAUSE_WORDS = 4
_CLAUSE_PAIRS = 4

_QUOTED_RULE = 8
"""Chinese characters in a row that stand in the reader's rules: they are repeated."""

_SCRIPTS = tuple(
    map(
        re.compile,
        ("[\u0400-\u052f]", "[\u0590-\u06ff]", "[\u0e00-\u0e7f]", "[\u3041-\u3096\u30a1-\u30fa]", "[\uac00-\ud7af]"),
    )
)
"""Cyrillic, Hebrew and Arabic, Thai, Kana, Hangul: not written unless the customer or an entry does."""
_QUOTED = re.compile(r"「(.+?)」|『(.+?)』|《(.+?)》|【(.+?)】|“(.+?)”|\"(.+?)\"|‘(.+?)’|(?<!\w)'(.+?)'(?!\w)")
_NAME = re.compile(r"[a-z][a-z\d]*(?:[-'’.&+][a-z\d]+)*", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"[a-z\d-]{2,}(?:\.[a-z]{2,})+", re.ASCII)
"""Whatever it ends with: new endings of addresses come every year."""
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n。！？：；…•*\"“(])[\s\d.)*•\"“-]*$")
_NO_NAMES = frozenset(
    re.findall(
        r"\S+",
        "ok hi hello wechat i i'm i'll i'd i've am pm a.m p.m monday tuesday wednesday thursday friday saturday sunday "
        "january february march april may june july august september october november december "
        "jan feb mar apr jun jul aug sep oct nov dec mon tue tues wed thu thurs fri sat sun",
    )
)
_UNITS = frozenset({*UNITS, "mg"})

_COUNTS = re.compile(r"\d\s*#|#\s*\d")
_NAMELESS = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+|(?<=\d)\s*x\s*(?=\d)", re.IGNORECASE)

_CLAUSE_OF_NUMBERS = re.compile(r"(?<!\d)[,.:]|[,.:](?!\d)|[;!?。；！？\n]")


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
    if not all(_is_named(name, known) for name in _names(said, among_han=is_han(known))):
        found.add("name")
    run_together = squeezed(known)
    if any(squeezed(quoted) not in run_together for quoted in _quotations(said)):
        found.add("quote")
    lower, known_lower = said.lower(), known.lower()
    found.update(_oversteps(lower, known_lower))
    each = [plain(source).lower() for source in sources]
    found.update(_number_elsewhere(lower, claims, each))
    if _promises_elsewhere(lower, each):
        found.add("promise")
    news = "\n".join(_news(lower, run_together))
    if any(contradicts(part, known_lower) for part in (lower, news)) or any(grants(lower, source) for source in each):
        found.add("denial")
    # A bare yes could mean anything.
    if not (words_of(lower) or claims) or (HAN.search(said) and is_han(known) and _is_news(news, known_lower)):
        found.add("wording")
    if is_han(known) == is_han(said) and _is_foreign(lower, known_lower):
        found.add("wording")
    if _is_in_another_language(said, question, known):
        found.add("language")
    return sorted(found)


def _oversteps(answer: str, source: str) -> set[Doubt]:
    found: set[Doubt] = set()
    kinds = PROMISES if is_han(answer) == is_han(source) else (*PROMISES, *MATTERS)
    if oversteps(answer, source, kinds):
        found.add("promise")
    if oversteps(answer, source, INSIDE) or _repeats_rules(answer, source):
        found.add("inside")
    if has_markup(answer, source):
        found.add("markup")
    if gives_orders(source):
        found.add("order")
    return found


@cache
def _rules() -> str:
    return squeezed(load("read").render() + load("read_repair").render(error=""))


def _repeats_rules(answer: str, source: str) -> bool:
    """Whether a piece of the reader's own rules is in it."""
    runs, rules, known = RUN.findall(squeezed(answer)), _rules(), squeezed(source)
    pieces = (run[at : at + _QUOTED_RULE] for run in runs for at in range(len(run) - _QUOTED_RULE + 1))
    return any(piece in rules and piece not in known for piece in pieces)


def _is_in_another_language(answer: str, question: str, source: str) -> bool:
    """Whether it is written as neither the customer nor an entry writes."""
    if HAN.search(question) and not HAN.search(answer):
        return True
    given = question + source
    return bool(question) and any(script.search(answer) and not script.search(given) for script in _SCRIPTS)


def _promises_elsewhere(answer: str, sources: Sequence[str]) -> bool:
    """Whether a clause binds the shop with a word that the sources have only about another matter."""
    bound = (
        (clause, kind, match)
        for clause in CLAUSE_END.split(answer)
        for kind in PROMISES
        if (match := kind.search(clause))
    )
    for clause, kind, match in bound:
        words = words_of(clause) - words_of(match.group())
        backing = [source for source in sources if kind.search(source) and is_han(source) == is_han(clause)]
        if backing and max(len(words & words_of(source)) for source in backing) < MIN_SHARED * len(words):
            return True
    return False


def _number_elsewhere(answer: str, claims: set[Fact], sources: Sequence[str]) -> set[Doubt]:
    """Name the facts that several sources have only about another matter than the clause which tells them."""
    apart = [source for source in sources if not any(source in other and source != other for other in sources)]
    if len(set(apart)) < 2:
        return set()
    found: set[Doubt] = set()
    for clause in _CLAUSE_OF_NUMBERS.split(answer):
        words = words_of(clause)
        near = [source for source in apart if len(words & words_of(source)) >= MIN_SHARED * len(words)]
        if len(words) > 1 and near and is_han(clause) == is_han(near[0]):
            offered = set[Fact]().union(*(facts_of(source, is_source=True) for source in near))
            found.update(claim.kind for claim in facts_of(clause) & claims if not offers(offered, claim))
    return found


def _news(answer: str, known: str) -> list[str]:
    """Return the clauses that no source has word for word: behind what is true nothing else may hide."""
    return [clause for clause in CLAUSE_END.split(answer) if squeezed(clause) not in known]


def _is_news(news: str, source: str) -> bool:
    """Whether what is not said word for word is made of other words than the sources."""
    if _shared(pairs_of(news), source) < MIN_SHARED_BY_NEWS:
        return True
    # Among much that is said in other words one clause of something else would not weigh.
    clauses = (pairs_of(clause) for clause in news.split("\n"))
    return any(_shared(pairs, source) < MIN_SHARED_BY_CLAUSE for pairs in clauses if len(pairs) >= _CLAUSE_PAIRS)


def _shared(pairs: set[str], source: str) -> float:
    return sum(pair in source for pair in pairs) / len(pairs) if pairs else 1.0


def _names(text: str, *, among_han: bool = False) -> list[str]:
    """Return the names in Latin letters: in a Chinese text every word, in others what is written like a name.

    `among_han`: a text with any Chinese is one; the sources are.
    """
    text = _NAMELESS.sub(" ", text)
    is_chinese = is_han(text) or (among_han and bool(HAN.search(text)))
    names = []
    for match in _NAME.finditer(text):
        word, before = match.group(), text[: match.start()]
        if word.lower() in _NO_NAMES or (word.lower() in _UNITS and _COUNTS.search(f"{before}#{text[match.end() :]}")):
            continue
        if is_chinese or _is_like_a_name(word, is_first=bool(_SENTENCE_START.search(before))):
            names.append(word)
    return names


def _is_like_a_name(word: str, *, is_first: bool) -> bool:
    if any(char.isdigit() for char in word) or word[1:] != word[1:].lower() or _ADDRESS.fullmatch(word):
        return True
    return word[0].isupper() and not is_first


def _is_named(name: str, text: str) -> bool:
    """Whether the name stands in the text, whatever its case, spaces and hyphens."""
    spelled = r"[\s.&+-]*".join(char for char in name if char.isalnum())
    end = "s?(?![a-z])" if name[-1].isalpha() else r"(?!\d)"
    return bool(re.search(rf"(?<![a-z\d]){spelled}{end}", text, re.IGNORECASE | re.ASCII))


def _quotations(text: str) -> list[str]:
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def _is_foreign(answer: str, source: str) -> bool:
    """Whether the answer, or a clause of it, is made of words the source does not have."""
    said, known = words_of(answer), words_of(source)
    if len(said & known) < MIN_SHARED * len(said):
        return True
    clauses = (words_of(clause) for clause in CLAUSE_END.split(answer))
    return any(
        len(words & known) < MIN_SHARED_BY_CLAUSE * len(words) for words in clauses if len(words) >= _CLAUSE_WORDS
    )
