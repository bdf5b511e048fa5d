"""Tokens: what they open, for how long, and what of them is kept."""

from __future__ import annotations

import hashlib

import pytest

from api.errors import AccessError


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_opens_its_scopes_and_no_other(doors):
    token = await doors.tokens.create("grafana", ["metrics:read"], days=90, actor="cli:ops")
    stranger = doors.client("10.0.0.7")
    assert (await stranger.get("/metrics", headers=bearer(token))).status_code == 200
    assert (await stranger.get("/kb", headers=bearer(token))).status_code == 401
    both = await doors.tokens.create("both", ["kb:read", "metrics:read"], days=90, actor="cli:ops")
    assert (await stranger.get("/kb", headers=bearer(both))).status_code == 200


async def test_only_a_hash_of_it_is_kept_and_nothing_shows_it_again(doors):
    token = await doors.tokens.create("grafana", ["kb:read"], days=90, actor="cli:ops")
    assert len(token) > 40
    [row] = await doors.rows("select *, api_tokens::text as whole from api_tokens")
    assert bytes(row["token_hash"]) == hashlib.sha256(token.encode()).digest()
    assert token not in row["whole"]
    assert token not in str(await doors.tokens.list())
    assert token not in str(await doors.rows("select audit_log::text from audit_log"))


async def test_two_tokens_are_never_alike(doors):
    tokens = {await doors.tokens.create(f"t{n}", ["kb:read"], days=1, actor="cli:ops") for n in range(20)}
    assert len(tokens) == 20


async def test_it_ends_on_its_day(doors):
    token = await doors.tokens.create("grafana", ["kb:read"], days=90, actor="cli:ops")
    lasting = await doors.tokens.create("lasting", ["kb:read"], days=None, actor="cli:ops")
    doors.clock.go(days=90, seconds=-1)
    assert await doors.tokens.admits(token, "kb:read")
    doors.clock.go(seconds=1)
    assert not await doors.tokens.admits(token, "kb:read")
    assert await doors.tokens.admits(lasting, "kb:read")


async def test_a_revoked_token_opens_nothing_from_then_on(doors):
    token = await doors.tokens.create("grafana", ["kb:read"], days=90, actor="cli:ops")
    assert await doors.tokens.admits(token, "kb:read")
    await doors.tokens.revoke("grafana", actor="cli:ops")
    assert not await doors.tokens.admits(token, "kb:read")
    actions = await doors.rows("select actor, action, subject from audit_log order by id")
    assert [tuple(row.values()) for row in actions] == [
        ("cli:ops", "token.created", "grafana"),
        ("cli:ops", "token.revoked", "grafana"),
    ]


async def test_its_last_use_is_noted_once_a_minute(doors):
    token = await doors.tokens.create("grafana", ["kb:read"], days=90, actor="cli:ops")
    assert (await doors.tokens.list())[0]["last_used_at"] is None
    for seconds, is_noted in ((0, True), (60, False), (1, True)):
        doors.clock.go(seconds=seconds)
        before = (await doors.tokens.list())[0]["last_used_at"]
        assert await doors.tokens.admits(token, "kb:read")
        after = (await doors.tokens.list())[0]["last_used_at"]
        assert after == (doors.clock.now if is_noted else before)


async def test_what_is_not_a_token_opens_nothing(doors):
    token = await doors.tokens.create("grafana", ["kb:read"], days=90, actor="cli:ops")
    for given in ("", "kefu_", token[:-1], token + "x", token.upper(), token.removeprefix("kefu_"), "kefu_\ud800"):
        assert not await doors.tokens.admits(given, "kb:read"), given


@pytest.mark.parametrize(
    ("name", "scopes", "said"),
    [
        ("a b", ["kb:read"], "is no name"),
        ("x" * 65, ["kb:read"], "is no name"),
        ("taken", ["kb:read"], "already"),
        ("new", ["kb:write"], "there is no scope kb:write; there are kb:read, metrics:read"),
    ],
)
async def test_what_cannot_be_made_is_said(doors, name, scopes, said):
    await doors.tokens.create("taken", ["kb:read"], days=1, actor="cli:ops")
    with pytest.raises(AccessError, match=said):
        await doors.tokens.create(name, scopes, days=1, actor="cli:ops")
    assert len(await doors.tokens.list()) == 1


async def test_revoking_what_is_not_there_is_said(doors):
    with pytest.raises(AccessError, match="there is no token grafana"):
        await doors.tokens.revoke("grafana", actor="cli:ops")


async def test_with_no_token_at_all_only_this_machine_may(doors):
    for host, status in (("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.7", 401), ("odd", 401)):
        assert (await doors.client(host).get("/kb")).status_code == status, host
    assert "API_TOKEN" in (await doors.client("10.0.0.7").get("/kb")).json()["detail"]


async def test_with_a_token_for_it_this_machine_needs_one_too(doors):
    await doors.tokens.create("grafana", ["metrics:read"], days=1, actor="cli:ops")
    assert (await doors.client().get("/kb")).status_code == 200
    await doors.tokens.create("search", ["kb:read"], days=1, actor="cli:ops")
    assert (await doors.client().get("/kb")).status_code == 401
    doors.clock.go(days=1)
    assert (await doors.client().get("/kb")).status_code == 200


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "forwarded", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "via"]
)
async def test_through_a_proxy_nobody_is_this_machine(doors, header):
    for path in ("/kb", "/metrics"):
        assert (await doors.client().get(path, headers={header: "127.0.0.1"})).status_code == 401


async def test_api_token_opens_everything_from_anywhere(make_doors):
    doors = make_doors(API_TOKEN="s3cr3t-token")
    stranger = doors.client("10.0.0.7")
    for path in ("/kb", "/metrics"):
        assert (await stranger.get(path, headers=bearer("s3cr3t-token"))).status_code == 200
        assert (await stranger.get(path, headers={"Authorization": "bearer   s3cr3t-token "})).status_code == 200
        for given in ("", "s3cr3t-token", "Basic s3cr3t-token", "Bearer s3cr3t-toke", "Bearer", "Bearer \xe9"):
            answer = await stranger.get(path, headers={"Authorization": given.encode("latin-1")})
            assert answer.status_code == 401, given
            assert "s3cr3t" not in answer.text
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await doors.client().get("/kb")).status_code == 401


async def test_metrics_are_read_from_named_networks_without_a_token(make_doors):
    doors = make_doors(KEFU_METRICS_ALLOWED_IPS="10.1.0.0/16", API_TOKEN="s3cr3t-token")
    for host, status in (("10.1.2.3", 200), ("::ffff:10.1.2.3", 200), ("10.2.0.1", 401), ("127.0.0.1", 401)):
        assert (await doors.client(host).get("/metrics")).status_code == status, host
