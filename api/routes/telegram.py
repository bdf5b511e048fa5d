"""`/telegram/webhook`: updates from Telegram, stored before they are acknowledged."""

from __future__ import annotations

import hmac
import json
from typing import Any

import psycopg
import psycopg_pool
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from starlette.requests import ClientDisconnect

from api.deps import Problem, ServicesDep

router = APIRouter(tags=["telegram"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"content": {"text/plain": {}}, "description": "No update"},
    403: {"content": {"text/plain": {}}, "description": "Without Telegram's secret"},
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "Larger than 1 MiB"},
    429: {"content": {"text/plain": {}}, "description": "Like 403, and not for the first time from this address"},
    503: {"content": {"text/plain": {}}, "description": "Not stored, to be sent again"},
}


@router.post("/telegram/webhook", response_class=PlainTextResponse, responses=ANSWERS)
async def receive(request: Request, services: ServicesDep) -> PlainTextResponse:
    """Take one update; 403 without Telegram's secret, 503 makes Telegram send it again."""
    secret = services.settings.telegram.telegram_webhook_secret
    given = request.headers.get("x-telegram-bot-api-secret-token", "")
    if (
        secret is None
        or services.desk_intake is None
        or not hmac.compare_digest(given.encode(), secret.get_secret_value().encode())
    ):
        return PlainTextResponse("forbidden", 403)
    try:
        update = json.loads(await request.body())
    except ClientDisconnect:
        return PlainTextResponse("the body ended early", 400)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return PlainTextResponse("the body is not JSON", 400)
    if not isinstance(update, dict):
        return PlainTextResponse("the body is not an update", 400)
    try:
        is_taken = await services.desk_intake.take(update)
    except (psycopg.Error, psycopg_pool.PoolTimeout):
        is_taken = False
    return PlainTextResponse("ok") if is_taken else PlainTextResponse("not stored, send it again", 503)
