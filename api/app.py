"""The HTTP application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TypedDict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import OperationalError

from api.access import HEADERS, Guard
from api.deadline import Deadline
from api.gates import Gates, open_gates
from api.lifespan import Services, open_services
from api.observability.access import AccessLog
from api.routes import console, docs, health, knowledge, telegram, wecom
from api.settings import Settings
from api.worker import worker_beside
from kb.errors import KbError
from tools.errors import DeskError

logger = logging.getLogger(__name__)


class State(TypedDict):
    """What every request finds in its state."""

    services: Services
    gates: Gates


def create_app(settings: Settings, conninfo: str, *, concurrency: int) -> FastAPI:
    """Build the application; `concurrency` is how many jobs of a kind it works on beside, 0 for HTTP only."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with (
            open_services(settings, conninfo, concurrency=concurrency) as services,
            worker_beside(services, concurrency=concurrency),
        ):
            await _register_webhook(services)
            yield State(services=services, gates=await open_gates(services))

    app = FastAPI(title="kefu", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Deadline)
    app.add_middleware(Guard, failures_per_minute=settings.access.kefu_failures_per_minute)
    app.add_middleware(AccessLog)
    for module in (wecom, telegram, health, knowledge, console, docs):
        app.include_router(module.router)
    app.add_exception_handler(KbError, _knowledge_unavailable)
    app.add_exception_handler(OperationalError, _database_unavailable)
    app.add_exception_handler(RequestValidationError, _unprocessable)
    app.add_exception_handler(Exception, _unforeseen)
    return app


async def _register_webhook(services: Services) -> None:
    telegram_settings = services.settings.telegram
    url, secret = telegram_settings.telegram_webhook_url, telegram_settings.telegram_webhook_secret
    if services.desk is None or telegram_settings.telegram_mode != "webhook" or not url or secret is None:
        return
    try:
        await services.desk.use_webhook(url, secret)
        await services.desk.offer_commands()
    except DeskError as error:
        logger.warning("Webhook not registered", extra={"action": "webhook_failed", "error": str(error)})


async def _knowledge_unavailable(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)


async def _database_unavailable(_: Request, error: Exception) -> JSONResponse:
    logger.warning("Database away", extra={"action": "database_away", "error": type(error).__name__})
    return JSONResponse({"detail": "the database is away, try again"}, 503)


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    del error
    # Made outside of every middleware, so it has to bring its headers along; the error goes on to the log.
    return JSONResponse({"detail": "something went wrong"}, 500, {k.decode(): v.decode() for k, v in HEADERS})


async def _unprocessable(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # FastAPI's own handler repeats the input, and a lone surrogate in it cannot be encoded.
    detail = [{name: problem[name] for name in ("loc", "msg", "type")} for problem in error.errors()]
    return JSONResponse({"detail": detail}, 422)
