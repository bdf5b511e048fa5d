"""LangGraph Studio's server starts offline, without a key, and answers from the sample."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]


async def test_studio_answers_from_the_sample(tmp_path):
    # A copy, because the server writes its state beside langgraph.json.
    shutil.copy(ROOT / "langgraph.json", tmp_path)
    shutil.copytree(ROOT / "graph", tmp_path / "graph")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["dev", "--no-browser", "--no-reload", "--port", str(port), "--config", "langgraph.json"]
    with (tmp_path / "log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("langgraph"),
            *arguments,
            cwd=tmp_path,
            env={**os.environ, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"},
            stdout=log,
            stderr=log,
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            async with asyncio.timeout(60):
                while server.returncode is None:
                    with contextlib.suppress(httpx.TransportError):
                        if (await client.get("/ok")).status_code == 200:
                            break
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(asyncio.shield(server.wait()), 0.05)
            assert server.returncode is None, (tmp_path / "log").read_text()
            body = {
                "assistant_id": "kefu",
                "input": {"messages": [{"role": "user", "content": "如何退款?"}]},
            }
            answer = (await client.post("/runs/wait", json=body)).json()
    finally:
        if server.returncode is None:
            server.terminate()
            await asyncio.wait_for(server.wait(), 30)
    assert "申请退款" in answer["messages"][-1]["content"]
