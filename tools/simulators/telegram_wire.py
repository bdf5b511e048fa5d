"""How Bot API calls travel: forms, multipart or JSON in, one JSON envelope out."""

from __future__ import annotations

import json
from email import message_from_bytes
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse

from tools.simulators.telegram_state import ApiError


async def read_params(request: Request) -> dict[str, Any]:
    """Read a call's parameters; in forms, everything that is not a plain text is JSON.

    Raises:
        ApiError: the body cannot be read.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    try:
        if kind == "application/json":
            params = json.loads(body or b"{}")
            if not isinstance(params, dict):
                raise ApiError(400, "Bad Request: the JSON body is not an object")
            return params
        pairs = _multipart(request, body) if kind == "multipart/form-data" else parse_qsl(body.decode(), True)
    except ValueError as error:
        raise ApiError(400, "Bad Request: the body cannot be read") from error
    return {name: _value(name, text) for name, text in [*request.query_params.items(), *pairs]}


def answer(result: object) -> JSONResponse:
    """Wrap a result."""
    return JSONResponse({"ok": True, "result": result})


def refusal(error: ApiError) -> JSONResponse:
    """Wrap an error."""
    body: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        body["parameters"] = error.parameters
    return JSONResponse(body, error.code)


def _multipart(request: Request, body: bytes) -> list[tuple[str, str]]:
    head = b"Content-Type: " + request.headers["content-type"].encode("latin-1") + b"\r\n\r\n"
    pairs: list[tuple[str, str]] = []
    for part in message_from_bytes(head + body, policy=HTTP).iter_parts():
        payload = part.get_payload(decode=True)
        name = part.get_param("name", header="content-disposition")
        if isinstance(name, str) and isinstance(payload, bytes):
            pairs.append((name, payload.decode("utf-8", "replace")))
    return pairs


def _value(name: str, text: str) -> Any:
    if name in {"text", "name", "url", "secret_token", "callback_query_id", "parse_mode"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
