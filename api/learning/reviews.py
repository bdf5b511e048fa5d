"""What a reviewer must know of a draft, and the approval; the command line and the desk call the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.knowledge import Knowledge
from api.learning.conflicts import Conflict, find_conflicts
from api.learning.drafts import Draft, DraftError, decide_draft, held_draft
from api.learning.misses import base_floor
from kb.catalog import Entry, delete_entries, list_entries
from kb.chunks import Chunk
from kb.ingest import import_articles
from kb.lexical import clean
from kb.redaction import MARKS, is_marked, redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a reviewer must know before the decision."""

    conflicts: tuple[Conflict, ...]
    marks: tuple[str, ...]
    """Texts in which something was taken out and nothing was put instead."""
    persons: tuple[str, ...]
    """Kinds of personal facts that the texts still seem to hold."""

    @property
    def same(self) -> tuple[Conflict, ...]:
        """Entries that ask the same, whether or not they say the same."""
        return tuple(conflict for conflict in self.conflicts if conflict.kind != "near")

    def objections(self, settled: Sequence[str] = ()) -> list[str]:
        """Say why it should not go live as it is, when these entries are no matter."""
        found = [f"something is missing in {text!r}: edit it" for text in self.marks]
        if self.persons:
            found.append(f"it seems to hold personal facts: {', '.join(self.persons)}")
        return found + [_objection(conflict) for conflict in self.same if conflict.entry_id not in settled]

    def is_final(self, settled: Sequence[str] = ()) -> bool:
        """Whether nobody may overrule the objections: gaps, and a question there is already word for word."""
        verbatim = (conflict for conflict in self.same if conflict.is_verbatim and conflict.entry_id not in settled)
        return bool(self.marks) or any(verbatim)


async def review_draft(knowledge: Knowledge, draft: Draft) -> Review:
    """Look for what speaks against a draft: entries it meets, gaps, personal facts.

    Raises:
        IndexUnavailableError: the knowledge base does not answer.
    """
    floor = await base_floor(knowledge.pool, knowledge.embedder.model_id)
    conflicts = await find_conflicts(
        knowledge.retriever, draft.questions, draft.answer, floor=floor, own=draft.entry_id or draft.own_entry_id
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
        anyway: although it meets an entry that asks the same in other words, or seems to hold personal facts; gaps and
            a question that an entry asks word for word are never accepted.

    Raises:
        DraftError: there is none, it was reviewed, somebody else is at it, or something speaks against it.
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with held_draft(knowledge.pool, draft_id) as draft:
        review = await review_draft(knowledge, draft)
        objections = review.objections(replaced)
        if objections and (review.is_final(replaced) or not anyway):
            raise DraftError(f"draft {draft_id} was not approved: {'; '.join(objections)}")
        # Twice does no harm: the rows keep their ids. So a break between here and the end is mended by approving again.
        await import_articles(knowledge.pool, knowledge.embedder, _chunks(draft, by))
        await delete_entries(knowledge.pool, entry_ids=replaced)
        done = replace(draft, state="approved", reviewed_by=by, entry_id=draft.own_entry_id)
        await _store(knowledge, done, actor, {"replaced": list(replaced)})
    return done


async def merge_draft(
    knowledge: Knowledge, draft_id: int, *, into: str, by: str, actor: str, anyway: bool = False
) -> Draft:
    """Make the wordings of a draft further wordings of an entry, whose answer stays; no entry is added.

    Raises:
        DraftError: there is no such draft or entry, it was reviewed, somebody else is at it, or something speaks
            against its wordings.
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with held_draft(knowledge.pool, draft_id) as draft:
        entry = next((entry for entry in await list_entries(knowledge.pool) if entry.entry_id == into), None)
        if entry is None or not entry.question:
            raise DraftError(f"there is no entry {into} with a question to merge draft {draft_id} into")
        # Its own answer is not used: what is wrong with that is no matter.
        has_persons = any(redact(text).kinds for text in draft.questions)
        if any(map(is_marked, draft.questions)) or (has_persons and not anyway):
            raise DraftError(f"draft {draft_id} was not merged: its wordings hold gaps or personal facts; edit them")
        await import_articles(knowledge.pool, knowledge.embedder, _wordings(draft, entry, by))
        done = replace(draft, state="approved", reviewed_by=by, entry_id=into)
        await _store(knowledge, done, actor, {"merged_into": into})
    return done


async def _store(knowledge: Knowledge, done: Draft, actor: str, detail: dict[str, object]) -> None:
    async with knowledge.pool.connection() as conn, conn.transaction():
        await decide_draft(conn, done, actor, {"entry_id": done.entry_id, **detail})


def _objection(conflict: Conflict) -> str:
    name = f"entry {conflict.entry_id} ({conflict.question!r})"
    mend = f"--merge {conflict.entry_id} adds its wordings there, --replace {conflict.entry_id} puts it instead"
    if conflict.kind == "contradiction":
        return f"it contradicts {name}: {'; '.join(conflict.differences)}; {mend}"
    return f"it asks the same as {name}; {mend}"


def _chunks(draft: Draft, reviewer: str) -> list[Chunk]:
    return [
        Chunk(
            content=f"{question}\n{draft.answer}",
            question=question,
            answer=draft.answer,
            entry_id=draft.own_entry_id,
            source=draft.source,
            category=draft.category,
            facts=_facts(draft, reviewer),
        )
        for question in dict.fromkeys(draft.questions)
    ]


def _wordings(draft: Draft, entry: Entry, reviewer: str) -> list[Chunk]:
    """Return what an entry does not ask yet; it belongs to the entry's file, like the entry's other wordings."""
    known = {clean(text) for text in (entry.question, *entry.similar)}
    new = {clean(text): text for text in reversed(draft.questions) if clean(text) not in known}
    return [
        Chunk(
            content=f"{question}\n{entry.answer}",
            question=question,
            answer=entry.answer,
            entry_id=entry.entry_id,
            source=entry.source,
            category=entry.category,
            headings=entry.headings,
            facts=_facts(draft, reviewer),
        )
        for question in reversed(new.values())
    ]


def _facts(draft: Draft, reviewer: str) -> tuple[tuple[str, str], ...]:
    facts = {
        "origin": "desk" if draft.ticket_id else "draft",
        "draft": str(draft.id),
        "ticket": draft.ticket_id or "",
        "author": draft.author,
        "reviewed_by": reviewer,
    }
    return tuple((name, value) for name, value in facts.items() if value)
