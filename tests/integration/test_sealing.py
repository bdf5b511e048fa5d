"""What connections with keys write beside what was written without: nothing stays readable, nothing is lost."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from api.callbacks import store_callback
from api.database import open_pool
from api.encryption import KEY_BYTES, KeyRing
from api.errors import EncryptionError
from api.inbox import Inbox
from api.resealing import reseal
from api.transcripts import Transcripts
from tools.messages import File

OLD, NEW = (base64.b64encode(bytes((start + 7 * n) % 256 for n in range(KEY_BYTES))).decode() for start in (4, 5))
RING = KeyRing.parse(NEW)


def nobody_watches(_done: int, _total: int) -> None: ...


@pytest.fixture
async def sealed(works: Any) -> Any:
    """A second pool on the same tables, with a key."""
    async with open_pool(works.pool.conninfo, size=2, ring=RING) as pool:
        yield pool


class Ears:
    """Hears one sentence."""

    def can_read(self, kind: str) -> bool:
        return kind == "voice"

    async def transcribe(self, file: File) -> str:
        return "我要退款"


async def test_a_row_written_before_there_was_a_key_is_sealed_whole_when_words_come_to_it(works: Any, sealed: Any):
    works.channel.files["v1"] = File(kind="voice", name="v1.amr", content=b"#!AMR")
    extra = {"media": {"kind": "voice", "ref": "v1", "name": "青禾.amr"}}
    await works.store(works.message("[语音]", kind="voice", extra=extra))
    transcripts = Transcripts(pool=sealed, channels=works.channels, transcriber=Ears())
    works.jobs = replace(works.jobs, transcripts=transcripts)
    await works.jobs.turn(works.thread())
    await reseal(sealed, RING, nobody_watches)
    [row] = await works.rows("select payload::text as stored from inbox where kind = 'voice'")
    assert "青禾" not in row["stored"]
    async with sealed.connection() as conn:
        [row] = await (await conn.execute("select payload from inbox where kind = 'voice'")).fetchall()
    assert (row["payload"]["words"], row["payload"]["media"]["name"]) == ("我要退款", "青禾.amr")


async def test_where_a_customer_is_cannot_be_read(works: Any, sealed: Any):
    extra = {"latitude": 31.230416, "longitude": 121.473701, "name": "青禾路"}
    message = works.message("[位置]", kind="location", extra=extra)
    await Inbox(sealed, works.queue).store_message(message)
    [row] = await works.rows("select payload::text as stored from inbox")
    assert [told for told in ("31.23", "121.47", "青禾") if told in row["stored"]] == []


async def test_a_callback_that_nothing_was_made_of_is_sealed_too(works: Any, sealed: Any):
    payload = {"MsgType": "text", "FromUserName": "zhangsan", "Content": "青禾的合同"}
    async with sealed.connection() as conn:
        await store_callback(conn, signature="s1", payload=payload, account_id="", token="")
    [row] = await works.rows("select payload::text as stored from callbacks")
    assert "青禾" not in row["stored"]
    assert not any((await reseal(sealed, RING, nobody_watches, dry_run=True)).values())


async def test_what_a_missing_key_sealed_stays_for_that_key_and_all_else_is_sealed(works: Any, sealed: Any):
    """A process that was not restarted may write with the old key after it was struck off."""
    stored = KeyRing.parse(OLD).seal("青禾")
    await works.customer("在吗")
    await works.run("update inbox set payload = payload || jsonb_build_object('text', %s::text)", stored)
    await works.run("update conversations set customer_name = '小满'")
    with pytest.raises(EncryptionError, match="1 rows of inbox"):
        await reseal(sealed, RING, nobody_watches)
    [row] = await works.rows(
        "select payload ->> 'text' as text, customer_name from inbox join conversations using (thread_id)"
    )
    assert row["text"] == stored
    assert RING.open(row["customer_name"]) == "小满" != row["customer_name"]
    both = KeyRing.parse(f"{NEW},{OLD}")
    async with open_pool(works.pool.conninfo, size=2, ring=both) as pool:
        await reseal(pool, both, nobody_watches)
    async with sealed.connection() as conn:
        [row] = await (await conn.execute("select payload ->> 'text' as text from inbox")).fetchall()
    assert row["text"] == "青禾"
