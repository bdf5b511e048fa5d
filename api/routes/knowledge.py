"""`/api/test_kb`: what would the bot find, and what would it decide?"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from api.deps import Problem, ServicesDep, require_scope

router = APIRouter(tags=["knowledge"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Without API_TOKEN or a token with the scope kb:read"},
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "Larger than 1 MiB"},
    429: {"content": {"text/plain": {}}, "description": "This address was refused too often"},
    503: {"model": Problem, "description": "The knowledge base cannot be searched now"},
}


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


@router.post("/api/test_kb", dependencies=[Depends(require_scope("kb:read"))], responses=ANSWERS)
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
