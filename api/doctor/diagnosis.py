"""`kefu doctor`: every check put together."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings
from tenacity import wait_none

from api.desk.opening import make_telegram, make_wecom
from api.doctor.checks import SECONDS, Check, Finding, OffError, TroubleError, run_checks
from api.doctor.desk import DeskChecks, redis_check
from api.doctor.models import embedding_check, model_checks, rerank_check, rules_check
from api.doctor.store import VECTORS, StoreChecks
from api.doctor.wecom import HTTP_TIMEOUT, WecomChecks
from api.effective import unknown_variables
from api.errors import ApiError
from api.settings import Settings, explain, wecom_desk_problem
from tools.settings import WecomSettings
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
        desk, wecom_desk = make_telegram(settings, timeout=4), make_wecom(settings)
        for each in (desk, wecom_desk):
            if each is not None:
                stack.push_async_callback(each.close)
        store = StoreChecks(conninfo, settings.kb).checks()
        parts: list[tuple[str, list[Check]]] = [
            ("service", store),
            ("kb", [embedding_check(settings.kb), rerank_check(settings.kb)]),
            ("wecom", WecomChecks(settings.wecom, client, url=url).checks()),
            ("model", model_checks(settings.model)),
            ("handoff", [rules_check(settings.handoff.kefu_rules_file)]),
            ("telegram", DeskChecks(settings.telegram, desk, wecom_desk).checks()),
            ("redis", [redis_check(settings.redis)]),
        ]
        wrong = {**wrong, **({"desks": problem} if not wrong and (problem := wecom_desk_problem(settings)) else {})}
        checks = [_settings_check(wrong), _names_check()]
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


def _names_check() -> Check:
    async def are_known() -> str:
        try:
            unknown = unknown_variables()
        except UnicodeDecodeError:
            raise OffError("not checked: see 'settings'") from None
        if slips := [each for each in unknown if each.meant]:
            raise TroubleError("; ".join(each.line for each in slips), "rename it, or remove it")
        unread = ", ".join(each.name for each in unknown)
        return f"nothing reads {unread} in .env" if unread else "nothing is set that nobody reads"

    return Check(name="variables", run=are_known, hint="")


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
