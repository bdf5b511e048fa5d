"""Whether an answer denies what its sources affirm, or grants what they refuse."""

from __future__ import annotations

import re

from graph.wording import CLAUSE_END, is_han, neighbours_in, squeezed, words_of

SHARED = 0.5
"""Share of a question's words that make a clause its echo."""

_A_NOT_A = re.compile(r"([\u3400-\u9fff])[不没]\1")
_NO_DENIAL = re.compile(
    "不好意思|不客气|不用担心|不仅|不但|不过|不同|不错|没关系|没问题|无论|不管|特别|分别|区别|级别|类别|别人"
)
_ASKED = re.compile(r"[^。！!？?\n]*(?:[?？]|[吗呢](?=[ \t]*(?:\n|$)))")
"""A question affirms nothing."""
_YES_OR_NO = re.compile(r"吗|[能可会有是]不|能否|可否|是否|^\s*(?:can|could|do|does|is|are|may|will)\b")
_AGREES = re.compile(r"\s*(?:亲[,，])?(?:可以|能|行|支持|有(?!效)|是|会(?!员)|yes\b)")
_REFUSAL = re.compile(
    r"不(?:能|可|支持|提供|行|会|予|再|参加|接受|允许|在|属|包|含|享)|无法|[只仅]限|[只仅]能|禁止|谢绝"
)
_DENIES = re.compile(r"\b(?:no[tr]?|never|only|except|exclud\w+|unable|without|sorry|unfortunately|cannot)\b|n['’]t\b")
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


def contradicts(answer: str, source: str) -> bool:
    """Whether one denies what the other only affirms."""
    source = _ASKED.sub(" ", source)
    if any(name in answer and not _EXCEPTS.search(answer) for name in _excepted(source)):
        return True
    answer, source = (_NO_DENIAL.sub(" ", _A_NOT_A.sub(" ", text)) for text in (answer, source))
    if _YES.search(answer) and _REFUSES.search(source):
        return True
    return _denies_affirmed(answer, source) or _denies_affirmed(source, answer)


def grants(answer: str, source: str) -> bool:
    """Whether it says yes to the very thing that an entry is asked for and refuses."""
    asked = [question for question in _ASKED.findall(source) if _YES_OR_NO.search(question)]
    told = _ASKED.sub("", source).strip()
    first = re.split(r"[。！!\n]", told, maxsplit=1)[0]
    if not asked or not _REFUSAL.search(first) or _AGREES.match(told):
        return False
    if is_han(answer) != is_han(source):
        return answer.isascii() and not _DENIES.search(answer)
    # Whatever stands around it: behind the refusal itself it is no truer.
    said = [clause for clause in CLAUSE_END.split(_ASKED.sub("", answer)) if not _REFUSAL.search(clause)]
    clauses = [(clause, words_of(clause)) for clause in said]
    return any(
        len(words) > 1
        and words <= theme
        and len(words) >= SHARED * len(theme)
        and squeezed(clause) not in squeezed(told)
        for theme in map(words_of, asked)
        for clause, words in clauses
    )


def _excepted(source: str) -> list[str]:
    """Return what the source makes exceptions of: A and B in 「A、B除外」."""
    names = (name.strip() for clause in _EXCEPTED.findall(source) for name in re.split("[、和及与或]", clause))
    return [name for name in names if len(name) > 1]


def _denies_affirmed(denying: str, affirming: str) -> bool:
    denials = list(_DENIED.finditer(denying))
    agreed = {match["head"] for match in _DENIED.finditer(affirming)}
    others, affirmed = _DENIED.sub(" ", denying), _DENIED.sub(" ", affirming)
    told = [match for match in denials if match["head"] not in agreed]
    if any(
        word and word.strip() in affirmed and word.strip() not in others
        for match in told
        for word in match.group("head", "object")
    ):
        return True
    # 不支持退到其他账户: by all that is said of this alone, where the first words are said of other things too.
    objects = [neighbours_in(match.group()[match.end("head") - match.start() :]) for match in told]
    news = [{pair for pair in pairs if pair not in others} for pairs in objects]
    return any(len(pairs) > 1 and all(pair in affirmed for pair in pairs) for pairs in news)
