"""`kefu chat`: a conversation without any service around it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.terminal_chat import chat_in_terminal


async def test_a_menu_is_a_numbered_list_and_a_number_is_the_choice(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: Iterator[str] = iter(["快递", "2", "保修", "都不是"])

    def read(_prompt: str) -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        return line

    monkeypatch.setattr("builtins.input", read)
    await chat_in_terminal()
    shown = capsys.readouterr().out
    assert "您是想问:\n1. " in shown
    assert "\n4. 都不是\n" in shown
    assert "查看物流" in shown
    assert "none_of_these" in shown
