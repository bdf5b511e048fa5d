"""`/wecom/callback`: verify, decrypt, store, answer; nothing else happens on this path."""

from __future__ import annotations

import ipaddress
import logging
from typing import Annotated

import psycopg
import psycopg_pool
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import PlainTextResponse
from procrastinate.exceptions import ConnectorException
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from api.deps import ServicesDep
from api.friends.events import EVENT as FRIEND_EVENT
from tools.errors import InvalidSignatureError, MalformedCallbackError
from tools.wecom.callback import CallbackCrypto
from tools.wecom.desk_updates import is_from_the_app

logger = logging.getLogger(__name__)
router = APIRouter(tags=["wecom"])

MAX_BODY = 1024 * 1024


async def require_sender(request: Request, services: ServicesDep) -> CallbackCrypto:
    """Let only the addresses in that may call back; return what opens their letters.

    Raises:
        HTTPException: 503 when WeCom is not configured, 403 for another address.
    """
    if services.crypto is None:
        raise HTTPException(503, "WeCom is not configured: set WECOM_CORP_ID, WECOM_TOKEN and the others")
    networks = services.settings.wecom.allowed_networks
    host = request.client.host if request.client else ""
    if networks and not any(ipaddress.ip_address(host) in network for network in networks):
        raise HTTPException(403, "this address is not in WECOM_CALLBACK_ALLOWED_IPS")
    return services.crypto


Crypto = Annotated[CallbackCrypto, Depends(require_sender)]


@router.get("/wecom/callback", response_class=PlainTextResponse)
async def verify_url(request: Request, crypto: Crypto) -> PlainTextResponse:
    """Answer WeCom's URL verification with the decrypted echo (WeCom doc 90930)."""
    echostr = request.query_params.get("echostr", "")
    try:
        return PlainTextResponse(crypto.verify_url(echostr=echostr, **_signature(request)))
    except (MalformedCallbackError, InvalidSignatureError) as error:
        return _refuse(error)


@router.post("/wecom/callback", response_class=PlainTextResponse)
async def receive(request: Request, services: ServicesDep, crypto: Crypto) -> PlainTextResponse:
    """Store a callback and the work it causes; 200 only after the commit, 503 makes WeCom send it again."""
    try:
        body = await _body(request)
    except ClientDisconnect:
        return PlainTextResponse("the body ended early", 400)
    if body is None:
        return PlainTextResponse(f"the body is larger than {MAX_BODY} bytes", 413)
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


async def _body(request: Request) -> bytes | None:
    """Read the body, None as soon as it is too large whatever its header says."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _refuse(error: MalformedCallbackError | InvalidSignatureError) -> PlainTextResponse:
    code = 403 if isinstance(error, InvalidSignatureError) else 400
    logger.warning("Callback refused", extra={"action": "callback_refused", "status": code, "reason": str(error)})
    return PlainTextResponse(str(error), code)
