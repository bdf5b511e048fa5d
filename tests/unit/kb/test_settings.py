"""Settings of the knowledge base: what is set and wrong stops the start."""

import pytest
from pydantic import ValidationError

from kb.settings import KbSettings


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RERANK_API_BASE": "api.example.com"}, "is not a URL"),
        ({"RERANK_API_BASE": "https://api.example.com/v1"}, "RERANK_MODEL is missing"),
        ({"RERANK_API_KEY": "your-key"}, "still a placeholder"),
        ({"EMBEDDING_API_BASE": "https://api.example.com/v1"}, "EMBEDDING_MODEL is missing"),
    ],
)
def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=said) as raised:
        KbSettings(_env_file=None)
    assert "your-key" not in str(raised.value)


def test_a_reranking_service_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_API_BASE", "https://api.example.com/v1/")
    monkeypatch.setenv("RERANK_MODEL", "reader")
    settings = KbSettings(_env_file=None)
    assert (settings.rerank_api_base, settings.rerank_model) == ("https://api.example.com/v1", "reader")
