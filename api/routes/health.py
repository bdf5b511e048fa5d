"""Is it alive, is it ready, what does it count?"""

from __future__ import annotations

from typing import Literal

import psycopg
import psycopg_pool
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from api.deps import ServicesDep
from api.lifespan import Services

router = APIRouter(tags=["operations"])

State = Literal["ok", "down", "off"]


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


@router.get("/ready")
async def ready(services: ServicesDep, response: Response) -> dict[str, str]:
    """Tell whether callbacks can be stored now: 200 or 503."""
    database = await _database(services)
    response.status_code = 200 if database == "ok" else 503
    return {"database": database}


@router.get("/metrics")
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
