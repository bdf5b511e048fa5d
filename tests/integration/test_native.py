"""WeCom's own robot on a real database: taken over once, whatever is repeated, and compared with on the same days."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from pydantic import SecretStr
from tenacity import wait_none
from typer.testing import CliRunner

from api.cli import app
from api.database import Pool
from api.native import SOURCE, NativeError, baseline, read_knowledge, share
from kb.catalog import list_entries
from tools.errors import BadRequestError, ChannelUnavailableError, ConfigurationError
from tools.simulators.wecom import WecomSimulator
from tools.wecom.client import WecomClient
from tools.wecom.native import NativeRobot

TODAY = date(2026, 11, 10)
NOON = datetime(2026, 11, 10, 4, tzinfo=UTC)
"""In Beijing."""
PICTURE = {"msgtype": "image", "image": {"name": "尺码表.png"}}
LINK = {"msgtype": "link", "link": {"title": "退货规则", "url": "https://shop.example.com/r"}}

Kefu = Callable[..., Awaitable[Result]]


@pytest.fixture
def now() -> datetime:
    """The vendor's time."""
    return NOON


@pytest.fixture
async def sim(now: datetime) -> AsyncIterator[WecomSimulator]:
    options = {"corp_id": "ww1", "secret": "kf-s3cret", "token": "t", "encoding_aes_key": "k" * 43}
    async with WecomSimulator(**options, clock=now.timestamp) as running:
        yield running


@pytest.fixture
async def client(sim: WecomSimulator) -> AsyncIterator[WecomClient]:
    options = {"api_base": sim.api_base, "corp_id": "ww1", "timeout": httpx.Timeout(5), "wait": wait_none()}
    async with WecomClient(**options, secret=SecretStr("kf-s3cret")) as opened:
        yield opened


@pytest.fixture
def kefu(sim: WecomSimulator, database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> Kefu:
    """Run `kefu native` beside the simulator; errors are the test's."""
    values = {"KB_DB_URL": database_uri, "WECOM_API_BASE": sim.api_base, "WECOM_CORP_ID": "ww1"}
    secrets = {"WECOM_KF_SECRET": "kf-s3cret", "WECOM_TOKEN": "t", "WECOM_ENCODING_AES_KEY": "k" * 43}
    for name, value in {**values, **secrets}.items():
        monkeypatch.setenv(name, value)

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["native", *arguments], catch_exceptions=False)

    return run


def teach(sim: WecomSimulator) -> None:
    group = sim.native.add_group("售后")
    sim.native.teach(
        "如何退款?", "在订单页申请。", group_id=group, similar=["怎么退钱", "如何退款?"], attachments=[LINK]
    )
    sim.native.teach("有哪些尺码?", "看图。", group_id=group, attachments=[PICTURE])
    sim.native.teach("几点上班?", "九点。")
    sim.native.teach("没有答案的问题", "")


class TestImport:
    async def test_everything_is_read_however_short_the_pages(self, client: WecomClient, sim: WecomSimulator) -> None:
        teach(sim)
        sim.native.page = 1
        seen: list[tuple[int, int]] = []
        found = await read_knowledge(NativeRobot(client), progress=lambda done, total: seen.append((done, total)))
        assert (found.groups, found.entries) == (2, 3)
        assert seen == [(1, 2), (2, 2)]
        answers = {chunk.question: (chunk.answer, chunk.category) for chunk in found.chunks}
        assert answers == {
            "几点上班?": ("九点。", "默认分组"),
            "如何退款?": ("在订单页申请。\n[链接] 退货规则 https://shop.example.com/r", "售后"),
            "怎么退钱": ("在订单页申请。\n[链接] 退货规则 https://shop.example.com/r", "售后"),
            "有哪些尺码?": ("看图。\n[图片] 尺码表.png", "售后"),
        }
        assert found.warnings == (
            "没有答案的问题: passed over, it has no question or no answer",
            "有哪些尺码?: [图片] 尺码表.png is named in the answer and not sent along",
        )

    async def test_a_second_import_changes_nothing_and_a_changed_answer_one_entry(
        self, kefu: Kefu, sim: WecomSimulator, pool: Pool
    ) -> None:
        teach(sim)
        dry = await kefu("import", "--dry-run")
        assert "groups 2, questions 3, ways to ask 4" in dry.output
        assert "would change: added 4, unchanged 0, updated 0, removed 0, embedded 4" in dry.output
        assert await list_entries(pool) == []
        assert "added 4, unchanged 0" in (await kefu("import")).output
        again = await kefu("import")
        assert "added 0, unchanged 4, updated 0, removed 0, embedded 0" in again.output
        sim.native.intents[next(iter(sim.native.intents))]["answers"][0]["text"]["content"] = "退款请找人工。"
        assert "added 0, unchanged 2, updated 2" in (await kefu("import")).output
        entries = await list_entries(pool, source=SOURCE)
        assert [entry.category for entry in entries].count("售后") == 2
        [refund] = [entry for entry in entries if entry.question == "如何退款?"]
        assert refund.similar == ("怎么退钱",)
        assert refund.answer.startswith("退款请找人工。")

    async def test_a_question_that_another_entry_asks_too_is_told(
        self, kefu: Kefu, sim: WecomSimulator, pool: Pool
    ) -> None:
        teach(sim)
        async with pool.connection() as conn:
            for content, metadata in (
                ("怎么退钱\n找客服。", {"question": "怎么退钱"}),
                ("几点上班?\n八点。", {"question": "几点上班?", "source": "shop.md"}),
            ):
                await conn.execute(
                    "insert into knowledge_chunks (content, metadata) values (%s, %s)", (content, json.dumps(metadata))
                )
        for _ in range(2):
            output = " ".join((await kefu("import")).output.split())
            assert "几点上班?: shop.md asks it too; keep one" in output
            assert "怎么退钱: a row typed in by hand asks it too; keep one" in output
            assert "如何退款?: " not in output

    async def test_what_the_robot_forgot_stays_unless_refreshed(
        self, kefu: Kefu, sim: WecomSimulator, pool: Pool
    ) -> None:
        teach(sim)
        await kefu("import")
        del sim.native.intents[next(iter(sim.native.intents))]
        assert "removed 0" in (await kefu("import")).output
        assert "removed 2" in (await kefu("import", "--refresh")).output
        assert {entry.question for entry in await list_entries(pool)} == {"几点上班?", "有哪些尺码?"}

    async def test_a_robot_that_knows_nothing_removes_nothing(
        self, kefu: Kefu, sim: WecomSimulator, pool: Pool
    ) -> None:
        teach(sim)
        await kefu("import")
        sim.native.intents.clear()
        with pytest.raises(NativeError, match="knows no question"):
            await kefu("import", "--refresh")
        assert len(await list_entries(pool)) == 3

    async def test_half_a_list_removes_nothing(self, kefu: Kefu, sim: WecomSimulator, pool: Pool) -> None:
        teach(sim)
        await kefu("import")
        sim.native.page = 1
        sim.fail_next("kf/knowledge/list_intent", -1, times=3)
        with pytest.raises(ChannelUnavailableError):
            await kefu("import", "--refresh")
        assert len(await list_entries(pool)) == 3

    @pytest.mark.parametrize("command", ["import", "stats"])
    async def test_without_wecom_it_is_one_line(
        self, command: str, kefu: Kefu, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("WECOM_CORP_ID", "WECOM_KF_SECRET", "WECOM_TOKEN", "WECOM_ENCODING_AES_KEY"):
            monkeypatch.delenv(name)
        with pytest.raises(ConfigurationError, match="WeCom is not configured"):
            await kefu(command)


async def said(pool: Pool, thread: str, turn: str, at: datetime, *, answered: bool = False, **fields: Any) -> None:
    """Store a customer's message, and its answer."""
    row = {"account": "wkSimulator0001", "origin": "customer", "outcome": "handled", **fields}
    async with pool.connection() as conn:
        await conn.execute(
            "insert into inbox (thread_id, origin, account_id, message_id, kind, payload, sent_at, received_at,"
            " turn_id, handled_at, outcome) values (%(thread)s, %(origin)s, %(account)s, %(turn)s, 'text', '{}',"
            " %(at)s, %(at)s, %(turn)s, %(at)s, %(outcome)s)",
            {**row, "thread": thread, "turn": turn, "at": at},
        )
        if answered:
            await conn.execute(
                "insert into outbox (thread_id, destination, message_key, turn_id, part, payload, state) values"
                " (%(thread)s, 'customer', %(turn)s, %(turn)s, 'answer.0', '{}', 'sent')",
                {"thread": thread, "turn": turn},
            )


async def handed_over(pool: Pool, thread: str, at: datetime, closed: datetime | None = None) -> None:
    async with pool.connection() as conn:
        await conn.execute(
            "insert into tickets (ticket_id, thread_id, reason, opened_at, closed_at) values (%s, %s, 'x', %s, %s)",
            (f"{thread}-{at}", thread, at, closed),
        )


YESTERDAY = NOON - timedelta(days=1)


class TestOwnFigures:
    async def test_answers_and_handovers_are_counted_by_beijing_s_days(self, pool: Pool, client: WecomClient) -> None:
        # 16:30 in UTC is half past midnight in Beijing.
        late = datetime(2026, 11, 8, 16, 30, tzinfo=UTC)
        await said(pool, "a", "t0", late - timedelta(hours=1), answered=True)
        await said(pool, "a", "t1", late, answered=True)
        await said(pool, "a", "t2", YESTERDAY)
        await handed_over(pool, "a", YESTERDAY + timedelta(seconds=5))
        # Beside a person, and after them.
        await said(pool, "a", "t3", YESTERDAY + timedelta(minutes=1), answered=True)
        await said(pool, "b", "t4", YESTERDAY, answered=True)
        await said(pool, "b", "t5", NOON, answered=True)
        found = await baseline(client, pool, days=30, today=TODAY)
        assert (found.first, found.last, found.own_since) == (date(2026, 10, 11), date(2026, 11, 9), date(2026, 11, 8))
        one, two = found.own
        assert (one.day, one.messages, one.to_bot, one.answered, one.handed_over) == (date(2026, 11, 8), 1, 1, 1, 0)
        assert (two.day, two.conversations, two.messages, two.to_bot) == (date(2026, 11, 9), 2, 4, 3)
        assert (two.answered, two.handed_over) == (2, 1)

    async def test_after_a_ticket_was_closed_the_bot_is_asked_again(self, pool: Pool, client: WecomClient) -> None:
        await handed_over(pool, "a", YESTERDAY - timedelta(days=2), closed=YESTERDAY - timedelta(days=1))
        await said(pool, "a", "t1", YESTERDAY, answered=True)
        [day] = (await baseline(client, pool, days=1, today=TODAY)).own
        assert (day.to_bot, day.answered, day.handed_over) == (1, 1, 0)

    async def test_what_is_nobody_s_question_is_not_counted(self, pool: Pool, client: WecomClient) -> None:
        await said(pool, "a", "t1", YESTERDAY, origin="system")
        await said(pool, "a", "t2", YESTERDAY, outcome="history")
        await said(pool, "a", "t3", YESTERDAY, account="wkOther")
        found = await baseline(client, pool, days=30, today=TODAY)
        assert (found.own, found.own_since) == ((), None)


class TestStatistics:
    async def test_all_accounts_and_all_spans_are_asked_for(
        self, client: WecomClient, sim: WecomSimulator, pool: Pool
    ) -> None:
        sim.add_account("wk2", "二号")
        oldest = TODAY - timedelta(days=180)
        sim.native.statistics[sim.account, oldest] = {"session_cnt": 1}
        sim.native.statistics["wk2", date(2026, 11, 9)] = {"session_cnt": 2}
        found = await baseline(client, pool, days=180, today=TODAY)
        assert [(row.day, row.sessions) for row in found.native] == [(oldest, 1), (date(2026, 11, 9), 2)]
        assert sim.calls["kf/get_corp_statistic"] == 12
        found = await baseline(client, pool, days=180, today=TODAY, only=["wk2", "wk2"])
        assert [account.name for account in found.accounts] == ["二号"]
        assert [row.sessions for row in found.native] == [2]

    async def test_an_account_that_is_refused_costs_the_others_nothing(
        self, client: WecomClient, sim: WecomSimulator, pool: Pool
    ) -> None:
        sim.add_account("wk2", "二号")
        sim.native.statistics["wk2", date(2026, 11, 9)] = {"session_cnt": 2}
        sim.fail_next("kf/get_corp_statistic", 40058)
        found = await baseline(client, pool, days=3, today=TODAY)
        assert [row.sessions for row in found.native] == [2]
        [warning] = found.warnings
        assert warning.startswith("客服: left out, WeCom kf/get_corp_statistic: 40058")
        sim.fail_next("kf/get_corp_statistic", 40058)
        with pytest.raises(BadRequestError):
            await baseline(client, pool, days=3, today=TODAY, only=[sim.account])

    async def test_an_unknown_account_is_named(self, client: WecomClient, sim: WecomSimulator, pool: Pool) -> None:
        with pytest.raises(NativeError, match=rf"no account 'wkNo'; WeCom lists {sim.account}"):
            await baseline(client, pool, days=3, today=TODAY, only=["wkNo"])

    def test_a_share_counts_by_its_weight(self) -> None:
        assert share([(0.5, 10), (1.0, 30), (None, 100)]) == pytest.approx(0.875)
        assert share([(0.5, 0)]) == pytest.approx(0.5)
        assert share([]) is None


@pytest.fixture
async def busy(sim: WecomSimulator, pool: Pool, now: datetime) -> None:
    """Two days of the robot, one of ours."""
    today = (now + timedelta(hours=8)).date()
    robot = {"customer_cnt": 8, "customer_msg_cnt": 40, "ai_session_reply_cnt": 8}
    days = (
        {"session_cnt": 10, **robot, "ai_transfer_rate": 0.5, "ai_knowledge_hit_rate": 0.4},
        {"session_cnt": 30, "customer_cnt": 25, "customer_msg_cnt": 120, "ai_session_reply_cnt": 24}
        | {"ai_transfer_rate": 0.25, "ai_knowledge_hit_rate": 0.6},
    )
    for back, figures in enumerate(days, 1):
        sim.native.statistics[sim.account, today - timedelta(days=back)] = figures
    await said(pool, "a", "t1", now - timedelta(days=1), answered=True)
    await said(pool, "b", "t2", now - timedelta(days=1))


@pytest.mark.usefixtures("busy")
class TestStats:
    @pytest.fixture
    def now(self) -> datetime:
        """The real time: the command looks at the clock."""
        return datetime.now(UTC)

    async def test_both_are_printed_side_by_side(self, kefu: Kefu) -> None:
        result = await kefu("stats", "--days", "7")
        assert result.exit_code == 0
        lines = {line[:24].strip(): line[24:].split() for line in result.stdout.splitlines()[2:]}
        assert lines == {
            "sessions": ["40", "2"],
            "customers, day by day": ["33", "2"],
            "messages": ["160", "2"],
            "sessions of the robot": ["32", "2"],
            "knowledge hit rate": ["55.0%", "50.0%"],
            "went on to a person": ["31.2%", "0.0%"],
        }
        assert "kefu, from " in result.stdout

    async def test_json_has_every_day(self, kefu: Kefu, sim: WecomSimulator) -> None:
        facts = json.loads((await kefu("stats", "--json")).stdout)
        assert facts["accounts"] == [{"open_kfid": sim.account, "name": "客服"}]
        assert facts["native"]["ai_knowledge_hit_rate"] == pytest.approx(0.55)
        assert facts["kefu"]["ai_knowledge_hit_rate"] == pytest.approx(0.5)
        assert [(day["native"]["sessions"], bool(day["kefu"])) for day in facts["days"]] == [(30, False), (10, True)]
        assert facts["kefu"]["since"] == facts["days"][1]["day"]

    async def test_what_was_not_recorded_is_a_dash(self, kefu: Kefu, pool: Pool, sim: WecomSimulator) -> None:
        async with pool.connection() as conn:
            await conn.execute("delete from inbox")
        sim.native.statistics.clear()
        result = await kefu("stats")
        assert "kefu, nothing recorded" in result.stdout
        assert result.stdout.splitlines()[-1].split()[-2:] == ["-", "-"]

    @pytest.mark.parametrize("days", ["0", "181"])
    async def test_days_wecom_has_not_are_bad_usage(self, kefu: Kefu, days: str) -> None:
        assert (await kefu("stats", "--days", days)).exit_code == 2
