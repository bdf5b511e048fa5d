"""One line and one count a request, with an id that follows it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from structlog.contextvars import get_contextvars

from api.observability.access import LONGEST_PATH, AccessLog


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.add_middleware(AccessLog)

    @app.get("/items/{item}")
    async def item(item: str) -> dict[str, str]:
        return {"item": item, "request_id": str(get_contextvars()["request_id"])}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("nobody foresaw this")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as opened:
        yield opened


def counted(**labels: str) -> float:
    return REGISTRY.get_sample_value("kefu_http_requests_total", labels) or 0.0


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "api.observability.access"]


async def test_a_request_is_one_line_without_its_query(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before = counted(method="GET", route="/items/{item}", status="200")
    await client.get("/items/7?access_token=S3cr3t&q=如何退款")
    [line] = lines(caplog)
    facts = vars(line)
    assert (facts["action"], facts["method"], facts["path"], facts["status"]) == ("request", "GET", "/items/7", 200)
    assert 0 < facts["ms"] < 60_000
    assert "S3cr3t" not in str(facts)
    assert "退款" not in str(facts)
    assert counted(method="GET", route="/items/{item}", status="200") == before + 1


async def test_a_request_without_an_id_gets_one_of_its_own(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/items/1") for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids == [answer.json()["request_id"] for answer in answers]
    assert len(set(ids)) == 2


async def test_a_proxy_s_id_is_kept(client: httpx.AsyncClient) -> None:
    answer = await client.get("/items/1", headers={"X-Request-ID": "proxy-1.a_b"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "proxy-1.a_b"


@pytest.mark.parametrize("given", ["a b", "x" * 65, "", "a;b"])
async def test_an_id_that_is_none_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    assert (await client.get("/items/1", headers={"X-Request-ID": given})).headers["x-request-id"] != given


async def test_a_failure_is_a_line_too(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert (await client.get("/broken")).status_code == 500
    [line] = lines(caplog)
    assert vars(line)["status"] == 500


async def test_what_nobody_offers_is_counted_under_one_name(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before = counted(method="other", route="other", status="404")
    for path in ("/a", "/b" * 400):
        await client.request("BREW", path)
    assert counted(method="other", route="other", status="404") == before + 2
    assert max(len(vars(line)["path"]) for line in lines(caplog)) == LONGEST_PATH


async def test_what_is_no_request_passes() -> None:
    seen = []

    async def app(scope, receive, send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is said")

    await AccessLog(app)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]
