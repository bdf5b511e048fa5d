"""Members of the company as customers: stored with their callback, answered by the app, beside 微信客服."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.lifespan import Services
from api.settings import load_settings
from tools.errors import ChannelUnavailableError, RateLimitedError
from tools.simulators.wecom import WecomSimulator
from tools.simulators.wecom_callbacks import CallbackSender, event_xml
from tools.wecom.app import WecomApp
from tools.wecom.app_channel import WecomAppChannel, to_inbound

AGENT_ID = 1000002
MEMBER = "zhangsan"
THREAD = f"wecom-app:{AGENT_ID}:{MEMBER}"
CORP = "wwApp01"
VARIABLES = {
    "WECOM_CORP_ID": CORP,
    "WECOM_AGENT_ID": str(AGENT_ID),
    "WECOM_AGENT_SECRET": "agent-s3cr3t",
    "WECOM_TOKEN": "t0k3n",
    "WECOM_ENCODING_AES_KEY": "k" * 43,
    "WECOM_API_BASE": "http://127.0.0.1:9/cgi-bin/",
    "NOTIFICATION_CHANNEL": "wecom:lisi",
    "KEFU_APP_CHANNEL": "on",
    "KEFU_BURST_SECONDS": "0",
}


@dataclass
class Chat:
    """A member's chat with the app, between the jobs and WeCom."""

    works: Any
    sim: WecomSimulator
    number: int = 0

    @property
    def texts(self) -> list[str]:
        return self.sim.members.texts_to(MEMBER)

    async def writes(self, text: str) -> None:
        """Let the callback arrive and the bot answer."""
        self.number += 1
        fields = {"FromUserName": MEMBER, "MsgType": "text", "Content": text, "MsgId": str(self.number)}
        message = to_inbound({**fields, "CreateTime": "1800000000", "AgentID": str(AGENT_ID)}, agent_id=AGENT_ID)
        await self.works.inbox.store_message(message)
        await self.works.jobs.turn(THREAD)

    async def deliver(self) -> None:
        await self.works.jobs.deliver(THREAD, "customer")

    async def states(self) -> list[str]:
        rows = await self.works.rows("select state from outbox where destination = 'customer' order by id")
        return [row["state"] for row in rows]


@pytest.fixture
async def chat(works: Any) -> AsyncIterator[Chat]:
    sim = WecomSimulator(corp_id=CORP, secret="s", token="t" * 16, encoding_aes_key="a" * 43, agent_id=AGENT_ID)
    async with sim:
        app = WecomApp(api_base=sim.api_base, corp_id=CORP, secret=SecretStr("s"), agent_id=AGENT_ID)
        channel = WecomAppChannel(app)
        works.channels.by_name["wecom-app"] = channel
        works.knowledge.entries = {"年假怎么休?": "五天。"}
        yield Chat(works, sim)
        await channel.close()


async def test_a_member_is_answered_in_the_app_and_a_customer_in_theirs(chat: Chat) -> None:
    await chat.writes("年假怎么休?")
    await chat.deliver()
    await chat.works.customer("年假怎么休?")
    assert chat.texts == ["五天。"]
    assert [(sent.customer_id, sent.text) for sent in chat.works.channel.sent] == [("wm1", "五天。")]


async def test_the_same_question_again_gets_the_same_answer_again(chat: Chat) -> None:
    for _ in range(2):
        await chat.writes("年假怎么休?")
        await chat.deliver()
    assert chat.texts == ["五天。", "五天。"]


async def test_the_same_answer_is_not_swallowed_when_the_first_one_took_its_time(chat: Chat) -> None:
    await chat.writes("年假怎么休?")
    await chat.deliver()
    # Sent off four hours ago and taken by WeCom a little later: to it the four hours are not over.
    await chat.works.run("update outbox set tried_at = tried_at - interval '4 hours 30 seconds'")
    await chat.writes("年假怎么休?")
    await chat.deliver()
    assert chat.texts == ["五天。", "五天。"]


async def test_an_answer_of_unknown_outcome_arrives_once(chat: Chat) -> None:
    await chat.writes("年假怎么休?")
    chat.sim.faults.reset_after_effect("message/send", times=3)
    with pytest.raises(ChannelUnavailableError):
        await chat.deliver()
    await chat.deliver()
    assert chat.texts == ["五天。"]
    assert await chat.states() == ["sent"]


async def test_what_the_channel_would_lose_in_this_minute_waits_for_the_next(chat: Chat) -> None:
    await chat.writes("年假怎么休?")
    a_minute = WecomAppChannel.limits.a_minute
    assert a_minute is not None
    for number in range(a_minute):
        await chat.works.outbox.say(THREAD, f"turn{number}", "answer", f"第 {number} 条")
    with pytest.raises(RateLimitedError):
        await chat.deliver()
    assert len(chat.texts) == a_minute
    assert await chat.states() == ["sent"] * a_minute + ["pending"]
    await chat.works.run("update outbox set tried_at = tried_at - interval '1 minute'")
    await chat.deliver()
    assert chat.texts[-1] == f"第 {a_minute - 1} 条"


async def test_of_a_channel_switched_off_the_desk_is_told(chat: Chat) -> None:
    await chat.writes("年假怎么休?")
    del chat.works.channels.by_name["wecom-app"]
    await chat.deliver()
    assert await chat.states() == ["failed"]
    [row] = await chat.works.rows("select payload ->> 'text' as text from outbox where destination = 'desk'")
    assert "wecom-app is switched off" in row["text"]


@dataclass
class Site:
    """The routes, without a worker."""

    client: httpx.AsyncClient
    services: Services
    sender: CallbackSender

    async def receives(self, text: str = "年假怎么休?", *, member: str = MEMBER, message_id: str = "71") -> int:
        """Deliver a member's text; return the status."""
        fields = {"FromUserName": member, "MsgType": "text", "Content": text, "MsgId": message_id}
        query, body = self.sender.encrypt(event_xml(CORP, 1_800_000_000, **fields, AgentID=str(AGENT_ID)))
        return (await self.client.post("/wecom/callback", params=query, content=body)).status_code

    async def rows(self, statement: str) -> list[dict[str, Any]]:
        async with self.services.pool.connection() as conn:
            return await (await conn.execute(statement.encode())).fetchall()


@pytest.fixture
async def site(database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> AsyncIterator[Site]:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    app = create_app(load_settings(), database_uri, concurrency=0)
    async with contextlib.AsyncExitStack() as stack:
        state: Any = await stack.enter_async_context(app.router.lifespan_context(app))

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state)}, receive, send)

        transport = httpx.ASGITransport(with_state, client=("127.0.0.1", 1))
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://kefu"))
        key, token = VARIABLES["WECOM_ENCODING_AES_KEY"], VARIABLES["WECOM_TOKEN"]
        sender = CallbackSender(corp_id=CORP, token=token, encoding_aes_key=key, clock=lambda: 1_800_000_000.0)
        yield Site(client, state["services"], sender)


async def test_a_member_s_message_is_stored_with_its_turn_once(site: Site) -> None:
    assert [await site.receives() for _ in range(2)] == [200, 200]
    [row] = await site.rows("select thread_id, origin, kind, handled_at from inbox")
    assert row == {"thread_id": THREAD, "origin": "customer", "kind": "text", "handled_at": None}
    [job] = await site.rows("select task_name, lock from procrastinate_jobs where task_name = 'turn'")
    assert job == {"task_name": "turn", "lock": f"turn:{THREAD}"}
    assert await site.rows("select id from callbacks") == []


async def test_whoever_answers_at_the_desk_is_no_customer(site: Site) -> None:
    assert await site.receives("在吗", member="lisi") == 200
    assert await site.rows("select id from inbox") == []


async def test_what_could_not_be_stored_with_its_turn_is_to_be_sent_again(site: Site, database_uri: str) -> None:
    with psycopg.connect(database_uri, autocommit=True) as conn:
        conn.execute("alter table procrastinate_jobs rename to hidden")
        assert await site.receives() == 503
        assert await site.rows("select id from inbox") == []
        conn.execute("alter table hidden rename to procrastinate_jobs")
    assert await site.receives() == 200
