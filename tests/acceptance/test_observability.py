"""What operators see of a whole conversation: numbers of all processes, and logs without secrets and words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import httpx
import pytest

CUSTOMER = "wmWatched01"
NAME = "观察员小满"
API_TOKEN = "api-token-S3cr3t-0001"
ASKED = "如何退款?"
OPEN_QUESTION = "你们可以在杯子上刻我的名字吗?"
REPLY = "可以刻字,加 10 元,我的电话 13912345678。"


async def talk(service):
    """Play an answered question, one for a person, their reply, and the end; WeCom fails in between."""
    wecom, telegram = service.wecom, service.telegram
    wecom.add_customer(CUSTOMER, nickname=NAME)
    await wecom.customer_says(CUSTOMER, ASKED)
    answer = await wecom.wait_for_text(CUSTOMER, 1, timeout=20)
    # A token that ran out, a server that stumbles, an answer that is lost: all of them are logged.
    wecom.tokens.revoke()
    wecom.faults.fail_next("kf/send_msg", -1)
    await wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    await wecom.wait_for_text(CUSTOMER, "⏳", timeout=30)
    card = await telegram.wait_for_message(lambda message: OPEN_QUESTION in message.text, timeout=20)
    wecom.faults.reset_after_effect("kf/send_msg")
    await telegram.agent_writes(REPLY, topic_id=card.topic_id)
    await wecom.wait_for_text(CUSTOMER, REPLY, timeout=30)
    await telegram.agent_writes("/done", topic_id=card.topic_id)
    await wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    return answer


async def test_one_conversation_over_two_processes_is_counted_and_logged_without_secrets_and_words(make_service):
    service = await make_service(API_TOKEN=API_TOKEN, KEFU_LOG_FORMAT="json")
    await service.serve("--workers-inline", "0")
    worker = await service.start("worker")
    answer = await talk(service)

    async with httpx.AsyncClient() as client:
        bearer = {"Authorization": f"Bearer {API_TOKEN}"}
        await client.post(f"{service.url}/api/test_kb", json={"query": ASKED}, headers=bearer)
        await client.get(f"{service.url}/health?access_token={API_TOKEN}")
        # At its end the worker adds what it counted.
        worker.terminate()
        await worker.wait()
        metrics = (await client.get(f"{service.url}/metrics")).text

    counted(metrics)
    assert CUSTOMER not in metrics
    await service.stop()
    log = service.log.read_text(encoding="utf-8")
    no_secret(log, service)
    for words in (ASKED, OPEN_QUESTION, REPLY, answer, NAME, "13912345678"):
        assert words not in log
        assert json.dumps(words)[1:-1] not in log
    followed(log)


def counted(metrics: str) -> None:
    """What the worker did is told by the server."""
    told = dict(re.findall(r"^(kefu_\S+) (\S+)$", metrics, re.MULTILINE))
    kind = {name: float(value) for name, value in told.items() if name.startswith("kefu_messages_total")}
    assert [value for name, value in kind.items() if 'outcome="answered"' in name] == [1]
    assert [value for name, value in kind.items() if 'outcome="escalated"' in name] == [1]
    assert float(told['kefu_answer_latency_seconds_count{stage="total"}']) == 2
    assert float(told['kefu_confidence_count{decision="answer"}']) == 1
    assert float(told['kefu_confidence_count{decision="escalate"}']) == 1
    assert float(told["kefu_send_duplicates_total"]) == 1
    assert any(name.startswith('kefu_wecom_calls_total{code="40014",') for name in told)
    assert float(told['kefu_wecom_calls_total{code="-1",path="kf/send_msg"}']) == 1
    assert float(told["kefu_handoff_wait_seconds_count"]) == 1
    assert float(told['kefu_embedding_calls_total{outcome="usable"}']) >= 2
    assert float(told['kefu_http_requests_total{method="POST",route="/wecom/callback",status="200"}']) >= 2
    assert float(told["kefu_inbox_lost_rows"]) == 0
    assert float(told["kefu_inbox_unhandled_rows"]) == 0


def no_secret(log: str, service) -> None:
    """Nothing that opens anything is in the log."""
    variables = ("WECOM_AGENT_SECRET", "WECOM_TOKEN", "WECOM_ENCODING_AES_KEY", "TELEGRAM_BOT_TOKEN", "API_TOKEN")
    secrets = [service.environment[name] for name in (*variables, "DATA_ENCRYPTION_KEY")]
    assert [secret for secret in secrets if secret in log] == []
    assert re.findall(r"AT-\w+-\d+", log) == []
    assert re.findall(r"access_token=(?!\*\*\*)\S", log) == []


def followed(log: str) -> None:
    """A message can be followed from the page it came with to the send of its answer, by ids."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert len(lines) > 20
    by_action: dict[str, list[dict]] = {}
    for line in lines:
        by_action.setdefault(line.get("action", ""), []).append(line)
    turn = next(line for line in by_action["turn_handled"] if line["origin"] == "customer")
    [message_id] = turn["message_ids"]
    assert any(message_id in line["message_ids"] for line in by_action["page_stored"])
    sent = [line for line in by_action["sent"] if line["turn_id"] == turn["turn_id"]]
    assert [line["destination"] for line in sent] == ["customer"]
    assert sent[0]["message_key"]
    assert (turn["job"], sent[0]["job"]) == ("turn", "deliver")
    assert turn["thread_id"] == sent[0]["thread_id"]
    requests = by_action["request"]
    told = {(line["method"], line["path"], line["status"]) for line in requests}
    assert told >= {("GET", "/health", 200), ("POST", "/api/test_kb", 200)}
    # A stored callback is told by what it causes.
    assert ("POST", "/wecom/callback", 200) not in told
    assert all(line["request_id"] and line["ms"] >= 0 for line in requests)


class Collector:
    """Takes spans on a real socket; what they say is read off the bytes."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"post /v1/traces ")
                length = int(re.search(rb"content-length: (\d+)", head)[1])
                self.bodies.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        writer.close()


@pytest.fixture
async def collector():
    made = Collector()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    async with server:
        made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


async def test_spans_tell_of_a_message_from_its_callback_to_its_send_in_two_processes(make_service, collector):
    service = await make_service(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    await service.serve("--workers-inline", "0")
    await service.start("worker")
    answer = await talk(service)
    # At their end processes send what is left.
    await service.stop()
    told = b"".join(collector.bodies)
    for name in (
        "request",
        "job pull",
        "pull",
        "wait",
        "turn",
        "node retrieve",
        "node answer",
        "node escalate",
        "send",
    ):
        assert name.encode() in told, name
    for fact in (
        "kefu.turn_id",
        "kefu.confidence",
        "kefu.prompts_version",
        "kefu.knowledge_version",
        "kefu.message_key",
    ):
        assert fact.encode() in told, fact
    for words in (ASKED, OPEN_QUESTION, REPLY, answer, NAME, "13912345678"):
        assert words.encode() not in told
