"""How Bot API calls travel: forms, multipart or JSON in, one JSON envelope out."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse

from tools.simulators.multipart import read_parts
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
        if kind == "multipart/form-data":
            return _form(request, body)
        pairs = parse_qsl(body.decode(), True)
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


def _form(request: Request, body: bytes) -> dict[str, Any]:
    """Read a form; a file is what another field names as `attach://<its own field>`, or stands under its own name."""
    parts = read_parts(request.headers["content-type"], body)
    files = {part.name: part for part in parts if part.file_name}
    texts = {
        part.name: _value(part.name, part.content.decode("utf-8", "replace")) for part in parts if not part.file_name
    }
    attached = {
        name: files[value.removeprefix("attach://")]
        for name, value in texts.items()
        if isinstance(value, str) and value.startswith("attach://") and value.removeprefix("attach://") in files
    }
    return {**request.query_params, **files, **texts, **attached}


def _value(name: str, text: str) -> Any:
    if name in {"text", "name", "url", "secret_token", "callback_query_id", "parse_mode", "caption", "file_id"}:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
