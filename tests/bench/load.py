"""The load: pre-encrypted callbacks over kept-alive connections, as fast as the answers come."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import uvloop
from lines import answer_lines

from tools.simulators.wecom_callbacks import CallbackSender, event_xml


def make_requests(sender: CallbackSender, corp_id: str, count: int, accounts: int) -> list[bytes]:
    """Encrypt and sign callbacks of so many accounts; each has a signature of its own."""
    requests = []
    run = secrets.token_hex(4)
    for number in range(count):
        account = f"wk{run}{number % accounts}"
        fields = {"Event": "kf_msg_or_event", "Token": f"ENC{number:012d}", "OpenKfId": account}
        query, body = sender.encrypt(event_xml(corp_id, int(time.time()), **fields))
        head = (
            f"POST /wecom/callback?{urlencode(query)} HTTP/1.1\r\nHost: bench\r\nContent-Type: text/xml\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    return requests


async def post_all(port: int, requests: list[bytes], concurrency: int) -> tuple[float, list[float], int]:
    """Post every request; return the seconds it took, each answer's seconds, and how many were not 200."""
    waiting = iter(requests)
    took: list[float] = []
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(concurrency)]
    began = time.perf_counter()
    failed = await asyncio.gather(*(_post(*connection, waiting, took) for connection in connections))
    seconds = time.perf_counter() - began
    for _, writer in connections:
        writer.close()
        await writer.wait_closed()
    return seconds, took, sum(failed)


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: Iterator[bytes], took: list[float]
) -> int:
    failed = 0
    for request in waiting:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        took.append(time.perf_counter() - began)
        failed += not head.startswith(b"HTTP/1.1 200")
    return failed


async def main() -> None:
    corp_id = os.environ["WECOM_CORP_ID"]
    key, token = os.environ["WECOM_ENCODING_AES_KEY"], os.environ["WECOM_TOKEN"]
    sender = CallbackSender(corp_id=corp_id, token=token, encoding_aes_key=key, clock=time.time)

    async def handle(question: dict[str, Any]) -> dict[str, Any]:
        requests = make_requests(sender, corp_id, question["count"], question["accounts"])
        seconds, took, failed = await post_all(question["port"], requests, question["concurrency"])
        return {"seconds": seconds, "took": took, "failed": failed}

    await answer_lines(handle)


if __name__ == "__main__":
    uvloop.run(main())
