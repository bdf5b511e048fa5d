"""What is wrong with WeCom and with models is named, with its mend."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import Result

from api.settings import load_settings
from kb.bundled import BundledEmbedder
from tools.simulators.wecom import WecomSimulator

Shop = Any
Command = Callable[..., Awaitable[Result]]
Break = Callable[[Any], Any]


async def none_is_receiving(shop: Shop) -> None:
    shop.wecom.kf.servicers.clear()
    shop.wecom.add_servicer("zhangsan", is_receiving=False)


WECOM: dict[str, tuple[Break, str, str, str]] = {
    "wrong secret": (lambda s: s.set(WECOM_KF_SECRET="other"), "wecom token", "40001", "wrong secret"),
    "wrong corp": (lambda s: s.set(WECOM_CORP_ID="wwOther"), "wecom token", "40013", "WECOM_CORP_ID"),
    "nobody answers": (
        lambda s: s.set(WECOM_API_BASE=f"http://127.0.0.1:{s.free_port()}/"),
        "wecom token",
        "no answer (ConnectError)",
        "WECOM_API_BASE",
    ),
    "server error": (
        lambda s: s.wecom.fail_next("gettoken", 0, status=502, times=3),
        "wecom token",
        "HTTP 502",
        "WECOM_API_BASE",
    ),
    "untrusted address": (
        lambda s: s.wecom.fail_next("kf/account/list", 60020, times=5),
        "wecom accounts",
        "60020",
        "the address of this server (127.0.0.1) is not in 企业可信IP",
    ),
    "no permission": (
        lambda s: s.wecom.fail_next("kf/account/list", 48002, times=5),
        "wecom accounts",
        "48002",
        "可调用接口的应用",
    ),
    "switch off": (
        lambda s: s.wecom.fail_next("kf/account/list", 95017, times=5),
        "wecom accounts",
        "95017",
        "API switch",
    ),
    "unknown code": (
        lambda s: s.wecom.fail_next("kf/account/list", 99999, times=5),
        "wecom accounts",
        "99999",
        "WECOM_API_BASE",
    ),
    "no account": (
        lambda s: s.wecom.kf.accounts.clear(),
        "wecom accounts",
        "sees no kf account",
        "通过API管理微信客服账号",
    ),
    "account of another": (
        lambda s: s.wecom.kf.unmanaged.update(s.wecom.kf.accounts),
        "wecom accounts",
        "may not answer for",
        "通过API管理微信客服账号",
    ),
    "no servicer": (lambda s: s.wecom.kf.servicers.clear(), "wecom servicers", "has none", "接待人员"),
    "none receiving": (none_is_receiving, "wecom servicers", "is receiving", "接待中"),
    "servicer out of sight": (
        lambda s: s.wecom.fail_next("kf/servicer/list", 60030, times=5),
        "wecom servicers",
        "60030",
        "visible range",
    ),
}


@pytest.mark.parametrize(("spoil", "check", "cause", "mend"), WECOM.values(), ids=list(WECOM))
async def test_what_is_wrong_with_wecom_is_named(shop: Shop, spoil: Break, check: str, cause: str, mend: str) -> None:
    done = spoil(shop)
    if done is not None:
        await done
    failed = await shop.failed()
    assert list(failed) == [check]
    assert cause in failed[check].detail
    assert mend in failed[check].mend


async def test_a_silent_wecom_costs_no_more_than_its_time(shop: Shop) -> None:
    shop.wecom.latency["gettoken"] = 30
    failed = await shop.failed(seconds=0.5)
    assert failed["wecom token"].detail == "no answer within 0.5 s"
    assert "WECOM_API_BASE" in failed["wecom token"].mend


@pytest.mark.parametrize(("ahead", "words"), [(300, "300 s behind"), (-300, "300 s ahead of"), (61.9, "behind")])
async def test_a_wrong_clock_is_named(shop: Shop, ahead: float, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = lambda: time.time() + ahead + 0.5 * (ahead > 0)  # noqa: E731 -- the header has whole seconds
    async with WecomSimulator(
        corp_id=shop.corp, secret=shop.secret, token=shop.token, encoding_aes_key=shop.key, clock=clock
    ) as wecom:
        wecom.add_servicer("zhangsan")
        shop.set(WECOM_API_BASE=wecom.api_base)
        failed = await shop.failed()
    assert list(failed) == ["clock"]
    detail = failed["clock"].detail
    assert words in detail or words.replace("300", "301") in detail
    assert "timedatectl" in failed["clock"].mend


NOT_FOUND = {"message": "The model `shop-model` does not exist", "code": "model_not_found"}
REFUSALS: dict[str, tuple[int, dict[str, Any], str, str]] = {
    "wrong key": (401, {"message": "bad key sk-very-s3cr3t"}, "refuses the key (401)", "LLM_API_KEY"),
    "unknown model": (404, NOT_FOUND, "does not know the model 'shop-model' (404)", "LLM_MODEL"),
    "unknown model, 400": (400, {"message": "Model Not Exist"}, "does not know the model", "LLM_MODEL"),
    "wrong path": (404, {"message": "Not Found"}, "nothing at this path (404)", "/v1"),
    "no balance": (402, {"message": "Insufficient Balance"}, "balance", "console"),
    "overloaded": (429, {"message": "slow down"}, "rate limit", "console"),
    "server error": (500, {"message": "oops"}, "trouble of its own (500)", "later"),
    "refused": (400, {"message": "bad request"}, "refuses the request (400)", "LLM_MODEL"),
}


@pytest.mark.parametrize(("status", "error", "cause", "mend"), REFUSALS.values(), ids=list(REFUSALS))
async def test_what_is_wrong_with_the_chat_model_is_named(
    shop: Shop, status: int, error: dict[str, Any], cause: str, mend: str
) -> None:
    shop.model.refusal = (status, error)
    failed = await shop.failed()
    assert list(failed) == ["chat model"]
    assert cause in failed["chat model"].detail
    assert mend in failed["chat model"].mend
    assert shop.llm_key not in str(failed)


async def test_the_chat_model_is_asked_for_one_token(shop: Shop) -> None:
    found = await shop.findings()
    assert found["chat model"].status == "ok"
    assert "shop-model at 127.0.0.1 answered" in found["chat model"].detail
    assert [asked["max_tokens"] for asked in shop.model.asked] == [1]


async def test_a_chat_model_that_is_not_there_is_named(shop: Shop) -> None:
    shop.set(LLM_API_BASE=f"http://127.0.0.1:{shop.free_port()}/v1")
    failed = await shop.failed()
    assert failed["chat model"].detail == "the server cannot be reached"
    assert "LLM_API_BASE" in failed["chat model"].mend


async def test_a_chat_model_slower_than_its_time_is_named(shop: Shop) -> None:
    shop.model.hang = True
    shop.set(KEFU_LLM_TIMEOUT_SECONDS="0.5")
    failed = await shop.failed()
    assert failed["chat model"].detail in {"no answer within 0.5 s", "the server does not answer in time"}
    assert "LLM_API_BASE" in failed["chat model"].mend


async def test_an_unknown_provider_is_named(shop: Shop) -> None:
    shop.set(LLM_PROVIDER="nobody", LLM_API_BASE="")
    failed = await shop.failed()
    assert "'nobody' is not one of" in failed["chat model"].detail
    assert "set LLM_API_BASE and LLM_MODEL" in failed["chat model"].mend


class TestVision:
    async def test_a_model_that_sees_is_shown_a_picture(self, shop: Shop) -> None:
        shop.set(LLM_VISION_MODEL="eyes")
        found = await shop.findings()
        assert found["vision model"].status == "ok"
        assert "eyes at 127.0.0.1 answered" in found["vision model"].detail
        [asked] = [asked for asked in shop.model.asked if asked["model"] == "eyes"]
        [part] = asked["messages"][0]["content"]
        assert part["image_url"]["url"].startswith("data:image/png;base64,")
        assert asked["max_tokens"] == 1

    async def test_a_model_that_the_server_does_not_have_is_named_by_its_own_variable(self, shop: Shop) -> None:
        shop.model.refusal = (404, {"message": "The model `eyes` does not exist", "code": "model_not_found"})
        shop.set(LLM_VISION_MODEL="eyes")
        failed = await shop.failed()
        assert failed["vision model"].detail == "the server does not know the model 'eyes' (404)"
        assert failed["vision model"].mend == "set LLM_VISION_MODEL to one it has"
        assert failed["chat model"].mend == "set LLM_MODEL to one it has"

    async def test_without_a_server_it_cannot_be_asked(self, shop: Shop) -> None:
        shop.set(LLM_VISION_MODEL="eyes", LLM_PROVIDER="none")
        failed = await shop.failed()
        assert list(failed) == ["vision model"]
        assert "needs a chat model's server" in failed["vision model"].detail

    async def test_without_one_nothing_is_checked(self, shop: Shop) -> None:
        found = await shop.findings()
        assert (found["vision model"].status, found["speech server"].status) == ("off", "off")
        assert shop.model.heard == []


class TestSpeech:
    async def test_a_server_that_hears_is_sent_a_recording(self, shop: Shop) -> None:
        base = load_settings().model.llm_api_base
        shop.set(SPEECH_API_BASE=base, SPEECH_MODEL="ears")
        found = await shop.findings()
        assert found["speech server"].status == "ok"
        assert "ears at 127.0.0.1 answered" in found["speech server"].detail
        [body] = shop.model.heard
        assert b"#!AMR" in body

    @pytest.mark.parametrize(
        ("status", "cause", "mend"),
        [
            (401, "HTTP 401", "SPEECH_API_KEY"),
            (404, "HTTP 404", "SPEECH_MODEL"),
            (400, "refuses the recording (HTTP 400)", "must read AMR"),
            (200, "cannot be read", "SPEECH_API_BASE"),
        ],
    )
    async def test_a_refusal_is_named(self, shop: Shop, status: int, cause: str, mend: str) -> None:
        shop.model.speech_refusal = (status, {"error": "sk-speech-s3cr3t"})
        shop.set(SPEECH_API_BASE=load_settings().model.llm_api_base, SPEECH_API_KEY="sk-speech-s3cr3t")
        failed = await shop.failed()
        assert list(failed) == ["speech server"]
        assert cause in failed["speech server"].detail
        assert mend in failed["speech server"].mend
        assert "s3cr3t" not in str(failed)

    async def test_a_server_that_is_not_there_is_named(self, shop: Shop) -> None:
        shop.set(SPEECH_API_BASE=f"http://127.0.0.1:{shop.free_port()}/v1")
        failed = await shop.failed()
        assert failed["speech server"].detail == "speech recognition: no answer (ConnectError)"
        assert "check the network and SPEECH_API_BASE" in failed["speech server"].mend


class TestEmbedding:
    async def test_a_service_that_answers_is_fine(self, shop: Shop) -> None:
        found = await shop.findings()
        assert (found["embedding model"].status, found["embedding model"].detail) == ("ok", "e@127.0.0.1, 2 dimensions")
        assert found["vectors"].status == "ok"

    async def test_the_bundled_model_is_loaded_and_tried(self, shop: Shop) -> None:
        shop.set(EMBEDDING_API_BASE="", EMBEDDING_MODEL="", LLM_PROVIDER="none")
        shop.sql(f"update knowledge_chunks set embedding_model = '{BundledEmbedder().model_id}'")
        found = await shop.findings()
        assert (found["embedding model"].status, found["vectors"].status) == ("ok", "ok")
        assert found["embedding model"].detail == f"{BundledEmbedder().model_id}, 384 dimensions"
        assert found["chat model"].status == "off"

    @pytest.mark.parametrize(
        ("status", "cause", "mend"), [(401, "refuses the key (401)", "EMBEDDING_API_KEY"), (404, "nothing at", "/v1")]
    )
    async def test_a_refusal_is_named(self, shop: Shop, status: int, cause: str, mend: str) -> None:
        shop.model.embedding_refusal = (status, {"message": "no"})
        failed = await shop.failed()
        assert list(failed) == ["embedding model"]
        assert cause in failed["embedding model"].detail
        assert mend in failed["embedding model"].mend

    async def test_an_odd_answer_is_named(self, shop: Shop) -> None:
        shop.model.embedding_refusal = (200, {"message": "no"})
        failed = await shop.failed()
        assert "did not answer" in failed["embedding model"].detail
        assert "EMBEDDING_API_BASE" in failed["embedding model"].mend
