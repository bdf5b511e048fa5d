"""Which chat model the settings mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tools.chat_model import MAX_TOKENS, PROVIDERS, make_chat_model
from tools.errors import ConfigurationError
from tools.settings import ModelSettings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("LLM_PROVIDER", "LLM_API_KEY", "LLM_API_BASE", "LLM_MODEL", "KEFU_LLM_TIMEOUT_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def made(**settings: Any) -> ChatOpenAI:
    model = make_chat_model(ModelSettings(**settings))
    assert isinstance(model, ChatOpenAI)
    return model


@pytest.mark.parametrize("provider", ["", "kimi", "none", "NONE", "nobody"])
def test_without_key_and_base_there_is_no_model(provider: str) -> None:
    assert make_chat_model(ModelSettings(llm_provider=provider)) is None


def test_the_provider_none_wins_over_a_key() -> None:
    assert make_chat_model(ModelSettings(llm_provider="none", llm_api_key=SecretStr("k"))) is None


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_a_key_is_enough_for_a_known_provider(provider: str) -> None:
    model = made(llm_provider=provider.upper(), llm_api_key=SecretStr("k"))
    assert (model.openai_api_base, model.model_name) == (PROVIDERS[provider].base_url, PROVIDERS[provider].model)


def test_base_and_model_replace_a_provider_s() -> None:
    model = made(
        llm_provider="kimi", llm_api_key=SecretStr("k"), llm_api_base="http://127.0.0.1:9/v1", llm_model="mine"
    )
    assert (model.openai_api_base, model.model_name) == ("http://127.0.0.1:9/v1", "mine")


def test_a_local_server_needs_no_key() -> None:
    assert made(llm_api_base="http://127.0.0.1:9/v1", llm_model="mine").openai_api_key is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"llm_provider": "nobody", "llm_api_key": SecretStr("s3cr3t")},
        {"llm_api_key": SecretStr("s3cr3t")},
        {"llm_api_base": "http://127.0.0.1:9/v1"},
    ],
)
def test_an_unknown_server_is_refused_with_the_known_names(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"kimi, openai, deepseek, qwen, none.*LLM_API_BASE") as caught:
        make_chat_model(ModelSettings(**settings))
    assert "s3cr3t" not in str(caught.value)


def test_the_request_says_max_tokens_as_compatible_servers_know_it() -> None:
    model = made(llm_provider="kimi", llm_api_key=SecretStr("k"))
    assert model.extra_body == {"max_tokens": MAX_TOKENS}
    assert "max_completion_tokens" not in json.dumps(model._default_params, default=str)
