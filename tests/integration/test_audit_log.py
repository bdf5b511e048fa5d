"""What people did stays written down: added in the same transaction, never changed."""

from __future__ import annotations

import asyncio
import getpass
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from api.audit import Filter, cli_actor, entries, record
from api.cli import app
from api.database import Pool


async def add(pool: Pool, **fields: Any) -> None:
    async with pool.connection() as conn, conn.transaction():
        await record(conn, **{"actor": "cli:ops", "action": "draft.approved"} | fields)


async def run(pool: Pool, statement: str, *parameters: object) -> list[dict[str, Any]]:
    async with pool.connection() as conn:
        cursor = await conn.execute(statement.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []


async def test_a_row_counts_when_its_transaction_does(pool: Pool) -> None:
    async with pool.connection() as conn, conn.transaction(force_rollback=True):
        await record(conn, actor="bot", action="ticket.closed", ticket_id="t1")
    assert await entries(pool, Filter(), limit=10) == []
    await add(pool, ticket_id="t1", thread_id="wecom:a:b", subject="7", detail={"by": "小王\0\ud800"})
    [row] = await entries(pool, Filter(), limit=10)
    assert {name: row[name] for name in ("actor", "action", "ticket_id", "thread_id", "subject", "detail")} == {
        "actor": "cli:ops",
        "action": "draft.approved",
        "ticket_id": "t1",
        "thread_id": "wecom:a:b",
        "subject": "7",
        "detail": {"by": "小王?"},
    }


@pytest.mark.parametrize(
    "statement",
    ["update audit_log set actor = 'x'", "delete from audit_log", "truncate audit_log"],
)
async def test_rows_are_neither_changed_nor_deleted(pool: Pool, statement: str) -> None:
    await add(pool)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added to"):
        await run(pool, statement)
    assert len(await entries(pool, Filter(), limit=10)) == 1


async def test_what_is_old_expires_the_oldest_first_and_the_door_is_shut_again(pool: Pool) -> None:
    for subject in "123":
        await add(pool, subject=subject)
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    assert await run(pool, "select audit_log_expire(%s, 10) as rows", past) == [{"rows": 0}]
    async with pool.connection() as conn, conn.transaction():
        row = await (await conn.execute("select audit_log_expire(%s, 2) as rows", (future,))).fetchone()
        assert row == {"rows": 2}
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with conn.transaction():
                await conn.execute("delete from audit_log")
    assert [row["subject"] for row in await entries(pool, Filter(), limit=10)] == ["3"]


async def test_a_forgotten_customer_leaves_what_was_done(pool: Pool) -> None:
    await add(pool, thread_id="wecom:a:gone", ticket_id="t1", detail={"name": "小鱼"})
    await add(pool, thread_id="wecom:a:stays", detail={"name": "阿布"})
    assert await run(pool, "select audit_log_forget(%s) as rows", ["wecom:a:gone"]) == [{"rows": 1}]
    rows = await entries(pool, Filter(), limit=10)
    assert [(row["thread_id"], row["detail"]) for row in rows] == [("wecom:a:stays", {"name": "阿布"}), (None, {})]
    assert rows[1]["ticket_id"] == "t1"


async def test_a_filter_chooses_and_the_newest_come_first(pool: Pool) -> None:
    await add(pool, actor="desk:小王", action="desk.take", ticket_id="t1")
    await add(pool, action="draft.approved", ticket_id="t2")
    await add(pool, action="draft.rejected")
    await add(pool, action="drafts.counted")

    async def actions(chosen: Filter, limit: int = 10) -> list[str]:
        return [row["action"] for row in await entries(pool, chosen, limit=limit)]

    assert await actions(Filter(), limit=2) == ["drafts.counted", "draft.rejected"]
    assert await actions(Filter(action="draft")) == ["draft.rejected", "draft.approved"]
    assert await actions(Filter(action="draft.approved")) == ["draft.approved"]
    assert await actions(Filter(actor="desk:小王")) == ["desk.take"]
    assert await actions(Filter(ticket="t2")) == ["draft.approved"]
    assert await actions(Filter(since=datetime.now(UTC) + timedelta(hours=1))) == []


async def test_the_command_lists_what_was_done(
    pool: Pool, database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    monkeypatch.setenv("KB_DB_URL", database_uri)
    await add(pool, subject="7", detail={"by": "小王", "reason": ""})

    def kefu(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["audit", "list", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    [line] = (await asyncio.to_thread(kefu)).splitlines()
    assert "cli:ops" in line
    assert line.endswith("7  by=小王")
    facts = json.loads(await asyncio.to_thread(kefu, "--json", "--since", "2020-01-01", "--limit", "5"))
    assert (facts["actor"], facts["subject"], facts["detail"]["by"]) == ("cli:ops", "7", "小王")
    assert await asyncio.to_thread(kefu, "--since", "2100-01-01") == ""


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    assert cli_actor().startswith("cli:")
    monkeypatch.setattr(getpass, "getuser", nameless)
    assert cli_actor().removeprefix("cli:").isdigit()


async def test_messages_given_up_by_hand_are_noted_and_those_that_were_none_are_not(
    works: Any, database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    monkeypatch.setenv("KB_DB_URL", database_uri)
    await works.outbox.say(works.thread(), "turn1", "answer", "一|二")
    rows = await works.rows("update outbox set state = 'failed' returning id")
    first, second = (str(row["id"]) for row in rows)

    async def kefu(*arguments: str) -> int:
        result = await asyncio.to_thread(CliRunner().invoke, app, ["outbox", *arguments])
        return result.exit_code

    assert await kefu("drop", first) == 0
    assert await kefu("retry", second) == 0
    assert await kefu("drop", first, "999") == 1
    noted = await entries(works.pool, Filter(action="outbox"), limit=9)
    assert [(row["action"], row["subject"]) for row in noted] == [("outbox.retried", second), ("outbox.dropped", first)]
    assert noted[0]["actor"] == cli_actor()
