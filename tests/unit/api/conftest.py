"""An environment without any setting of the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.settings import variable_names


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Unset every variable that is read and stand in an empty folder, where `.env` would be; return the folder."""
    for name in variable_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path
