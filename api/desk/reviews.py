"""Drafts at the desk: shown where somebody asked for them, decided there by a press, live at once."""

from __future__ import annotations

import logging
from dataclasses import replace

from procrastinate import App
from psycopg.types.json import Jsonb

from api.backoff import Backoff
from api.database import Connection, Pool, Row, personal, storable
from api.desk.acts import DeskAnswer
from api.desk.draft_words import Decision, draft_buttons, draft_text, proof, read_decision
from api.errors import BusyError
from api.job_queue import TURNS, JobQueue
from api.knowledge import Knowledge
from api.learning.answers import learn
from api.learning.drafts import (
    Draft,
    DraftBusyError,
    DraftError,
    decide_draft,
    get_draft,
    hold_draft,
    note_draft,
)
from api.learning.misses import load_misses
from api.learning.polish import Polisher
from api.learning.replay import Replayed, misses_of, replay
from api.learning.reviews import approve_draft, merge_draft, review_draft
from api.outbox import DurableOutbox, answer_to
from graph.context import Texts
from kb.errors import KbError
from kb.vectors import clean_text
from tools.messages import DeskEvent

logger = logging.getLogger(__name__)

NEWEST = 300
"""Misses that are grouped with the wanted one: a hundred are embedded in a second, and somebody waits."""

REPLAYED = 50
"""Misses asked again for the proof, the newest."""

WAITING = """
select u.ticket_id, t.thread_id from unknown_questions u join tickets t using (ticket_id)
where u.wanted_by is not null and u.draft_shown_at is null and t.closed_at is not null
order by u.id limit 20
"""

MADE = """
update unknown_questions u set draft_shown_at = now()
where ticket_id = %s and draft_shown_at is null
returning outcome, draft_id, (select state from kb_drafts where id = u.draft_id) as state,
    (select reviewed_by from kb_drafts where id = u.draft_id) as reviewed_by
"""

MEETS = """
update kb_drafts set meets = %(meets)s, revision = revision + (meets is distinct from %(meets)s)::int
where id = %(draft)s and revision = %(revision)s and claimed_by is null returning revision
"""
"""Buttons shown before name other entries: they must not act on these. What was pressed already keeps what it named."""

UNDER = """
select split_part(o.turn_id, '-', 2)::bigint as draft_id from desk_messages m join outbox o on o.id = m.outbox_id
where m.chat_id = %s and m.message_id = %s and o.turn_id ~ '^draft-[0-9]+-'
"""


class DeskReviews:
    """Shows drafts and takes the decisions on them; everything slow is done by jobs."""

    def __init__(
        self,
        pool: Pool,
        queue: JobQueue,
        outbox: DurableOutbox,
        texts: Texts,
        knowledge: Knowledge,
        *,
        polisher: Polisher | None = None,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._outbox = outbox
        self._texts = texts
        self._knowledge = knowledge
        self._polisher = polisher

    def register(self, app: App) -> None:
        """Tell the queue which function does which job."""
        app.task(name="show_draft", queue=TURNS, retry=Backoff())(self.show)
        app.task(name="decide_draft", queue=TURNS, retry=Backoff())(self.decide)
        # The lock: while one run groups many questions, the next ones wait for it instead of doing the same.
        propose = app.task(name="propose_drafts", queue=TURNS, lock="propose_drafts", queueing_lock="propose_drafts")
        app.periodic(cron="* * * * * */2")(propose(self.propose))

    async def take(self, conn: Connection, thread_id: str, event: DeskEvent) -> DeskAnswer | None:
        """Do what an action says about a draft, within the transaction that stores it; None when it is about none."""
        if event.action in {"approve", "reject"}:
            return await self._press(conn, thread_id, event)
        if event.action != "text" or event.reply_to is None:
            return None
        if event.subject.isdecimal():
            # Read off the draft itself: it can be answered before its post is recorded.
            return await self._rewrite(conn, thread_id, event, int(event.subject))
        cursor = await conn.execute(UNDER.encode(), (event.place.chat_id, event.reply_to))
        row = await cursor.fetchone()
        return await self._rewrite(conn, thread_id, event, row["draft_id"]) if row else None

    async def _press(self, conn: Connection, thread_id: str, event: DeskEvent) -> DeskAnswer:
        try:
            draft = await hold_draft(conn, int(event.subject) if event.subject.isdecimal() else 0)
        except DraftBusyError:
            return self._stale("desk_draft_busy")
        except DraftError:
            return self._stale("desk_stale")
        claimed_by = await _claimed_by(conn, draft.id)
        if draft.state != "pending" or claimed_by:
            return self._stale("desk_draft_decided", agent=draft.reviewed_by or claimed_by or "?")
        decision = read_decision(event.target)
        revision = event.target if event.action == "reject" else str(decision and decision.revision)
        if revision != str(draft.revision):
            return self._stale("desk_draft_changed")
        if event.action == "reject":
            done = replace(draft, state="rejected", reviewed_by=event.agent)
            await decide_draft(conn, done, f"desk:{event.agent}", {})
            text = self._texts.render("desk_draft_rejected", number=str(draft.id), agent=event.agent)
            await self._note(conn, thread_id, event, text)
            return DeskAnswer(outcome="answered")
        await conn.execute(
            "update kb_drafts set claimed_by = %s, claimed_as = %s, claimed_at = now() where id = %s",
            (storable(event.agent), event.target, draft.id),
        )
        await self._queue.draft(conn, "decide_draft", draft.id, thread_id, event.key)
        return DeskAnswer(outcome="answered", word=self._texts.render("desk_draft_claimed"))

    async def _rewrite(self, conn: Connection, thread_id: str, event: DeskEvent, draft_id: int) -> DeskAnswer:
        """Take a reply to a draft as its new answer: it is surely not meant for the customer."""
        try:
            draft = await hold_draft(conn, draft_id)
        except DraftError:
            return await self._refuse(conn, thread_id, event, self._texts.render("desk_draft_busy"))
        claimed_by = await _claimed_by(conn, draft_id)
        if draft.state != "pending" or claimed_by:
            word = self._texts.render("desk_draft_decided", agent=draft.reviewed_by or claimed_by or "?")
            return await self._refuse(conn, thread_id, event, word)
        await conn.execute(
            "update kb_drafts set answer = %s, revision = revision + 1 where id = %s",
            (personal(clean_text(event.text)), draft_id),
        )
        await note_draft(conn, "draft.edited", draft, f"desk:{event.agent}", {"fields": ["answer"]})
        await self._queue.draft(conn, "show_draft", draft_id, thread_id, event.key)
        return DeskAnswer(outcome="answered")

    async def propose(self, timestamp: int = 0) -> None:
        """Draft what somebody asked an entry for and a person has answered, and have it shown there."""
        del timestamp
        async with self._pool.connection() as conn:
            rows = await (await conn.execute(WAITING)).fetchall()
        if not rows:
            return
        try:
            await learn(
                self._pool,
                self._knowledge.embedder,
                polisher=self._polisher,
                actor="kefu",
                tickets={row["ticket_id"] for row in rows},
                newest=NEWEST,
            )
        except KbError as error:
            logger.warning("No drafts for the desk", extra={"action": "propose_failed", "error": str(error)})
            return
        for row in rows:
            await self._present(row["ticket_id"], row["thread_id"])

    async def _present(self, ticket_id: str, thread_id: str) -> None:
        async with self._pool.connection() as conn, conn.transaction():
            made = await (await conn.execute(MADE, (ticket_id,))).fetchone()
            if made is None:
                return
            if made["state"] == "pending":
                await self._queue.draft(conn, "show_draft", made["draft_id"], thread_id, ticket_id)
                return
            await self._outbox.note(conn, thread_id, ticket_id, "draft", self._why_none(made))

    def _why_none(self, made: Row) -> str:
        if made["state"] is not None:
            agent = made["reviewed_by"] or "?"
            return self._texts.render("desk_draft_known", number=str(made["draft_id"]), agent=agent)
        return self._texts.render("desk_draft_empty" if made["outcome"] == "answered" else "desk_draft_unanswered")

    async def show(self, draft_id: int, thread_id: str, occasion: str, *, head: str = "") -> None:
        """Show a draft with its buttons, once for each occasion; nothing when it was decided meanwhile."""
        draft = await get_draft(self._pool, draft_id)
        if draft.state != "pending":
            return
        review = await review_draft(self._knowledge, draft)
        text = "\n".join(filter(None, [head, draft_text(self._texts, draft, review)]))
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                MEETS.encode(),
                {
                    "meets": Jsonb([each.entry_id for each in review.same]),
                    "draft": draft_id,
                    "revision": draft.revision,
                },
            )
            if (met := await cursor.fetchone()) is not None:
                draft = replace(draft, revision=met["revision"])
            buttons = draft_buttons(self._texts, draft, review)
            await self._outbox.note(conn, thread_id, f"draft-{draft_id}-{occasion}", "show", text, buttons=buttons)

    async def decide(self, draft_id: int, thread_id: str, occasion: str) -> None:
        """Do what was pressed, and tell the desk what becomes now of the questions that were missed.

        Raises:
            BusyError: somebody is at the draft from the command line.
            IndexUnavailableError: the database or the embedding service does not answer.
        """
        claim = await self._claim(draft_id)
        if claim is None:
            return
        draft, decision = await get_draft(self._pool, draft_id), read_decision(claim["claimed_as"])
        assert decision is not None, "read when it was stored"
        if draft.state == "pending":
            try:
                draft = await self._approve(draft, decision, claim)
            except DraftBusyError as error:
                raise BusyError(str(error)) from error
            except DraftError:
                await self._give_back(draft_id, thread_id, occasion)
                return
        if draft.state == "rejected":
            return
        is_merged = draft.entry_id is not None and draft.entry_id != draft.own_entry_id
        text = proof(self._texts, draft, await self._replay(draft), is_merged=is_merged)
        async with self._pool.connection() as conn, conn.transaction():
            await self._outbox.note(conn, thread_id, f"draft-{draft_id}-{occasion}", "proof", text)

    async def _claim(self, draft_id: int) -> Row | None:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "select claimed_by, claimed_as, meets from kb_drafts where id = %s and claimed_by is not null",
                (draft_id,),
            )
            return await cursor.fetchone()

    async def _approve(self, draft: Draft, decision: Decision, claim: Row) -> Draft:
        by, meets = claim["claimed_by"], list(claim["meets"])
        actor = f"desk:{by}"
        if decision.way == "merge":
            into = meets[0] if meets else ""
            return await merge_draft(self._knowledge, draft.id, into=into, by=by, actor=actor, anyway=decision.anyway)
        replaced = meets if decision.way == "replace" else []
        return await approve_draft(
            self._knowledge, draft.id, by=by, actor=actor, replaced=replaced, anyway=decision.anyway
        )

    async def _give_back(self, draft_id: int, thread_id: str, occasion: str) -> None:
        """Let people decide anew on a draft that could not go live as they saw it."""
        async with self._pool.connection() as conn:
            await conn.execute(
                "update kb_drafts set claimed_by = null, claimed_as = null, claimed_at = null where id = %s",
                (draft_id,),
            )
        head = self._texts.render("desk_draft_refused", number=str(draft_id))
        await self.show(draft_id, thread_id, f"{occasion}-again", head=head)

    async def _replay(self, draft: Draft) -> list[Replayed]:
        misses = await misses_of(self._pool, draft.id, await load_misses(self._pool))
        return await replay(self._knowledge, misses[-REPLAYED:], draft)

    async def _refuse(self, conn: Connection, thread_id: str, event: DeskEvent, word: str) -> DeskAnswer:
        await self._note(conn, thread_id, event, word)
        return DeskAnswer(outcome="refused", word=word)

    async def _note(self, conn: Connection, thread_id: str, event: DeskEvent, text: str) -> None:
        await self._outbox.note(
            conn,
            thread_id,
            event.key,
            "answer",
            text,
            reply_to=event.message_id,
            to=answer_to(event),
        )

    def _stale(self, name: str, **facts: str) -> DeskAnswer:
        return DeskAnswer(outcome="stale", word=self._texts.render(name, **facts))


async def _claimed_by(conn: Connection, draft_id: int) -> str:
    row = await (await conn.execute("select claimed_by from kb_drafts where id = %s", (draft_id,))).fetchone()
    return (row and row["claimed_by"]) or ""
