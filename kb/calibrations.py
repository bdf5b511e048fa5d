"""The fitted confidences in the database, and the grader that follows the latest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from psycopg.types.json import Jsonb

from kb.chunks import Grade, Hit
from kb.confidence import CalibratedGrader, Calibration, SimilarityGrader, Weights, default_calibration
from kb.measuring import Label
from kb.settings import KbSettings
from kb.vector_index import Connection, Pool, fetch, reported
from kb.vectors import clean_text

MOST_LABELS = 2000
"""Newest labels a calibration looks at: a base changes, and each costs a search."""


async def save_calibration(pool: Pool, calibration: Calibration, *, model_id: str, version: str) -> None:
    """Store a calibration; from now on it counts.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    async with reported(), pool.connection() as conn:
        await store_calibration(conn, calibration, model_id=model_id, version=version)


async def store_calibration(conn: Connection, calibration: Calibration, *, model_id: str, version: str) -> None:
    """Store a calibration within the caller's transaction."""
    await conn.execute(
        "insert into calibrations (embedding_model, knowledge_version, body) values (%s, %s, %s)",
        (model_id, version, Jsonb(asdict(calibration))),
    )


async def save_labels(pool: Pool, labels: Sequence[Label]) -> None:
    """Keep what a person judged, for this fit and later ones; the same message again replaces its label.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    rows = [
        {"key": f"file:{sha256(question.encode()).hexdigest()}", "question": question, "entry": label.entry_id}
        for label in labels
        if (question := clean_text(label.question))
    ]
    async with reported(), pool.connection() as conn, conn.transaction(), conn.cursor() as cursor:
        await cursor.executemany(
            "insert into answer_labels (turn_id, question, shown, entry_id, source)"
            " values (%(key)s, %(question)s, '[]', %(entry)s, 'file')"
            " on conflict (turn_id) do update set entry_id = excluded.entry_id, created_at = now()",
            rows,
        )


async def chosen_labels(pool: Pool) -> list[Label]:
    """Return what customers chose when they were asked what they meant, and what persons judged, newest first.

    An answer that was judged wrong is a label like the others: another entry, or none, answers that question.

    Raises:
        IndexUnavailableError: the database does not answer.
    """
    rows = await fetch(
        pool,
        "select question, entry_id, created_at, id from answer_labels"
        " union all select question, right_entry_id, created_at, id from answer_audits"
        " order by created_at desc, id desc limit %(most)s",
        {"most": MOST_LABELS},
    )
    return [Label(question=row["question"], entry_id=row["entry_id"]) for row in rows]


class BaseGrader:
    """The `Grader` of a base: follows the stored calibration, or the operator's fixed cut-off."""

    def __init__(self, pool: Pool, settings: KbSettings, model_id: str) -> None:
        self._pool = pool
        self._settings = settings
        self._model_id = model_id
        self._known: int | None = None
        self.version = ""
        """The state of the base that the calibration was fitted to; empty before the first."""
        self.calibration = default_calibration(settings.max_wrong_answer_rate)
        self._inner = self._grader(self.calibration)

    async def refresh(self) -> None:
        """Take over a newer calibration, if there is one.

        Raises:
            IndexUnavailableError: the database does not answer.
        """
        rows = await fetch(
            self._pool,
            "select id, knowledge_version, body from calibrations where embedding_model = %(model)s"
            " and id > %(known)s order by id desc limit 1",
            {"model": self._model_id, "known": self._known or 0},
        )
        for row in rows:
            self.calibration = _read(row["body"])
            self._inner = self._grader(self.calibration)
            self._known, self.version = row["id"], row["knowledge_version"]

    def grade(self, query: str, hits: Sequence[Hit], *, is_supported: bool | None = None) -> Grade:
        """Grade a search result; see `CalibratedGrader` and `SimilarityGrader`."""
        return self._inner.grade(query, hits, is_supported=is_supported)

    def _grader(self, calibration: Calibration) -> CalibratedGrader | SimilarityGrader:
        fixed = self._settings.kb_similarity_threshold
        if fixed is not None:
            return SimilarityGrader(threshold=fixed, floor=calibration.floor)
        return CalibratedGrader(calibration)


def _read(body: dict[str, Any]) -> Calibration:
    weights = {name: Weights(**body[name]) for name in ("question", "passage")}
    return Calibration(**{**body, **weights})
