"""`kefu doctor`: every check put together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings
from tenacity import wait_none

from api.doctor_checks import SECONDS, Check, Finding, OffError, TroubleError, run_checks
from api.doctor_desk import DeskChecks, redis_check
from api.doctor_models import embedding_check, model_checks, rerank_check
from api.doctor_store import VECTORS, StoreChecks
from api.doctor_wecom import HTTP_TIMEOUT, WecomChecks
from api.errors import ApiError
from api.settings import Settings, explain
from tools.settings import TelegramSettings, WecomSettings
from tools.telegram import TelegramDesk
from tools.wecom.client import WecomClient


def read_settings() -> tuple[Settings, Mapping[str, str]]:
    """Read every slice by itself; return them with what is wrong, by slice. A wrong one holds defaults."""
    wrong: dict[str, str] = {}
    slices: dict[str, Any] = {}
    for part in fields(Settings):
        kind = part.default_factory
        assert isinstance(kind, type), "every slice is made by its class"
        assert issubclass(kind, BaseSettings), "every slice is made by its class"
        try:
            slices[part.name] = kind()
            continue
        except ValidationError as error:
            wrong[part.name] = explain(error)
        except UnicodeDecodeError:
            wrong[part.name] = ".env: is not UTF-8; save it again with that encoding"
        slices[part.name] = kind.model_construct()
    return Settings(**slices), wrong


async def diagnose(
    settings: Settings,
    conninfo: str | ApiError,
    *,
    wrong: Mapping[str, str] | None = None,
    url: str = "",
    seconds: float = SECONDS,
) -> list[Finding]:
    """Run every check; `wrong` is what `read_settings` found, `conninfo` may be why there is no database.

    `url` is where WeCom reaches the service, without the path; `seconds` bounds what has no time of its own.
    """
    wrong = wrong or {}
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(_wecom_client(settings.wecom))
        desk = _desk(settings.telegram)
        if desk is not None:
            stack.push_async_callback(desk.close)
        store = StoreChecks(conninfo, settings.kb).checks()
        parts: list[tuple[str, list[Check]]] = [
            ("service", store),
            ("kb", [embedding_check(settings.kb), rerank_check(settings.kb)]),
            ("wecom", WecomChecks(settings.wecom, client, url=url).checks()),
            ("model", model_checks(settings.model)),
            ("telegram", DeskChecks(settings.telegram, desk).checks()),
            ("redis", [redis_check(settings.redis)]),
        ]
        checks = [_settings_check(wrong)]
        for name, part in parts:
            for check in part:
                bounded = replace(check, seconds=seconds) if check.seconds == SECONDS else check
                is_unread = name in wrong or (check.name == VECTORS and "kb" in wrong)
                checks.append(replace(bounded, run=_not_read, needs="") if is_unread else bounded)
        return await run_checks(checks)


def _settings_check(wrong: Mapping[str, str]) -> Check:
    async def are_fine() -> str:
        if wrong:
            raise TroubleError("; ".join(dict.fromkeys(wrong.values())), "mend .env or the environment")
        return "every variable is well-formed"

    return Check(name="settings", run=are_fine, hint="")


async def _not_read() -> str:
    raise OffError("not checked: see 'settings'")


def _wecom_client(wecom: WecomSettings) -> WecomClient:
    is_configured = wecom.is_configured and (wecom.wecom_kf_secret or wecom.wecom_agent_secret)
    return WecomClient(
        api_base=wecom.wecom_api_base,
        corp_id=wecom.wecom_corp_id,
        secret=wecom.kf_secret if is_configured else SecretStr(""),
        timeout=HTTP_TIMEOUT,
        wait=wait_none(),
    )


def _desk(telegram: TelegramSettings) -> TelegramDesk | None:
    if telegram.chat_id is None or telegram.telegram_bot_token is None:
        return None
    return TelegramDesk(
        token=telegram.telegram_bot_token, chat_id=telegram.chat_id, api_base=telegram.telegram_api_base, timeout=4
    )
