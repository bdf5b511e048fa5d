"""Is it alive, is it ready, what does it count?"""

from __future__ import annotations

from typing import Any, Literal

import psycopg
import psycopg_pool
from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from api.deps import Problem, ServicesDep, require_metrics
from api.lifespan import Services

router = APIRouter(tags=["operations"])

State = Literal["ok", "down", "off"]

METRICS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {}}, "description": "Prometheus text"},
    401: {"model": Problem, "description": "Neither from KEFU_METRICS_ALLOWED_IPS nor with a token for metrics:read"},
    429: {"content": {"text/plain": {}}, "description": "This address was refused too often"},
}


@router.get("/health")
async def health(services: ServicesDep) -> dict[str, str | dict[str, str]]:
    """Tell that the process lives, and the state of what it leans on."""
    return {
        "status": "ok",
        "dependencies": {
            "database": await _database(services),
            "redis": await _redis(services),
            "wecom": "ok" if services.crypto else "off",
            "desk": "ok" if services.jobs.desks else "off",
            "embeddings": services.knowledge.embedder.model_id,
        },
    }


@router.get("/ready", responses={503: {"model": dict[str, str], "description": "The database is away"}})
async def ready(services: ServicesDep, response: Response) -> dict[str, str]:
    """Tell whether callbacks can be stored now: 200 or 503."""
    database = await _database(services)
    response.status_code = 200 if database == "ok" else 503
    return {"database": database}


@router.get("/metrics", dependencies=[Depends(require_metrics)], response_class=Response, responses=METRICS_ANSWERS)
async def metrics(services: ServicesDep) -> Response:
    """Tell the whole service's numbers, in Prometheus text; any process of it may be asked."""
    return Response(await services.exposition.text(), media_type=CONTENT_TYPE_LATEST)


async def _database(services: Services) -> State:
    try:
        async with services.pool.connection(timeout=2) as conn:
            await conn.execute("select 1")
    except (psycopg.Error, psycopg_pool.PoolTimeout):
        return "down"
    return "ok"


async def _redis(services: Services) -> State:
    if services.redis is None:
        return "off"
    try:
        await services.redis.ping()
    except (RedisError, OSError):
        return "down"
    return "ok"
