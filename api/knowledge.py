"""The knowledge base of one process: search, confidence, and fitting the confidence anew when the base changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from api.audits import Alarm, watch_accuracy
from api.database import Pool
from api.observability.embeddings import CountedEmbedder
from api.settings import Settings
from kb.calibration import Report, calibrate
from kb.calibrations import BaseGrader, chosen_labels, save_calibration
from kb.chunks import GRADED_HITS, Grade, Hit
from kb.embeddings import Embedder, make_embedder
from kb.errors import KbError
from kb.lexical_index import LexicalIndex
from kb.measuring import Label, Progress, silent
from kb.rerank import open_reranker
from kb.retriever import Patience, PgRetriever
from kb.vector_index import fetch, open_vector_index
from tools.circuit_breaker import CircuitBreaker

logger = logging.getLogger(__name__)

EMBEDDING_FAILURES = 2
EMBEDDING_PAUSE = 30
"""After so many failures in a row a service is left alone for so many seconds: customers wait for it."""

FOLLOW_SECONDS = 2
"""How soon a process takes over what another one fitted."""

QUIET = timedelta(seconds=20)
"""How long the base must have been left alone before the confidence is fitted to it."""

SETTLED = "select coalesce(max(created_at) < now() - %(quiet)s, true) as has_settled from knowledge_changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything needed to search and to decide."""

    pool: Pool
    embedder: Embedder
    lexical: LexicalIndex
    retriever: PgRetriever
    grader: BaseGrader
    max_wrong: float

    async def try_question(self, query: str, *, limit: int) -> tuple[list[Hit], Grade]:
        """Search and grade as the bot does; the grade looks at more hits than may be wanted."""
        hits = await self.retriever.search(query, limit=max(limit, GRADED_HITS))
        return hits[:limit], self.grader.grade(query, hits)

    async def calibrate(
        self,
        labels: Sequence[Label] = (),
        *,
        max_wrong: float | None = None,
        progress: Progress = silent,
    ) -> Report:
        """Fit the confidence to the base as it is now, to what customers chose and to `labels`; from now on it counts.

        Raises:
            IndexUnavailableError: the database or the embedding service does not answer.
        """
        base = await self.lexical.current()
        chosen = await chosen_labels(self.pool)
        report = await calibrate(
            self.retriever,
            self.lexical,
            max_wrong=self.max_wrong if max_wrong is None else max_wrong,
            labels=[*chosen, *labels],
            progress=progress,
        )
        await save_calibration(self.pool, report.calibration, model_id=self.embedder.model_id, version=base.version)
        await self.grader.refresh()
        return report

    async def keep_calibrated(self, alarm: Alarm | None = None) -> bool:
        """Fit again when the base is another than the one last fitted to; tell whether it was.

        Also raises the threshold, and the alarm, when audited answers show that too many are wrong.

        Raises:
            IndexUnavailableError: the database or the embedding service does not answer.
        """
        await self.grader.refresh()
        await watch_accuracy(
            self.pool, self.grader, model_id=self.embedder.model_id, max_wrong=self.max_wrong, alarm=alarm
        )
        if not await self._has_settled() or (await self.lexical.current()).version == self.grader.version:
            return False
        report = await self.calibrate()
        extra = {"action": "calibrated", "basis": report.calibration.basis, "labels": report.labels}
        logger.info("Confidence fitted to the knowledge base", extra=extra)
        return True

    async def _has_settled(self) -> bool:
        # Somebody who adds rows one by one is waited for: a fit takes some seconds of this machine.
        [row] = await fetch(self.pool, SETTLED, {"quiet": QUIET})
        return bool(row["has_settled"])


@contextlib.asynccontextmanager
async def open_knowledge(settings: Settings, pool: Pool, conninfo: str) -> AsyncIterator[Knowledge]:
    """Open the search over the knowledge base.

    Raises:
        EmbeddingMismatchError: the stored vectors were made by another model.
    """
    breaker, rerank_breaker = (
        CircuitBreaker(name, failures=EMBEDDING_FAILURES, pause_seconds=EMBEDDING_PAUSE)
        for name in ("embedding service", "reranking service")
    )
    async with (
        contextlib.aclosing(CountedEmbedder(make_embedder(settings.kb))) as embedder,
        open_reranker(settings.kb, rerank_breaker) as reranker,
        open_vector_index(pool, conninfo, embedder) as index,
    ):
        lexical = LexicalIndex(pool)
        knowledge = Knowledge(
            pool=pool,
            embedder=embedder,
            lexical=lexical,
            retriever=PgRetriever(index, embedder, lexical, Patience(breaker=breaker), reranker),
            grader=BaseGrader(pool, settings.kb, embedder.model_id),
            max_wrong=settings.kb.max_wrong_answer_rate,
        )
        await knowledge.grader.refresh()
        following = asyncio.create_task(_follow(knowledge))
        try:
            yield knowledge
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


async def _follow(knowledge: Knowledge) -> None:
    while True:
        # The database is away: what was fitted and read last holds until it is back.
        with contextlib.suppress(KbError):
            # A large base takes seconds to read; no customer should wait for that.
            await knowledge.lexical.current()
            await knowledge.grader.refresh()
        await asyncio.sleep(FOLLOW_SECONDS)
