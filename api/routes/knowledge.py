"""`/api/test_kb`: what would the bot find, and what would it decide?"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.deps import ApiToken, ServicesDep

router = APIRouter(tags=["knowledge"])


class TestKbRequest(BaseModel):
    """A question to try."""

    query: str = Field(min_length=1, max_length=2000)
    top_k: int | None = Field(default=None, ge=1, le=50)


class TestKbResult(BaseModel):
    """One hit."""

    id: str
    content: str
    score: float
    metadata: dict[str, Any]


class TestKbResponse(BaseModel):
    """What was found and what the bot would do."""

    query: str
    results: list[TestKbResult]
    confidence: float
    decision: Literal["answer", "clarify", "escalate"]
    threshold: float


@router.post("/api/test_kb", dependencies=[ApiToken])
async def test_kb(body: TestKbRequest, services: ServicesDep) -> TestKbResponse:
    """Search the knowledge base as the bot does."""
    limit = body.top_k or services.settings.kb.kb_top_k
    hits, grade = await services.knowledge.try_question(body.query, limit=limit)
    return TestKbResponse(
        query=body.query,
        results=[
            TestKbResult(id=hit.chunk_id, content=hit.content, score=hit.score, metadata=dict(hit.metadata))
            for hit in hits
        ],
        confidence=grade.confidence,
        decision=grade.decision,
        threshold=grade.threshold,
    )
