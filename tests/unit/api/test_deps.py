"""Who may use the API: the bearer of the token, or without one only this machine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import HTTPException, Request

from api.deps import require_api_token
from api.settings import ServiceSettings

pytestmark = pytest.mark.usefixtures("clean_environment")


def check(*, token: str | None = None, client: str | None = "127.0.0.1", **headers: str) -> None:
    scope: dict[str, Any] = {
        "type": "http",
        "client": (client, 1) if client is not None else None,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    services: Any = SimpleNamespace(settings=SimpleNamespace(service=ServiceSettings(api_token=token)))
    require_api_token(Request(scope), services)


def refused(**arguments: Any) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        check(**arguments)
    assert caught.value.status_code == 401
    return caught.value


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1"])
def test_without_a_token_this_machine_may(client: str) -> None:
    check(client=client)


@pytest.mark.parametrize("client", ["10.0.0.1", "::ffff:10.0.0.1", "testclient", "", None])
def test_without_a_token_nobody_else_may(client: str | None) -> None:
    assert "API_TOKEN" in refused(client=client).detail


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip"])
def test_a_forwarded_request_is_not_local(header: str) -> None:
    refused(**{header: "127.0.0.1"})


@pytest.mark.parametrize("given", ["Bearer abc", "bearer   abc ", "BEARER abc"])
def test_the_bearer_of_the_token_may_from_anywhere(given: str) -> None:
    check(token="abc", client="10.0.0.1", authorization=given)


@pytest.mark.parametrize("given", ["", "abc", "Basic abc", "Bearer abcd", "Bearer ab", "Bearer", "Bearer 令牌"])
def test_with_a_token_nobody_else_may_not_even_locally(given: str) -> None:
    error = refused(token="abc", authorization=given)
    assert error.headers == {"WWW-Authenticate": "Bearer"}
    assert "abc" not in error.detail
