"""Is it alive, is it ready, what does it count?"""

from __future__ import annotations

from typing import Literal

import psycopg
import psycopg_pool
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
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
    """Count what waits, in Prometheus text."""
    registry = CollectorRegistry()
    outbox = Gauge("kefu_outbox_rows", "Messages to send, by state", ["destination", "state"], registry=registry)
    inbox = Gauge("kefu_inbox_unhandled_rows", "Messages waiting for a turn", registry=registry)
    tickets = Gauge("kefu_open_tickets", "Conversations a person has", registry=registry)
    async with services.pool.connection() as conn:
        rows = await (
            await conn.execute("select destination, state, count(*) as n from outbox group by destination, state")
        ).fetchall()
        for row in rows:
            outbox.labels(row["destination"], row["state"]).set(row["n"])
        waiting = await (await conn.execute("select count(*) as n from inbox where handled_at is null")).fetchone()
        opened = await (await conn.execute("select count(*) as n from tickets where closed_at is null")).fetchone()
    inbox.set(waiting["n"] if waiting else 0)
    tickets.set(opened["n"] if opened else 0)
    return Response(generate_latest(REGISTRY) + generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


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
