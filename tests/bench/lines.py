"""Parts of the benchmark that run as processes of their own: one JSON line asks, one answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
LIMIT = 1 << 24

Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Part:
    """A running part."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Ask one thing and wait for the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(question).encode() + b"\n")
        await stdin.drain()
        line = await stdout.readline()
        if not line:
            raise RuntimeError("a part of the benchmark ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def part(script: str, **environment: str) -> AsyncIterator[Part]:
    """Run one of the scripts beside this one until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(FOLDER / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        limit=LIMIT,
    )
    try:
        yield Part(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def answer_lines(handle: Handler) -> None:
    """Answer the questions on standard input until it ends."""
    reader = asyncio.StreamReader(limit=LIMIT)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        answer = await handle(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
