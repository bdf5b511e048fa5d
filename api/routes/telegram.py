"""`/telegram/webhook`: updates from Telegram, stored before they are acknowledged."""

from __future__ import annotations

import hmac
import json

import psycopg
import psycopg_pool
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse

from api.deps import ServicesDep

router = APIRouter(tags=["telegram"])


@router.post("/telegram/webhook", response_class=PlainTextResponse)
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
    except (json.JSONDecodeError, UnicodeDecodeError):
        return PlainTextResponse("the body is not JSON", 400)
    if not isinstance(update, dict):
        return PlainTextResponse("the body is not an update", 400)
    try:
        is_taken = await services.desk_intake.take(update)
    except (psycopg.Error, psycopg_pool.PoolTimeout):
        is_taken = False
    return PlainTextResponse("ok") if is_taken else PlainTextResponse("not stored, send it again", 503)
