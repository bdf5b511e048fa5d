"""From people's answers to drafts: what was said in answered tickets, without persons and without courtesies."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass

from api.audit import record
from api.database import Connection, Pool
from api.learning.drafts import Proposal, add_answers, insert_draft, list_drafts
from api.learning.misses import (
    SAID,
    Cluster,
    Miss,
    Progress,
    base_floor,
    cluster_misses,
    load_misses,
    settle_outcomes,
    silent,
)
from api.learning.polish import Polisher
from kb.clusters import spread
from kb.embeddings import Embedder
from kb.lexical import clean
from kb.redaction import generalise, is_marked, redact

MOST_WORDINGS = 8
"""Other wordings a draft proposes; as different from each other as there are."""

LEARNER_LOCK = 7_263_003
"""Advisory lock of the one who drafts: two at once would draft the same answers."""
LEARNER_PAUSE = 0.1

LONGEST_WORDING = 60
"""Characters: what is longer tells a story."""

ANSWERED = f"""
select t.ticket_id, coalesce(max(c.customer_name), '') as customer,
    string_agg(i.payload ->> 'text', E'\\n' order by i.id) as answer,
    (array_agg(coalesce(i.payload ->> 'agent', '') order by i.id desc))[1] as agent
from tickets t
join inbox i on {SAID} and coalesce(i.payload ->> 'text', '') <> ''
left join conversations c on c.thread_id = t.thread_id
where t.ticket_id = any(%s) group by t.ticket_id
"""  # noqa: S608 -- constants

_COURTESY = re.compile(
    r"(?:亲+爱?的?|您好|你好|在的|在呢|hi|hello|嗯+|好的?|收到|明白|不客气|谢谢(?:您|你)?|感谢(?:您的)?(?:咨询|支持|理解)?|"
    r"请?(?:您|你)?(?:稍等|等一?下|稍候)(?:一下|片刻)?|我?(?:帮|给|为)(?:您|你)(?:查|看|问|核实|确认)(?:询|看|问)?(?:一?下)?|"
    r"(?:还)?有(?:什么|其他)?(?:问题|需要)?(?:可以)?(?:帮|帮到)?(?:您|你)?的?(?:吗|随时(?:联系|找)我(?:们)?)?|"
    r"抱歉(?:久等了)?|不好意思|让(?:您|你)久等了|祝(?:您|你).{0,8}|再见|拜拜|"
    r"thanks?(?: you)?|you'?re welcome|one moment(?: please)?)"
    r"[\s~～!！。.,，、;；哦呢啊呀哈啦的了]*",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"(?<=[。！!？?\n])|(?<=[，,~～])(?!\s*$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person told one customer."""

    ticket_id: str
    text: str
    """Without persons and courtesies; empty when nothing else was said."""
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a look at the answered tickets gave."""

    drafts: tuple[int, ...]
    joined: int
    """Clusters whose draft waits for its review already: the new answers were put beside it."""
    answered: int
    """Misses that a person answered and that had no draft."""
    empty: int
    """Clusters of them in which nothing was said that could be told to others."""


async def learn(
    pool: Pool,
    embedder: Embedder,
    *,
    polisher: Polisher | None = None,
    actor: str,
    progress: Progress = silent,
    tickets: Collection[str] = (),
    newest: int | None = None,
) -> Learned:
    """Draft an entry for every cluster with answered tickets that have no draft yet; a second run drafts nothing.

    One caller at a time does this, over all processes.

    Args:
        pool: the database.
        embedder: what questions are grouped with.
        polisher: words the drafts better.
        actor: who that is in the audit log.
        progress: told how many questions are embedded.
        tickets: only clusters with one of these; empty: every cluster.
        newest: look only at so many of the newest misses, and at those tickets'.

    Raises:
        IndexUnavailableError: the database or the embedding service does not answer.
    """
    async with _alone(pool):
        async with pool.connection() as conn:
            await settle_outcomes(conn)
        misses = await load_misses(pool)
        if newest is not None:
            misses = [miss for miss in misses[:-newest] if miss.ticket_id in tickets] + misses[-newest:]
        waiting = {miss.ticket_id for miss in misses if miss.outcome == "answered" and miss.draft_id is None}
        if not waiting:
            return Learned(drafts=(), joined=0, answered=0, empty=0)
        floor = await base_floor(pool, embedder.model_id)
        clusters = await cluster_misses(misses, embedder, floor=floor, progress=progress)
        if tickets:
            clusters = [made for made in clusters if any(miss.ticket_id in tickets for miss in made.misses)]
        return await _draft(pool, clusters, waiting, polisher=polisher, actor=actor)


@contextlib.asynccontextmanager
async def _alone(pool: Pool) -> AsyncIterator[None]:
    # Asked for again and again: who waits inside a statement stands in the way of an index that is being built.
    async with pool.connection() as conn:
        while True:
            row = await (await conn.execute("select pg_try_advisory_lock(%s) as got", (LEARNER_LOCK,))).fetchone()
            if row is not None and row["got"]:
                break
            await asyncio.sleep(LEARNER_PAUSE)
        try:
            yield
        finally:
            await conn.execute("select pg_advisory_unlock(%s)", (LEARNER_LOCK,))


async def _draft(
    pool: Pool, clusters: Sequence[Cluster], waiting: Collection[str | None], *, polisher: Polisher | None, actor: str
) -> Learned:
    answers = await read_answers(pool, [ticket_id for ticket_id in waiting if ticket_id])
    pending = {draft.id for draft in await list_drafts(pool, state="pending")}
    drafts: list[int] = []
    joined, empty, taken = 0, 0, set[int]()
    for cluster in clusters:
        answered = [miss for miss in cluster.misses if miss.ticket_id in waiting and miss.id not in taken]
        proposal = propose(cluster, answered, answers)
        if proposal is None:
            empty += bool(answered)
            continue
        # A burst of two questions belongs to two clusters; its answer is learned once.
        taken.update(miss.id for miss in cluster.misses)
        known = next((miss.draft_id for miss in cluster.misses if miss.draft_id in pending), None)
        if known is not None:
            await _join(pool, known, proposal, cluster)
            joined += 1
            continue
        if polisher is not None:
            proposal = await polisher.polish(proposal)
        drafts.append(await _store(pool, proposal, cluster, actor=actor))
    return Learned(drafts=tuple(drafts), joined=joined, answered=len(waiting), empty=empty)


async def read_answers(pool: Pool, ticket_ids: Sequence[str]) -> dict[str, Answer]:
    """Return what people said in these tickets."""
    async with pool.connection() as conn:
        rows = await (await conn.execute(ANSWERED, (list(ticket_ids),))).fetchall()
    return {
        row["ticket_id"]: Answer(
            ticket_id=row["ticket_id"],
            text=redact(without_courtesies(row["answer"]), known=(row["customer"], row["agent"])).text,
            agent=row["agent"],
        )
        for row in rows
    }


def without_courtesies(text: str) -> str:
    """Drop the clauses of an answer that say nothing: greetings, asking to wait, wishes."""
    lines = (_kept(line) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def propose(cluster: Cluster, answered: Sequence[Miss], answers: dict[str, Answer]) -> Proposal | None:
    """Make an entry of a cluster and its newest answer; None when nothing in the answers can be told to others."""
    given = [(miss, answers[miss.ticket_id]) for miss in answered if miss.ticket_id in answers]
    usable = sorted(
        ((miss, answer) for miss, answer in given if answer.text),
        key=lambda pair: (pair[0].asked_at, pair[0].id),
        reverse=True,
    )
    if not usable:
        return None
    _, chosen = usable[0]
    questions = _questions(cluster)
    others = dict.fromkeys(answer.text for _, answer in usable[1:] if clean(answer.text) != clean(chosen.text))
    return Proposal(
        question=questions[0],
        similar=tuple(questions[1:]),
        answer=chosen.text,
        other_answers=tuple(others),
        ticket_id=chosen.ticket_id,
        author=chosen.agent,
    )


def _questions(cluster: Cluster) -> list[str]:
    """Return the wordings to propose, the entry's own question first; those that name nobody come before others."""
    bare = [generalise(wording.text) for wording in cluster.wordings]
    usable = [i for i, text in enumerate(bare) if clean(text) and not is_marked(text) and len(text) <= LONGEST_WORDING]
    if not usable:
        # With its marks: somebody has to word it before it can be approved.
        return [next((text for text in bare if clean(text)), redact(cluster.question).text)]
    found: dict[str, str] = {}
    for place in spread([cluster.vectors[i] for i in usable], most=MOST_WORDINGS + 1):
        found.setdefault(clean(bare[usable[place]]), bare[usable[place]])
    return list(found.values())


def _kept(line: str) -> str:
    clauses = [clause for clause in _CLAUSES.split(line.strip()) if clause]
    kept = [clause for clause in clauses if not _COURTESY.fullmatch(clause.strip())]
    # 好的，七天内可退。 loses its first clause, and the comma with it.
    return "".join(kept).strip().rstrip("，,~～ ")


async def _store(pool: Pool, proposal: Proposal, cluster: Cluster, *, actor: str) -> int:
    async with pool.connection() as conn, conn.transaction():
        draft_id = await insert_draft(conn, proposal)
        await _claim(conn, draft_id, [miss.id for miss in cluster.misses])
        await record(
            conn,
            actor=actor,
            action="draft.proposed",
            ticket_id=proposal.ticket_id,
            subject=str(draft_id),
            detail={"misses": len(cluster.misses), "customers": cluster.customers},
        )
    return draft_id


async def _join(pool: Pool, draft_id: int, proposal: Proposal, cluster: Cluster) -> None:
    async with pool.connection() as conn, conn.transaction():
        await add_answers(conn, draft_id, [proposal.answer, *proposal.other_answers])
        await _claim(conn, draft_id, [miss.id for miss in cluster.misses])


async def _claim(conn: Connection, draft_id: int, miss_ids: Sequence[int]) -> None:
    await conn.execute(
        "update unknown_questions u set draft_id = %s where id = any(%s) and (u.draft_id is null"
        # Those an earlier entry was made of stay its own proof.
        " or exists (select 1 from kb_drafts d where d.id = u.draft_id and d.state = 'rejected'))",
        (draft_id, list(miss_ids)),
    )
