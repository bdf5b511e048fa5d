"""`kefu demo` and `kefu chat` do what they show."""

from __future__ import annotations

import asyncio
import io
import sys

from api.demo.one_conversation import play
from api.terminal_chat import chat_in_terminal


async def test_the_demo_plays_to_the_end(capsys):
    await play(keep=False)
    transcript = capsys.readouterr().out
    parts = [
        "机器人(欢迎语)",
        "如何退款?",
        "申请退款",
        "那要多久?",
        "工作日",
        "刻我的名字",
        "⏳",
        "工单卡片",
        "加 10 元",
        "/done",
        "处理完毕",
        "运费",
    ]
    positions = [transcript.find(part) for part in parts]
    assert -1 not in positions, dict(zip(parts, positions, strict=True))
    assert positions[:7] == sorted(positions[:7])


def test_the_terminal_chat_answers_and_shows_tickets(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("如何退款?\n你们可以在杯子上刻我的名字吗?\n"))
    asyncio.run(chat_in_terminal())
    shown = capsys.readouterr().out
    assert "申请退款" in shown
    assert "刻我的名字" in shown
    assert "low_confidence" in shown
