"""Logging in: who gets in, and for how long."""

from __future__ import annotations

import hashlib
import json

import pytest

from api.console.lockouts import FREE
from api.console.sessions import IDLE, LIFETIME, LockedLogin, WrongLogin
from api.errors import AccessError

COOKIE = "__Host-kefu_console"
PASSWORD = "correct horse battery"
"""Of `ming`."""


def login(name="xiaoming", password=PASSWORD):
    return {"name": name, "password": password}


async def enter(doors, host="192.0.2.1", **who):
    """A browser that is logged in, and the headers its pages send."""
    browser = doors.client(host)
    answer = await browser.post("/console/login", json=login(**who))
    assert answer.status_code == 200, answer.text
    return browser, {"X-CSRF-Token": answer.json()["csrf_token"]}


async def test_who_logged_in_is_known_until_they_log_out(ming):
    browser, headers = await enter(ming)
    session = await browser.get("/console/session")
    assert session.json()["name"] == "xiaoming"
    assert (await browser.post("/console/logout", headers=headers)).status_code == 204
    assert COOKIE not in browser.cookies
    assert (await browser.get("/console/session")).status_code == 401
    actions = [row["action"] for row in await ming.rows("select action from audit_log order by id")]
    assert actions == ["console.user_added", "console.logged_in", "console.logged_out"]


async def test_a_cookie_that_was_kept_opens_nothing_after_the_logout(ming):
    browser, headers = await enter(ming)
    kept = browser.cookies[COOKIE]
    await browser.post("/console/logout", headers=headers)
    again = ming.client()
    answer = await again.get("/console/session", headers={"Cookie": f"{COOKIE}={kept}"})
    assert answer.status_code == 401


async def test_the_cookie_is_for_this_host_tls_and_no_script(ming):
    answer = await ming.client().post("/console/login", json=login())
    parts = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"secure", "httponly", "samesite=strict", "path=/"} <= parts
    assert not any(part.startswith("domain") for part in parts)
    assert answer.headers["set-cookie"].startswith(f"{COOKIE}=")


async def test_through_a_tunnel_the_cookie_does_without_tls(ming):
    for base in ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"):
        browser = ming.client("172.18.0.1", base=base)
        answer = await browser.post("/console/login", json=login())
        assert answer.status_code == 200
        assert "secure" not in answer.headers["set-cookie"].lower()
        assert (await browser.get("/console/session")).status_code == 200


async def test_without_tls_nobody_logs_in_from_afar(ming):
    answer = await ming.client(base="http://kefu.test").post("/console/login", json=login())
    assert answer.status_code == 403
    assert await ming.rows("select 1 from console_sessions") == []


async def test_the_database_has_nothing_that_opens(ming):
    browser, headers = await enter(ming)
    secrets = {PASSWORD, browser.cookies[COOKIE], headers["X-CSRF-Token"]}
    for table in ("console_users", "console_sessions", "console_lockouts", "audit_log"):
        rows = await ming.rows(f"select t::text as whole from {table} t")
        assert not any(secret in row["whole"] for row in rows for secret in secrets)
    [user] = await ming.rows("select password_hash from console_users")
    assert user["password_hash"].startswith("$argon2id$")
    [kept] = await ming.rows("select id_hash from console_sessions")
    assert bytes(kept["id_hash"]) == hashlib.sha256(browser.cookies[COOKIE].encode()).digest()


async def test_a_session_ends_after_half_an_hour_without_a_request(ming):
    browser, _ = await enter(ming)
    for _ in range(3):
        ming.clock.go(seconds=IDLE.total_seconds() - 1)
        assert (await browser.get("/console/session")).status_code == 200
    ming.clock.go(seconds=IDLE.total_seconds())
    assert (await browser.get("/console/session")).status_code == 401


async def test_a_session_ends_after_twelve_hours_however_busy(ming):
    browser, _ = await enter(ming)
    for _ in range(int(LIFETIME / IDLE) * 2 - 1):
        ming.clock.go(seconds=IDLE.total_seconds() / 2)
        assert (await browser.get("/console/session")).status_code == 200
    ming.clock.go(seconds=IDLE.total_seconds() / 2)
    assert (await browser.get("/console/session")).status_code == 401


async def test_logging_in_again_ends_the_session_before(ming):
    browser, _ = await enter(ming)
    before = browser.cookies[COOKIE]
    await browser.post("/console/login", json=login())
    assert browser.cookies[COOKIE] != before
    assert await ming.console.session(before) is None
    assert len(await ming.rows("select 1 from console_sessions")) == 1


async def test_a_session_that_was_not_given_out_is_not_taken(ming):
    browser = ming.client()
    planted = "planted-by-somebody"
    answer = await browser.post("/console/login", json=login(), headers={"Cookie": f"{COOKIE}={planted}"})
    assert answer.status_code == 200
    assert await ming.console.session(planted) is None
    assert await ming.console.session("") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "令牌".encode()},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_what_another_page_sends_changes_nothing(ming, headers):
    browser, own = await enter(ming)
    sent = headers if not headers or "X-CSRF-Token" in headers else own | headers
    assert (await browser.post("/console/logout", headers=sent)).status_code == 403
    assert (await browser.get("/console/session")).status_code == 200


async def test_the_token_of_another_session_changes_nothing(ming):
    browser, _ = await enter(ming)
    _, others = await enter(ming, "192.0.2.2")
    assert (await browser.post("/console/logout", headers=others)).status_code == 403
    assert (await browser.post("/console/logout", headers={"Origin": "https://kefu.test"})).status_code == 403


async def test_another_page_cannot_log_somebody_in(ming):
    browser = ming.client()
    for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await browser.post("/console/login", json=login(), headers=headers)).status_code == 403
    # What a page of another site may send without asking: a form, in which there is no JSON.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        form = await browser.post("/console/login", content=json.dumps(login()), headers={"Content-Type": kind})
        assert form.status_code == 422, kind
    assert await ming.rows("select 1 from console_sessions") == []


async def test_sessions_that_are_over_do_not_pile_up(ming):
    for number in range(3):
        await enter(ming, f"192.0.2.{number}")
    ming.clock.go(seconds=IDLE.total_seconds())
    await enter(ming)
    assert len(await ming.rows("select 1 from console_sessions")) == 1


@pytest.mark.parametrize("change", ["password", "remove"])
async def test_another_password_ends_every_session(ming, change):
    browsers = [(await enter(ming, host))[0] for host in ("192.0.2.1", "192.0.2.2")]
    if change == "password":
        await ming.users.change_password("xiaoming", "another password", actor="cli:ops")
    else:
        await ming.users.remove("xiaoming", actor="cli:ops")
    for browser in browsers:
        assert (await browser.get("/console/session")).status_code == 401
    assert (await ming.client().post("/console/login", json=login())).status_code == 401


async def test_a_password_changed_while_the_old_one_is_compared_lets_nobody_in(ming, monkeypatch):
    matches = type(ming.passwords).matches

    async def slowly(passwords, stored, given):
        is_right = await matches(passwords, stored, given)
        await ming.users.change_password("xiaoming", "another password", actor="cli:ops")
        return is_right

    monkeypatch.setattr(type(ming.passwords), "matches", slowly)
    assert isinstance(await ming.console.log_in("xiaoming", PASSWORD, None), WrongLogin)
    assert await ming.rows("select 1 from console_sessions") == []


async def test_another_password_unlocks_the_account(ming):
    for _ in range(FREE["account"]):
        await ming.console.log_in("xiaoming", "wrong", None)
    await ming.users.change_password("xiaoming", "another password", actor="cli:ops")
    assert not isinstance(await ming.console.log_in("xiaoming", "another password", None), LockedLogin | WrongLogin)


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("xiaoming", "long enough", "already"),
        ("admin", "long enough", "CONSOLE_PASSWORD"),
        ("a b", "long enough", "is no name"),
        ("new", "short", "8 to 1024"),
        ("new", "x" * 1025, "8 to 1024"),
    ],
)
async def test_who_cannot_be_added_is_said(ming, name, password, said):
    with pytest.raises(AccessError, match=said):
        await ming.users.add(name, password, actor="cli:ops")
    assert [row["name"] for row in await ming.users.list()] == ["xiaoming"]


async def test_who_is_not_there_cannot_be_changed(ming):
    with pytest.raises(AccessError, match="there is no user xiaohong"):
        await ming.users.change_password("xiaohong", "long enough", actor="cli:ops")
    with pytest.raises(AccessError, match="there is no user xiaohong"):
        await ming.users.remove("xiaohong", actor="cli:ops")


async def test_console_password_is_the_admin_s_and_a_changed_one_ends_their_sessions(make_doors):
    first, second = "first password", "second password"
    for password in (first, second):
        doors = make_doors(CONSOLE_PASSWORD=password)
        await doors.users.sync_admin(doors.settings.access.console_password)
        assert (await doors.client().post("/console/login", json={"password": password})).status_code == 200
    assert len(await doors.rows("select 1 from console_sessions")) == 1
    assert (await doors.client().post("/console/login", json={"password": first})).status_code == 401
    # Another start with the same one leaves everybody where they are.
    await doors.users.sync_admin(doors.settings.access.console_password)
    assert len(await doors.rows("select 1 from console_sessions")) == 1
    await doors.users.sync_admin(None)
    assert await doors.rows("select 1 from console_users") == []
    assert (await doors.client().post("/console/login", json={"password": second})).status_code == 401


async def test_odd_logins_are_answered_like_others(ming):
    browser = ming.client()
    for body in ({}, {"password": ""}, {"password": "x" * 1025}, {"name": "a\0b", "password": "x"}, [], "x", None):
        assert (await browser.post("/console/login", json=body)).status_code == 422, body
    for headers in ({"Origin": "http://["}, {"Host": "["}, {"Host": "[x]"}):
        assert (await browser.post("/console/login", json=login(), headers=headers)).status_code in {200, 403}, headers
    for name in ("小明", "' or 1=1 --", "a" * 64, "\n"):
        assert (await browser.post("/console/login", json=login(name))).status_code == 401, name
