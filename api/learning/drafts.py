"""Proposed entries and what a reviewer does with them; the command line and the desk call the same functions."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from psycopg.types.json import Jsonb

from api.audit import record
from api.database import Connection, Pool, Row, storable
from api.errors import ApiError
from api.knowledge import Knowledge
from api.learning.conflicts import Conflict, find_conflicts
from api.learning.misses import base_floor
from kb.catalog import delete_entries
from kb.chunks import Chunk
from kb.ingest import import_articles
from kb.lexical import clean
from kb.redaction import MARKS, is_marked, redact
from kb.rows import make_entry_id
from kb.vectors import clean_text

State = Literal["pending", "approved", "rejected"]

COLUMNS = (
    "id, created_at, state, question, similar_questions, answer, other_answers, category, ticket_id, author,"
    " reviewed_by, reviewed_at, entry_id"
)

SOURCE = "learned"


class DraftError(ApiError):
    """A draft cannot be treated like that; the message says why and how to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An entry somebody's answer could become."""

    question: str
    similar: tuple[str, ...]
    answer: str
    other_answers: tuple[str, ...] = ()
    """What people told others who asked the same."""
    category: str = ""
    ticket_id: str | None = None
    author: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Proposal):
    """A stored proposal."""

    id: int
    created_at: str
    state: State
    reviewed_by: str | None
    reviewed_at: str | None
    entry_id: str | None

    @property
    def questions(self) -> list[str]:
        """Every wording, the entry's own first."""
        return [self.question, *self.similar]

    @property
    def source(self) -> str:
        """What its rows name as the file they came from."""
        return f"{SOURCE}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a reviewer must know before the decision."""

    conflicts: tuple[Conflict, ...]
    marks: tuple[str, ...]
    """Texts in which something was taken out and nothing was put instead."""
    persons: tuple[str, ...]
    """Kinds of personal facts that the texts still seem to hold."""

    def objections(self, replaced: Sequence[str] = ()) -> list[str]:
        """Say why it should not go live as it is, when these entries are to go."""
        found = [f"something is missing in {text!r}: edit it" for text in self.marks]
        if self.persons:
            found.append(f"it seems to hold personal facts: {', '.join(self.persons)}")
        found += [
            f"it contradicts entry {conflict.entry_id} ({'; '.join(conflict.differences)})"
            for conflict in self.conflicts
            if conflict.kind == "contradiction" and conflict.entry_id not in replaced
        ]
        return found


async def insert_draft(conn: Connection, proposal: Proposal) -> int:
    """Store a proposal for review; return its number."""
    cursor = await conn.execute(
        "insert into kb_drafts (question, similar_questions, answer, other_answers, category, ticket_id, author)"
        " values (%s, %s, %s, %s, %s, %s, %s) returning id",
        (
            storable(proposal.question),
            Jsonb(storable(proposal.similar)),
            storable(proposal.answer),
            Jsonb(storable(proposal.other_answers)),
            proposal.category,
            proposal.ticket_id,
            storable(proposal.author),
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row["id"])


async def add_answers(conn: Connection, draft_id: int, answers: Sequence[str]) -> None:
    """Put further answers beside a draft that waits."""
    draft = await _locked(conn, draft_id)
    known = {clean(text) for text in (draft.answer, *draft.other_answers)}
    new = [text for text in answers if clean(text) not in known]
    await conn.execute(
        "update kb_drafts set other_answers = %s where id = %s",
        (Jsonb(storable([*draft.other_answers, *new])), draft_id),
    )


async def list_drafts(pool: Pool, *, state: State | Literal["all"] = "pending") -> list[Draft]:
    """Return the drafts in a state, oldest first."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            f"select {COLUMNS} from kb_drafts where %s in ('all', state) order by id",  # noqa: S608 -- constants
            (state,),
        )
        return [_draft(row) for row in await cursor.fetchall()]


async def get_draft(pool: Pool, draft_id: int) -> Draft:
    """Return one draft.

    Raises:
        DraftError: there is none.
    """
    async with pool.connection() as conn:
        return await _read(conn, draft_id, "")


async def edit_draft(
    pool: Pool,
    draft_id: int,
    *,
    actor: str,
    question: str | None = None,
    similar: Sequence[str] | None = None,
    answer: str | None = None,
    category: str | None = None,
) -> Draft:
    """Change a draft that waits; what is None stays.

    Raises:
        DraftError: there is none, it was reviewed, somebody else is at it, or nothing is left of question or answer.
    """
    given = {
        "question": None if question is None else clean_text(question),
        "similar": None if similar is None else tuple(filter(None, map(clean_text, similar))),
        "answer": None if answer is None else clean_text(answer),
        "category": None if category is None else clean_text(category),
    }
    changes = {name: value for name, value in given.items() if value is not None}
    async with _held(pool, draft_id) as known, pool.connection() as conn, conn.transaction():
        draft = replace(known, **changes)  # type: ignore[arg-type]
        if not clean(draft.question) or not draft.answer:
            raise DraftError("an entry needs a question and an answer")
        await conn.execute(
            "update kb_drafts set question = %s, similar_questions = %s, answer = %s, category = %s where id = %s",
            (draft.question, Jsonb(list(draft.similar)), draft.answer, draft.category, draft_id),
        )
        await _note(conn, "draft.edited", draft, actor, {"fields": sorted(changes)})
    return draft


async def review_draft(knowledge: Knowledge, draft: Draft) -> Review:
    """Look for what speaks against a draft: entries it meets, gaps, personal facts.

    Raises:
        IndexUnavailableError: the knowledge base does not answer.
    """
    floor = await base_floor(knowledge.pool, knowledge.embedder.model_id)
    conflicts = await find_conflicts(
        knowledge.retriever, draft.questions, draft.answer, floor=floor, own=draft.entry_id or _entry_id(draft)
    )
    texts = [*draft.questions, draft.answer]
    kinds = dict.fromkeys(kind for text in texts for kind in redact(text).kinds)
    return Review(
        conflicts=tuple(conflicts),
        marks=tuple(text for text in texts if is_marked(text)),
        persons=tuple(MARKS[kind] for kind in kinds),
    )


async def approve_draft(
    knowledge: Knowledge,
    draft_id: int,
    *,
    by: str,
    actor: str,
    replaced: Sequence[str] = (),
    anyway: bool = False,
) -> Draft:
    """Make a draft an entry that customers are answered from, at once.

    Args:
        knowledge: the live base.
        draft_id: which draft.
        by: who reviewed it.
        actor: who that is in the audit log.
        replaced: entries that go when it comes.
        anyway: although it contradicts others or seems to hold personal facts; gaps are never accepted.

    Raises:
        DraftError: there is none, it was reviewed, somebody else is at it, or something speaks against it.
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with _held(knowledge.pool, draft_id) as draft:
        review = await review_draft(knowledge, draft)
        objections = review.objections(replaced)
        if objections and (review.marks or not anyway):
            raise DraftError(f"draft {draft_id} was not approved: {'; '.join(objections)}")
        # Twice does no harm: the rows keep their ids. So a break between here and the end is mended by approving again.
        await import_articles(knowledge.pool, knowledge.embedder, _chunks(draft, by))
        await delete_entries(knowledge.pool, entry_ids=replaced)
        done = replace(draft, state="approved", reviewed_by=by, entry_id=_entry_id(draft))
        await _decide(knowledge.pool, done, actor, {"entry_id": done.entry_id, "replaced": list(replaced)})
    return done


async def reject_draft(pool: Pool, draft_id: int, *, by: str, actor: str, reason: str = "") -> Draft:
    """Decide that a draft becomes no entry; what it was made of is not drafted again.

    Raises:
        DraftError: there is none, it was reviewed, or somebody else is at it.
    """
    async with _held(pool, draft_id) as draft:
        done = replace(draft, state="rejected", reviewed_by=by)
        await _decide(pool, done, actor, {"reason": reason} if reason else {})
    return done


async def _decide(pool: Pool, draft: Draft, actor: str, detail: dict[str, object]) -> None:
    async with pool.connection() as conn, conn.transaction():
        await conn.execute(
            "update kb_drafts set state = %s, reviewed_by = %s, reviewed_at = now(), entry_id = %s where id = %s",
            (draft.state, storable(draft.reviewed_by), draft.entry_id, draft.id),
        )
        await _note(conn, f"draft.{draft.state}", draft, actor, {"by": draft.reviewed_by, **detail})


async def _note(conn: Connection, action: str, draft: Draft, actor: str, detail: dict[str, object]) -> None:
    await record(conn, actor=actor, action=action, ticket_id=draft.ticket_id, subject=str(draft.id), detail=detail)


@contextlib.asynccontextmanager
async def _held(pool: Pool, draft_id: int) -> AsyncIterator[Draft]:
    """Hold a draft that waits, without a transaction: an import may build an index, which waits for all of those."""
    key = (f"kb_draft:{draft_id}",)
    async with pool.connection() as conn:
        row = await (await conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 8)) as got", key)).fetchone()
        if row is None or not row["got"]:
            raise DraftError(f"somebody else is reviewing draft {draft_id}")
        try:
            yield await _locked(conn, draft_id)
        finally:
            await conn.execute("select pg_advisory_unlock(hashtextextended(%s, 8))", key)


async def _locked(conn: Connection, draft_id: int) -> Draft:
    """Read a draft that waits; in a transaction nobody else changes it until its end."""
    draft = await _read(conn, draft_id, " for update")
    if draft.state != "pending":
        raise DraftError(f"draft {draft_id} was {draft.state} by {draft.reviewed_by}")
    return draft


async def _read(conn: Connection, draft_id: int, lock: str) -> Draft:
    statement = f"select {COLUMNS} from kb_drafts where id = %s{lock}"  # noqa: S608 -- constants
    row = await (await conn.execute(statement.encode(), (draft_id,))).fetchone()
    if row is None:
        raise DraftError(f"there is no draft {draft_id}; see `kefu kb drafts list --state all`")
    return _draft(row)


def _draft(row: Row) -> Draft:
    return Draft(
        id=row["id"],
        created_at=row["created_at"].isoformat(),
        state=row["state"],
        question=row["question"],
        similar=tuple(row["similar_questions"]),
        answer=row["answer"],
        other_answers=tuple(row["other_answers"]),
        category=row["category"],
        ticket_id=row["ticket_id"],
        author=row["author"],
        reviewed_by=row["reviewed_by"],
        reviewed_at=row["reviewed_at"].isoformat() if row["reviewed_at"] else None,
        entry_id=row["entry_id"],
    )


def _entry_id(draft: Draft) -> str:
    return make_entry_id(draft.source, draft.question)


def _chunks(draft: Draft, reviewer: str) -> list[Chunk]:
    facts = {
        "origin": "desk" if draft.ticket_id else "draft",
        "draft": str(draft.id),
        "ticket": draft.ticket_id or "",
        "author": draft.author,
        "reviewed_by": reviewer,
    }
    return [
        Chunk(
            content=f"{question}\n{draft.answer}",
            question=question,
            answer=draft.answer,
            entry_id=_entry_id(draft),
            source=draft.source,
            category=draft.category,
            facts=tuple((name, value) for name, value in facts.items() if value),
        )
        for question in dict.fromkeys(draft.questions)
    ]
