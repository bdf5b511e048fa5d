"""Questions the knowledge base did not cover: read, grouped by what they ask, counted by week."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from api.database import Connection, Pool, Row
from kb.clusters import central, group, repeated, same_cosine
from kb.confidence import DEFAULT_FLOOR
from kb.embeddings import Embedder
from kb.lexical import clean
from kb.redaction import generalise
from kb.retriever import asked_text
from kb.vectors import Vector

REASONS = ("low_confidence", "none_of_these", "model_refused")
"""Why a question counts as a miss; who asks for a person, or writes too fast, tells nothing about the base."""

EMBEDDED_AT_ONCE = 64

Progress = Callable[[int, int], None]
"""Told how many questions are embedded, and how many there are."""

SELECT = """
select id, content, user_id, created_at, ticket_id, outcome, draft_id, verdict from unknown_questions
where (reason is null or reason = any(%(reasons)s) or wanted_by is not null)
  and (%(all)s or verdict is distinct from 'closed')
order by created_at, id
"""

SAID = (
    "i.thread_id = t.thread_id and i.origin = 'desk' and i.kind in ('text', 'draft', 'send', 'confirm')"
    " and (i.outcome is null or i.outcome = 'handled') and i.received_at between t.opened_at and t.closed_at"
)
"""Rows of the inbox with what a person told the customer of a ticket; neither commands nor what was held back."""

SETTLE = f"""
update unknown_questions u set outcome_at = t.closed_at,
    outcome = case when exists (select 1 from inbox i where {SAID}) then 'answered' else 'unanswered' end
from tickets t where t.ticket_id = u.ticket_id and t.closed_at is not null and u.outcome is null
"""  # noqa: S608 -- constants


def silent(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One question, or burst of questions, that went to a person."""

    id: int
    lines: tuple[str, ...]
    """What was asked, a question each; the first one may be what a menu did not settle."""
    user_id: str
    """Empty when nobody knows any more, or it was written down by hand."""
    asked_at: datetime
    ticket_id: str | None = None
    outcome: str | None = None
    draft_id: int | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One way to put a question, with all who put it so."""

    text: str
    bare: str
    """Without numbers of persons: my order and yours are one question."""
    misses: tuple[Miss, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Wordings of one question."""

    question: str
    """The most central wording."""
    wordings: tuple[Wording, ...]
    """The most central one first, then in order of appearance."""
    vectors: tuple[Vector, ...]
    """Of the wordings."""

    @property
    def misses(self) -> list[Miss]:
        """Everybody who asked, each miss once."""
        return list({miss.id: miss for wording in self.wordings for miss in wording.misses}.values())

    @property
    def customers(self) -> int:
        """How many customers it cost; those nobody knows any more count one each."""
        known = Counter(miss.user_id for miss in self.misses)
        anonymous = known.pop("", 0)
        return len(known) + anonymous

    @property
    def last_at(self) -> datetime:
        """When it was asked last."""
        return max(miss.asked_at for miss in self.misses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """The misses of one week."""

    monday: date
    misses: int
    repeats: int
    """Those that somebody had asked before."""

    @property
    def rate(self) -> float:
        """The share of repeats."""
        return self.repeats / self.misses


async def settle_outcomes(conn: Connection) -> int:
    """Note what became of the questions whose tickets are closed; return of how many.

    In time, because closed tickets and what was said in them do not stay for ever.
    """
    return (await conn.execute(SETTLE)).rowcount


async def want_entry(conn: Connection, ticket_id: str, agent: str) -> None:
    """Note that somebody wants an entry made of a ticket, whatever its reason; its answer is drafted once it is closed.

    Fits `api.desk.inbox.RequestEntry`.
    """
    await conn.execute("update unknown_questions set wanted_by = %s where ticket_id = %s", (agent, ticket_id))


async def load_misses(pool: Pool, *, everything: bool = True) -> list[Miss]:
    """Return the misses, oldest first; without `everything`, those the bot does not answer by now."""
    async with pool.connection() as conn:
        cursor = await conn.execute(SELECT, {"reasons": list(REASONS), "all": everything})
        return [_miss(row) for row in await cursor.fetchall()]


async def base_floor(pool: Pool, model_id: str) -> float:
    """Return the floor of the knowledge base as measured last; see `kb.evidence`."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "select (body ->> 'floor')::float8 as floor from calibrations where embedding_model = %s"
            " order by id desc limit 1",
            (model_id,),
        )
        row = await cursor.fetchone()
    return float(row["floor"]) if row and row["floor"] is not None else DEFAULT_FLOOR


def wordings_of(misses: Sequence[Miss]) -> list[Wording]:
    """Put together what was asked in the same words, in order of appearance."""
    found: dict[str, tuple[str, str, list[Miss]]] = {}
    for miss in misses:
        for line in miss.lines:
            bare = _bare(line)
            asked = found.setdefault(clean(bare), (line, bare, []))[2]
            if not asked or asked[-1] is not miss:
                asked.append(miss)
    return [Wording(text=text, bare=bare, misses=tuple(asked)) for text, bare, asked in found.values()]


async def cluster_misses(
    misses: Sequence[Miss], embedder: Embedder, *, floor: float, progress: Progress = silent
) -> list[Cluster]:
    """Group the misses by what they ask, what cost the most customers first.

    Raises:
        IndexUnavailableError: the embedding service does not answer.
    """
    wordings = wordings_of(misses)
    vectors = await _embed([wording.bare for wording in wordings], embedder, progress)
    members: dict[int, list[int]] = {}
    for place, label in enumerate(group(vectors, cosine=same_cosine(floor))):
        members.setdefault(label, []).append(place)
    clusters = [_cluster([wordings[i] for i in places], [vectors[i] for i in places]) for places in members.values()]
    return sorted(clusters, key=lambda made: (made.customers, len(made.misses), made.last_at), reverse=True)


async def repeat_rates(
    misses: Sequence[Miss], embedder: Embedder, *, floor: float, progress: Progress = silent
) -> list[Week]:
    """Tell for each week how many misses somebody had asked before: what learning would have spared.

    Raises:
        IndexUnavailableError: the embedding service does not answer.
    """
    asked = [(miss, _bare(miss.lines[0])) for miss in misses if miss.lines]
    first: dict[str, int] = {}
    for place, (_, text) in enumerate(asked):
        first.setdefault(clean(text), place)
    texts = [asked[place][1] for place in first.values()]
    known = repeated(await _embed(texts, embedder, progress), cosine=same_cosine(floor))
    is_known = dict(zip(first, known, strict=True))
    counts: dict[date, list[bool]] = {}
    for place, (miss, text) in enumerate(asked):
        key = clean(text)
        counts.setdefault(_monday(miss.asked_at), []).append(first[key] != place or is_known[key])
    return [Week(monday=monday, misses=len(found), repeats=sum(found)) for monday, found in sorted(counts.items())]


def _miss(row: Row) -> Miss:
    lines = dict.fromkeys(line.strip() for line in row["content"].splitlines() if clean(line))
    return Miss(
        id=row["id"],
        lines=tuple(lines),
        user_id=row["user_id"],
        asked_at=row["created_at"],
        ticket_id=row["ticket_id"],
        outcome=row["outcome"],
        draft_id=row["draft_id"],
        verdict=row["verdict"],
    )


def _bare(line: str) -> str:
    bare = generalise(line)
    # Nothing but a number was written: it stands for itself.
    return bare if clean(bare) else line


def _cluster(wordings: Sequence[Wording], vectors: Sequence[Vector]) -> Cluster:
    middle = central(vectors)
    order = [middle, *(place for place in range(len(wordings)) if place != middle)]
    return Cluster(
        question=wordings[middle].text,
        wordings=tuple(wordings[place] for place in order),
        vectors=tuple(vectors[place] for place in order),
    )


async def _embed(texts: Sequence[str], embedder: Embedder, progress: Progress) -> list[Vector]:
    vectors: list[Vector] = []
    for batch in _batches(texts):
        vectors += await embedder.embed_questions([asked_text(text) for text in batch])
        progress(len(vectors), len(texts))
    return vectors


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), EMBEDDED_AT_ONCE):
        yield texts[start : start + EMBEDDED_AT_ONCE]


def _monday(moment: datetime) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())
