"""`/wecom/callback`: verify, decrypt, store, answer; nothing else happens on this path."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import psycopg
import psycopg_pool
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import PlainTextResponse
from procrastinate.exceptions import ConnectorException
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from api.client_address import client_address
from api.deps import GatesDep, Problem, ServicesDep
from api.friends.events import EVENT as FRIEND_EVENT
from tools.errors import InvalidSignatureError, MalformedCallbackError
from tools.wecom.callback import CallbackCrypto
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


async def sender_crypto(request: Request, services: ServicesDep, gates: GatesDep) -> CallbackCrypto | None:
    """Return what opens the letters of those who may call back, None for all others.

    Raises:
        HTTPException: 503 when WeCom is not configured.
    """
    if services.crypto is None:
        raise HTTPException(503, "WeCom is not configured: set WECOM_CORP_ID, WECOM_TOKEN and the others")
    address = client_address(request)
    if await gates.callback_addresses.allows(address):
        return services.crypto
    facts = {"action": "callback_address_refused", "address": str(address)}
    logger.warning("Address may not call back: WECOM_CALLBACK_ALLOWED_IPS", extra=facts)
    return None


Crypto = Annotated[CallbackCrypto | None, Depends(sender_crypto)]


@router.get("/wecom/callback", response_class=PlainTextResponse, responses=ANSWERS)
async def verify_url(request: Request, crypto: Crypto) -> PlainTextResponse:
    """Answer WeCom's URL verification with the decrypted echo (WeCom doc 90930)."""
    if crypto is None:
        return PlainTextResponse("", 403)
    echostr = request.query_params.get("echostr", "")
    try:
        return PlainTextResponse(crypto.verify_url(echostr=echostr, **_signature(request)))
    except (MalformedCallbackError, InvalidSignatureError) as error:
        return _refuse(error)


@router.post("/wecom/callback", response_class=PlainTextResponse, responses=POST_ANSWERS)
async def receive(request: Request, services: ServicesDep, crypto: Crypto) -> PlainTextResponse:
    """Store a callback and the work it causes; 200 only after the commit, 503 makes WeCom send it again."""
    if crypto is None:
        return PlainTextResponse("", 403)
    try:
        body = await request.body()
    except ClientDisconnect:
        return PlainTextResponse("the body ended early", 400)
    try:
        return await _store(crypto, body, request, services)
    except (MalformedCallbackError, InvalidSignatureError) as error:
        return _refuse(error)
    except (psycopg.Error, psycopg_pool.PoolTimeout, ConnectorException) as error:
        logger.warning("Callback not stored", extra={"action": "callback_not_stored", "error": type(error).__name__})
        return PlainTextResponse("not stored, send it again", 503)


async def _store(crypto: CallbackCrypto, body: bytes, request: Request, services: ServicesDep) -> PlainTextResponse:
    signature = _signature(request)
    event = crypto.open(body, **signature)
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


def _refuse(error: MalformedCallbackError | InvalidSignatureError) -> PlainTextResponse:
    code = 403 if isinstance(error, InvalidSignatureError) else 400
    logger.warning("Callback refused", extra={"action": "callback_refused", "status": code, "reason": str(error)})
    return PlainTextResponse(str(error), code)
