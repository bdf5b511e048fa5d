"""`/wecom/callback`: verify, decrypt, store, answer; nothing else happens on this path."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import psycopg
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse
from procrastinate.exceptions import ConnectorException
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from api.callback_addresses import CallbackAddresses
from api.client_address import IpAddress, client_address
from api.deps import Problem, get_gates, get_services
from api.friends.events import EVENT as FRIEND_EVENT
from api.lifespan import Services
from tools.errors import ChannelUnavailableError, InvalidSignatureError, MalformedCallbackError
from tools.wecom.callback import CallbackCrypto, CallbackEvent
from tools.wecom.desk_updates import is_from_the_app

logger = logging.getLogger(__name__)
router = APIRouter(tags=["wecom"])

ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"content": {"text/plain": {}}, "description": "Malformed"},
    403: {
        "content": {"text/plain": {}},
        "description": "Wrong signature or corp; empty: the address may not call back",
    },
    429: {"content": {"text/plain": {}}, "description": "Like 403, and not for the first time from this address"},
    503: {"content": {"text/plain": {}}, "model": Problem, "description": "Not stored, or WeCom is not configured"},
}
POST_ANSWERS: dict[int | str, dict[str, Any]] = ANSWERS | {
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "Larger than 1 MiB"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Whoever calls back, and what opens their letters."""

    crypto: CallbackCrypto
    address: IpAddress | None
    addresses: CallbackAddresses
    is_expected: bool
    """Whether the address is one of those that may."""

    async def is_welcome(self) -> bool:
        """Tell whether what they signed is taken.

        Raises:
            ChannelUnavailableError: nobody knows now.
        """
        return self.is_expected or await self.addresses.allows_signer(self.address)

    def refuse(self, error: MalformedCallbackError | InvalidSignatureError | None = None) -> PlainTextResponse:
        """Answer what is not taken; who may not call back is told nothing."""
        if self.is_expected and error is not None:
            return _refuse(error)
        facts = {"action": "callback_address_refused", "address": str(self.address), "is_signed": error is None}
        logger.warning("Address may not call back: WECOM_CALLBACK_ALLOWED_IPS", extra=facts)
        return PlainTextResponse("", 403)


async def _sender(request: Request) -> Sender:
    """Return who calls back.

    Raises:
        HTTPException: 503 when WeCom is not configured.
    """
    # Not by dependencies: FastAPI's way of solving five of them took longer than opening the letter.
    services, gates = await get_services(request), await get_gates(request)
    if services.crypto is None:
        raise HTTPException(503, "WeCom is not configured: set WECOM_CORP_ID, WECOM_TOKEN and the others")
    address = client_address(request)
    return Sender(
        crypto=services.crypto,
        address=address,
        addresses=gates.callback_addresses,
        is_expected=await gates.callback_addresses.allows(address),
    )


@router.get("/wecom/callback", response_class=PlainTextResponse, responses=ANSWERS)
async def verify_url(request: Request) -> PlainTextResponse:
    """Answer WeCom's URL verification with the decrypted echo (WeCom doc 90930)."""
    sender = await _sender(request)
    echostr = request.query_params.get("echostr", "")
    try:
        echo = sender.crypto.verify_url(echostr=echostr, **_signature(request))
        return PlainTextResponse(echo) if await sender.is_welcome() else sender.refuse()
    except (MalformedCallbackError, InvalidSignatureError) as error:
        return sender.refuse(error)
    except ChannelUnavailableError as error:
        return _put_off(error)


@router.post("/wecom/callback", response_class=PlainTextResponse, responses=POST_ANSWERS)
async def receive(request: Request) -> PlainTextResponse:
    """Store a callback and the work it causes; 200 only after the commit, 503 makes WeCom send it again."""
    sender = await _sender(request)
    try:
        body = await request.body()
    except ClientDisconnect:
        return PlainTextResponse("the body ended early", 400)
    try:
        event = sender.crypto.open(body, **_signature(request))
        if not await sender.is_welcome():
            return sender.refuse()
        return await _store(event, request, await get_services(request))
    except (MalformedCallbackError, InvalidSignatureError) as error:
        return sender.refuse(error)
    except (psycopg.Error, ConnectorException, ChannelUnavailableError) as error:
        return _put_off(error)


async def _store(event: CallbackEvent, request: Request, services: Services) -> PlainTextResponse:
    signature = _signature(request)
    if event.event == FRIEND_EVENT and services.jobs.friends is not None:
        await services.jobs.friends.store(signature=signature["msg_signature"], payload=event.fields)
        return PlainTextResponse("success")
    if services.wecom_app is not None and (message := services.wecom_app.read(event.fields)) is not None:
        await services.inbox.store_message(message)
        return PlainTextResponse("success")
    if services.wecom_intake is not None and is_from_the_app(event.event):
        follow_up = await services.wecom_intake.take(event.fields)
        return PlainTextResponse("success", background=BackgroundTask(follow_up) if follow_up else None)
    is_news = event.event == "kf_msg_or_event"
    await services.inbox.store_callback(
        signature=signature["msg_signature"],
        payload=event.fields,
        account_id=event.account_id if is_news else "",
        token=event.token,
    )
    return PlainTextResponse("success")


def _signature(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "") for name in ("msg_signature", "timestamp", "nonce")}


def _put_off(error: Exception) -> PlainTextResponse:
    logger.warning("Callback not stored", extra={"action": "callback_not_stored", "error": type(error).__name__})
    return PlainTextResponse("not stored, send it again", 503)


def _refuse(error: MalformedCallbackError | InvalidSignatureError) -> PlainTextResponse:
    code = 403 if isinstance(error, InvalidSignatureError) else 400
    logger.warning("Callback refused", extra={"action": "callback_refused", "status": code, "reason": str(error)})
    return PlainTextResponse(str(error), code)
