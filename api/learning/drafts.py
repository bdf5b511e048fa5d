"""Proposed entries: stored, listed, changed, rejected; `api.learning.reviews` approves them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from api.audit import record
from api.database import Connection, Pool, Row, personal, storable
from api.errors import ApiError
from kb.lexical import clean
from kb.rows import make_entry_id
from kb.vectors import clean_text

State = Literal["pending", "approved", "rejected"]

COLUMNS = (
    "id, created_at, state, question, similar_questions, answer, other_answers, category, ticket_id, author,"
    " reviewed_by, reviewed_at, entry_id, revision"
)

SOURCE = "learned"


class DraftError(ApiError):
    """A draft cannot be treated like that; the message says why and how to go on."""


class DraftBusyError(DraftError):
    """Somebody else is at it just now."""


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
    revision: int
    """Goes up with every change: who decides must have seen the latest."""

    @property
    def questions(self) -> list[str]:
        """Every wording, the entry's own first."""
        return [self.question, *self.similar]

    @property
    def source(self) -> str:
        """What its rows name as the file they came from."""
        return f"{SOURCE}/{self.id}"

    @property
    def own_entry_id(self) -> str:
        """The entry it becomes unless it joins another."""
        return make_entry_id(self.source, self.question)


async def insert_draft(conn: Connection, proposal: Proposal) -> int:
    """Store a proposal for review; return its number."""
    cursor = await conn.execute(
        "insert into kb_drafts (question, similar_questions, answer, other_answers, category, ticket_id, author)"
        " values (%s, %s, %s, %s, %s, %s, %s) returning id",
        (
            personal(proposal.question),
            personal(proposal.similar),
            personal(proposal.answer),
            personal(proposal.other_answers),
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
        (personal([*draft.other_answers, *new]), draft_id),
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
    async with held_draft(pool, draft_id) as known, pool.connection() as conn, conn.transaction():
        draft = replace(known, **changes, revision=known.revision + 1)  # type: ignore[arg-type]
        if not clean(draft.question) or not draft.answer:
            raise DraftError("an entry needs a question and an answer")
        await conn.execute(
            "update kb_drafts set question = %s, similar_questions = %s, answer = %s, category = %s,"
            " revision = %s where id = %s",
            (
                personal(draft.question),
                personal(draft.similar),
                personal(draft.answer),
                draft.category,
                draft.revision,
                draft_id,
            ),
        )
        await note_draft(conn, "draft.edited", draft, actor, {"fields": sorted(changes)})
    return draft


async def reject_draft(pool: Pool, draft_id: int, *, by: str, actor: str, reason: str = "") -> Draft:
    """Decide that a draft becomes no entry; what it was made of is not drafted again.

    Raises:
        DraftError: there is none, it was reviewed, or somebody else is at it.
    """
    async with held_draft(pool, draft_id) as draft:
        done = replace(draft, state="rejected", reviewed_by=by)
        async with pool.connection() as conn, conn.transaction():
            await decide_draft(conn, done, actor, {"reason": reason} if reason else {})
    return done


async def decide_draft(conn: Connection, draft: Draft, actor: str, detail: Mapping[str, object]) -> None:
    """Store how a draft was decided, with who did it; callers hold it."""
    await conn.execute(
        "update kb_drafts set state = %s, reviewed_by = %s, reviewed_at = now(), entry_id = %s where id = %s",
        (draft.state, storable(draft.reviewed_by), draft.entry_id, draft.id),
    )
    await note_draft(conn, f"draft.{draft.state}", draft, actor, {"by": draft.reviewed_by, **detail})


async def note_draft(conn: Connection, action: str, draft: Draft, actor: str, detail: Mapping[str, object]) -> None:
    """Write down what was done to a draft."""
    await record(conn, actor=actor, action=action, ticket_id=draft.ticket_id, subject=str(draft.id), detail=detail)


@contextlib.asynccontextmanager
async def held_draft(pool: Pool, draft_id: int) -> AsyncIterator[Draft]:
    """Hold a draft that waits, without a transaction: an import may build an index, which waits for all of those.

    Raises:
        DraftError: there is none, it was reviewed, or somebody else is at it.
    """
    key = (_lock_name(draft_id),)
    async with pool.connection() as conn:
        row = await (await conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 8)) as got", key)).fetchone()
        if row is None or not row["got"]:
            raise DraftBusyError(f"somebody else is reviewing draft {draft_id}")
        try:
            yield await _locked(conn, draft_id)
        finally:
            await conn.execute("select pg_advisory_unlock(hashtextextended(%s, 8))", key)


async def hold_draft(conn: Connection, draft_id: int) -> Draft:
    """Hold a draft, in whatever state, until the end of the caller's transaction.

    Raises:
        DraftError: there is none, or somebody else is at it.
    """
    cursor = await conn.execute(
        "select pg_try_advisory_xact_lock(hashtextextended(%s, 8)) as got", (_lock_name(draft_id),)
    )
    row = await cursor.fetchone()
    if row is None or not row["got"]:
        raise DraftBusyError(f"somebody else is reviewing draft {draft_id}")
    return await _read(conn, draft_id, " for update")


def _lock_name(draft_id: int) -> str:
    return f"kb_draft:{draft_id}"


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
        revision=row["revision"],
    )
