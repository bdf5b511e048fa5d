"""`/docs`: the routes on one page, made here; the usual one loads its parts from a stranger's server."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

router = APIRouter(tags=["operations"])

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}code{background:#eee;padding:0 .3em}"
)


@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> str:
    """Show every route with what it answers; `/openapi.json` is the same for programs."""
    schema = request.app.openapi()
    routes = "".join(
        _route(method, path, facts)
        for path, methods in sorted(schema["paths"].items())
        for method, facts in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>kefu</title><style>{STYLE}</style>'
        f'<h1>kefu</h1><p><a href="/openapi.json">openapi.json</a></p>{routes}</html>'
    )


def _route(method: str, path: str, facts: dict[str, Any]) -> str:
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer.get('description', ''))}</li>"
        for status, answer in facts["responses"].items()
    )
    said = escape(facts.get("description") or facts["summary"])
    return f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{said}</p><ul>{answers}</ul>"
