"""What holds for every request: size, time, headers, and how often an address may be wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException, Request

from api.access import MAX_BODY, Guard


def make_app() -> FastAPI:
    app = FastAPI(docs_url=None)
    app.add_middleware(Guard, failures_per_minute=3, clock=lambda: 0.0)

    @app.post("/api/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/api/closed")
    async def closed(key: str = "") -> str:
        if key != "right":
            raise HTTPException(401, "wrong")
        return "open"

    @app.get("/ready")
    async def ready() -> str:
        return "ok"

    @app.get("/wecom/callback")
    async def callback(signature: str = "") -> str:
        if signature != "right":
            raise HTTPException(403, "bad signature")
        return "success"

    return app


@pytest.fixture
def app() -> FastAPI:
    return make_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("10.0.0.1", 1)), base_url="http://k"
    ) as one:
        yield one


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY, 200), (MAX_BODY + 1, 413)])
async def test_a_body_has_a_largest_size_whatever_its_header_says(
    client: httpx.AsyncClient, size: int, status: int
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 1 << 16):
            yield b"x" * min(1 << 16, size - start)

    assert (await client.post("/api/echo", content=pieces())).status_code == status


async def test_a_body_that_drips_is_cut_off(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.access.BODY_SECONDS", 0.05)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not sent_first.is_set():
            sent_first.set()
            return {"type": "http.request", "body": b"x", "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    sent_first = asyncio.Event()
    scope = {"type": "http", "method": "POST", "path": "/api/echo", "raw_path": b"/api/echo", "query_string": b""}
    scope |= {"headers": [], "client": ("10.0.0.1", 1), "scheme": "http", "server": ("k", 80), "http_version": "1.1"}
    async with asyncio.timeout(10):
        await app(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_who_guesses_is_told_to_wait_and_others_are_not(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert [(await client.get("/api/closed")).status_code for _ in range(3)] == [401] * 3
    refused = await client.get("/api/closed", params={"key": "right"})
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    assert (await client.get("/ready")).status_code == 200
    transport = httpx.ASGITransport(app, client=("10.0.0.2", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://k") as other:
        assert (await other.get("/api/closed", params={"key": "right"})).status_code == 200


async def test_a_storm_of_forged_callbacks_shuts_no_true_one_out(client: httpx.AsyncClient) -> None:
    statuses = [(await client.get("/wecom/callback")).status_code for _ in range(5)]
    assert statuses == [403, 403, 403, 429, 429]
    assert (await client.get("/wecom/callback", params={"signature": "right"})).status_code == 200


async def test_addresses_of_one_network_of_ipv6_count_as_one(app: FastAPI) -> None:
    statuses = []
    for host in ("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8:0:1::1", "odd"):
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://k") as one:
            statuses.append((await one.get("/api/closed")).status_code)
    assert statuses == [401, 401, 401, 429, 401, 401]


@pytest.mark.parametrize("path", ["/api/closed", "/nowhere", "/api/closed?key=right"])
async def test_every_answer_has_the_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_only_behind_tls_a_browser_is_told_to_stay_there(app: FastAPI, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://k") as secure:
        assert "max-age" in (await secure.get("/ready")).headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in (await client.get("/ready")).headers
