"""Which chat model the settings mean, and when its server is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelError, ModelInvalidRequestError
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from kb.masking import Mask
from tools.chat_model import MAX_TOKENS, PROVIDERS, GuardedChatModel, make_chat_model
from tools.circuit_breaker import CircuitBreaker
from tools.errors import ConfigurationError, ModelUnavailableError
from tools.settings import ModelSettings
from tools.simulators.model_server import ModelServer


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


ASK = [HumanMessage("如何退款?")]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def model(server: ModelServer, clock: Clock) -> AsyncIterator[GuardedChatModel]:
    """A model that is left alone for a minute after two failures."""
    breaker = CircuitBreaker("chat model", failures=2, pause_seconds=60, clock=clock)
    settings = ModelSettings(llm_api_base=server.api_base, llm_model="m")
    made_model = make_chat_model(settings)
    assert made_model is not None
    async with contextlib.aclosing(made_model) as opened:
        opened.breaker = breaker
        opened.root_async_client.max_retries = 0
        yield opened


async def ask(model: GuardedChatModel) -> str:
    return str((await model.ainvoke(ASK)).text)


async def test_a_server_that_answers_is_asked_every_time(model: GuardedChatModel, server: ModelServer) -> None:
    assert [await ask(model) for _ in range(3)] == ["好的"] * 3
    assert server.calls["chat/completions"] == 3


@pytest.mark.parametrize("failure", ["html", "not_json", "no_choices", "empty_choices", "null"])
async def test_nonsense_is_an_unavailable_model(model: GuardedChatModel, server: ModelServer, failure: Any) -> None:
    server.breaks(failure)
    with pytest.raises(ModelUnavailableError, match="no usable answer"):
        await ask(model)


@pytest.mark.parametrize("failure", ["500", "429", "401", "drop", "not_json"])
async def test_after_two_failures_the_server_is_left_alone(
    model: GuardedChatModel, server: ModelServer, failure: Any
) -> None:
    server.breaks(failure)
    for _ in range(2):
        with pytest.raises((ModelError, ModelUnavailableError)):
            await ask(model)
    with pytest.raises(ModelUnavailableError, match="not asked for a while"):
        await ask(model)
    assert server.calls["chat/completions"] == 2


async def test_after_the_pause_one_question_tries_it(
    model: GuardedChatModel, server: ModelServer, clock: Clock
) -> None:
    server.breaks("not_json")
    for _ in range(3):
        with pytest.raises(ModelUnavailableError):
            await ask(model)
    server.heals()
    clock.now += 60
    assert await ask(model) == await ask(model) == "好的"


async def test_a_server_that_refuses_one_question_is_there(model: GuardedChatModel, server: ModelServer) -> None:
    server.breaks("400")
    for _ in range(3):
        with pytest.raises(ModelInvalidRequestError):
            await ask(model)
    server.heals()
    assert await ask(model) == "好的"


async def test_a_call_given_up_by_its_caller_counts_as_a_failure(model: GuardedChatModel, server: ModelServer) -> None:
    server.breaks("hang")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(model)
    with pytest.raises(ModelUnavailableError, match="not asked for a while"):
        await ask(model)


async def test_a_stream_is_guarded_too(model: GuardedChatModel, server: ModelServer) -> None:
    server.breaks("500")
    for _ in range(2):
        with pytest.raises(ModelError):
            async for _ in model.astream(ASK):
                pass
    with pytest.raises(ModelUnavailableError, match="not asked for a while"):
        async for _ in model.astream(ASK):
            pass


async def test_the_breaker_is_no_part_of_a_trace(model: GuardedChatModel) -> None:
    assert "breaker" not in json.dumps(dumpd(model))


async def test_a_server_sees_marks_and_the_reply_has_the_values(server: ModelServer) -> None:
    settings = ModelSettings(llm_api_base=server.api_base, llm_model="m")
    server.says = "会打〔电话1〕"
    made_model = make_chat_model(settings, Mask)
    assert made_model is not None
    async with contextlib.aclosing(made_model) as opened:
        reply = await opened.ainvoke([SystemMessage("规则"), HumanMessage("我的电话是 13812345678")])
        assert reply.text == "会打13812345678"
        streamed = [piece.text async for piece in opened.astream("打 13812345678")]
        assert "".join(streamed) == "会打13812345678"
    for chat in server.chats:
        assert "13812345678" not in json.dumps(chat)
        assert "〔电话1〕" in chat["messages"][-1]["content"]


async def test_a_server_of_the_shop_s_own_may_see_everything(server: ModelServer) -> None:
    settings = ModelSettings(llm_api_base=server.api_base, llm_model="m", kefu_mask_personal=False)
    made_model = make_chat_model(settings, Mask)
    assert made_model is not None
    async with contextlib.aclosing(made_model) as opened:
        await opened.ainvoke("我的电话是 13812345678")
    assert "13812345678" in server.chats[0]["messages"][0]["content"]
