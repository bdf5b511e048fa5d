"""Who counts as whom, before anything is asked of the database."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import HTTPException, Request

from api.client_address import (
    FORWARDED,
    address_of,
    both_spellings,
    client_address,
    is_direct,
    is_local,
    parse_networks,
)
from api.deps import cookie_of, is_on_this_browsers_machine, require_our_page


def request(client: str | None = "127.0.0.1", *, scheme: str = "http", **headers: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": scheme,
        "path": "/",
        "client": (client, 1) if client is not None else None,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    return Request(scope)


@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_is_local(client: str) -> None:
    assert is_local(request(client))


@pytest.mark.parametrize("client", ["10.0.0.1", "::ffff:10.0.0.1", "testclient", "", "unknown", "127.0.0.1:80", None])
def test_nobody_else_is_local(client: str | None) -> None:
    assert not is_local(request(client))


@pytest.mark.parametrize("header", [name.replace("-", "_") for name in FORWARDED])
def test_a_forwarded_request_is_neither_local_nor_from_a_named_network(header: str) -> None:
    forwarded = request(**{header: "127.0.0.1"})
    assert not is_local(forwarded)
    assert not is_direct(forwarded, parse_networks("0.0.0.0/0", example=""))


def test_an_address_is_the_same_in_both_of_its_spellings() -> None:
    assert address_of("::ffff:192.0.2.1") == address_of("192.0.2.1")
    assert client_address(request("not an address")) is None


def test_a_network_is_written_down_in_both_of_its_spellings() -> None:
    networks = parse_networks("10.1.2.3/8, 192.0.2.1,2001:db8::/32", example="")
    assert both_spellings(networks) == [
        *("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"),
        *("::ffff:10.0.0.0/104", "::ffff:192.0.2.1/128"),
    ]


def test_what_is_no_network_is_said_with_an_example() -> None:
    with pytest.raises(ValueError, match=r"'10.0.0.0/33' is no address or network; example: 10.0.0.0/8"):
        parse_networks("127.0.0.1,10.0.0.0/33", example="10.0.0.0/8")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_a_browser_that_names_its_own_machine_is_there(host: str) -> None:
    assert is_on_this_browsers_machine(request(host=host))


@pytest.mark.parametrize(
    "host", ["kefu.test", "127.0.0.1.evil.test", "localhost.evil.test", "10.0.0.1", "", "[", "[x]"]
)
def test_a_browser_that_names_another_machine_is_not(host: str) -> None:
    assert not is_on_this_browsers_machine(request(host=host))


def test_behind_tls_a_cookie_without_tls_does_not_count() -> None:
    cookies = "kefu_console=planted; __Host-kefu_console=ours"
    assert cookie_of(request(scheme="https", cookie=cookies)) == ("__Host-kefu_console", "ours")
    assert cookie_of(request(cookie=cookies)) == ("kefu_console", "planted")
    assert cookie_of(request()) == ("kefu_console", "")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://kefu.test", "host": "kefu.test", "sec_fetch_site": "same-origin"},
        {"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"},
        {"sec_fetch_site": "none"},
    ],
)
async def test_our_own_pages_and_programs_may(headers: dict[str, str]) -> None:
    await require_our_page(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test", "host": "kefu.test"},
        {"origin": "null", "host": "kefu.test"},
        {"origin": "https://kefu.test:444", "host": "kefu.test"},
        *(
            {"origin": odd, "host": "kefu.test"}
            for odd in ("", "kefu.test", "http://[", "http://[x]", "http://k.test/")
        ),
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
async def test_other_pages_may_not(headers: dict[str, str]) -> None:
    with pytest.raises(HTTPException) as caught:
        await require_our_page(request(**headers))
    assert caught.value.status_code == 403


async def test_behind_tls_a_page_that_came_without_it_may_not() -> None:
    with pytest.raises(HTTPException):
        await require_our_page(request(scheme="https", origin="http://kefu.test", host="kefu.test"))
    await require_our_page(request(scheme="https", origin="https://kefu.test", host="kefu.test"))
