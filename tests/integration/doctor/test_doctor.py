"""`kefu doctor`: the command, the callback URL, and how checks are run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from api.doctor.checks import Check, Finding, run_checks, split_mend
from api.doctor.diagnosis import diagnose, read_settings

Shop = Any
Command = Callable[..., Awaitable[Result]]
Break = Callable[[Any], Any]


class TestCommand:
    async def test_its_help_explains_the_marks(self, clean_environment: Path, command: Command) -> None:
        result = await command("--help")
        assert result.exit_code == 0
        assert "✗" in result.stdout
        assert "--url" in result.stdout

    async def test_a_healthy_set_up_exits_0_with_a_tick_a_line(
        self, shop: Shop, redis_url: str, command: Command
    ) -> None:
        shop.set(REDIS_URL=redis_url)
        result = await command("--url", await shop.kefu())
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        # What nobody needs for a whole service.
        unused = ["– reranking model", "– vision model", "– speech server"]
        assert [line.split("  ")[0].rstrip() for line in lines if not line.startswith("✓ ")] == unused
        assert len(lines) == 27
        assert shop.telegram.messages == ()
        assert shop.wecom.sent == []

    async def test_a_failure_exits_1_with_cause_and_mend_on_one_line(self, shop: Shop, command: Command) -> None:
        shop.set(WECOM_AGENT_SECRET="wrong-s3cr3t")
        result = await command()
        assert result.exit_code == 1
        (line,) = [line for line in result.stdout.splitlines() if line.startswith("✗")]
        assert "wecom token" in line
        assert "40001" in line
        assert "→ wrong secret; compare WECOM_KF_SECRET or WECOM_AGENT_SECRET with the console" in line
        assert [line for line in result.stdout.splitlines() if line.startswith("– wecom accounts")]

    async def test_json_holds_the_same(self, shop: Shop, command: Command) -> None:
        shop.sql("truncate knowledge_chunks")
        result = await command("--json")
        assert result.exit_code == 1
        body = json.loads(result.stdout)
        assert body["ok"] is False
        (failed,) = [found for found in body["checks"] if found["status"] == "failed"]
        assert failed == {
            "check": "knowledge base",
            "status": "failed",
            "detail": "it is empty: every question goes to a person",
            "mend": "run `kefu kb import PATH`",
        }

    async def test_a_wrong_setting_is_one_line_and_the_rest_is_checked(self, shop: Shop, command: Command) -> None:
        shop.set(MAX_WRONG_ANSWER_RATE="7", TELEGRAM_API_BASE="nowhere")
        result = await command("--json")
        assert result.exit_code == 1
        found = {row["check"]: row for row in json.loads(result.stdout)["checks"]}
        assert found["settings"]["status"] == "failed"
        assert "MAX_WRONG_ANSWER_RATE: " in found["settings"]["detail"]
        assert "TELEGRAM_API_BASE: is not a URL" in found["settings"]["detail"]
        for name in ("embedding model", "vectors", "telegram", "telegram updates"):
            assert (found[name]["status"], found[name]["detail"]) == ("off", "not checked: see 'settings'")
        for name in ("database", "knowledge base", "wecom accounts", "chat model"):
            assert found[name]["status"] == "ok"

    async def test_a_wrong_database_url_leaves_the_rest_checked(self, shop: Shop, command: Command) -> None:
        shop.set(KB_DB_URL="mysql://root:db-s3cr3t@x/y")
        result = await command()
        assert result.exit_code == 1
        assert "✗ settings" in result.stdout
        assert "KB_DB_URL: is not a PostgreSQL URL" in result.stdout
        assert "– database" in result.stdout
        assert "✓ wecom token" in result.stdout
        assert "db-s3cr3t" not in result.output

    async def test_a_slip_in_a_name_is_a_finding_and_a_stray_line_is_only_told(
        self, shop: Shop, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, command: Command
    ) -> None:
        (clean_environment / ".env").write_text("SHOP=1\n", encoding="utf-8")
        result = await command()
        assert result.exit_code == 0, result.output
        assert "nothing reads SHOP in .env" in result.stdout
        monkeypatch.setenv("KEFU_BRUST_SECONDS", "5")
        result = await command()
        assert result.exit_code == 1
        (line,) = [line for line in result.stdout.splitlines() if line.startswith("✗")]
        assert "KEFU_BRUST_SECONDS is not a setting; did you mean KEFU_BURST_SECONDS?" in line
        assert line.endswith("→ rename it, or remove it")

    async def test_a_file_of_settings_in_another_encoding_is_said_so(
        self, shop: Shop, clean_environment: Path, command: Command
    ) -> None:
        (clean_environment / ".env").write_bytes("KEFU_NOTE=客服\n".encode("gb18030"))
        result = await command()
        assert result.exit_code == 1
        assert result.stdout.splitlines()[0].startswith("✗ settings")
        assert ".env: is not UTF-8" in result.stdout

    async def test_a_broken_embedded_server_is_a_finding(
        self, shop: Shop, clean_environment: Path, monkeypatch: pytest.MonkeyPatch, command: Command
    ) -> None:
        monkeypatch.delenv("KB_DB_URL")
        (clean_environment / "taken").write_text("a file, not a folder")
        shop.set(KEFU_DATA_DIR=str(clean_environment / "taken"))
        result = await command("--json")
        found = {row["check"]: row for row in json.loads(result.stdout)["checks"]}
        assert "the embedded PostgreSQL did not start" in found["database"]["detail"]
        assert "KB_DB_URL" in found["database"]["mend"]
        assert found["outbox"]["detail"] == "not checked: see 'database'"

    @pytest.mark.parametrize("url", ["kefu.example.com", "ftp://x", "https://", "https://x:port", "https://[x"])
    async def test_what_is_no_url_is_bad_usage(self, url: str, clean_environment: Path, command: Command) -> None:
        assert (await command("--url", url)).exit_code == 2

    async def test_no_secret_is_printed_whatever_is_wrong(self, shop: Shop, command: Command) -> None:
        echo = {"message": f"Incorrect API key provided: {shop.llm_key}", "code": "invalid_api_key"}
        shop.model.refusal = (401, echo)
        port = shop.free_port()
        shop.set(
            WECOM_API_BASE=f"http://127.0.0.1:{port}/cgi-bin/",
            TELEGRAM_API_BASE=f"http://127.0.0.1:{port}",
            REDIS_URL=f"redis://:redis-s3cr3t@127.0.0.1:{port}/0",
            KB_DB_URL=f"postgresql://kefu:db-s3cr3t@127.0.0.1:{port}/kefu",
        )
        result = await command("--url", f"http://me:url-s3cr3t@127.0.0.1:{port}/?token=query-s3cr3t")
        assert result.exit_code == 1
        assert result.stdout.count("✗") >= 6
        secrets = [shop.secret, shop.token, shop.key, shop.llm_key, shop.telegram.token, "s3cr3t", "access_token="]
        assert [secret for secret in secrets if secret in result.output] == []
        assert result.stderr == ""


class TestCallbackUrl:
    @pytest.mark.parametrize(
        ("variables", "cause"),
        [
            ({"WECOM_TOKEN": "another"}, "another WECOM_TOKEN (403)"),
            ({"WECOM_ENCODING_AES_KEY": "z" * 43}, "another WECOM_ENCODING_AES_KEY (400)"),
            ({"WECOM_CORP_ID": "wwAnother"}, "another WECOM_CORP_ID (403)"),
        ],
    )
    async def test_a_running_server_with_another_key_is_told_which(
        self, shop: Shop, variables: dict[str, str], cause: str
    ) -> None:
        failed = await shop.failed(url=await shop.kefu(**variables))
        assert list(failed) == ["wecom callback url"]
        assert cause in failed["wecom callback url"].detail
        assert next(iter(variables)) in failed["wecom callback url"].mend

    async def test_a_running_server_without_wecom_is_told(self, shop: Shop) -> None:
        empty = dict.fromkeys(["WECOM_CORP_ID", "WECOM_AGENT_SECRET", "WECOM_TOKEN", "WECOM_ENCODING_AES_KEY"], "")
        failed = await shop.failed(url=await shop.kefu(**empty))
        assert failed["wecom callback url"].detail == "the running server has no WeCom settings (503)"

    async def test_a_list_of_allowed_addresses_is_no_failure(self, shop: Shop) -> None:
        found = await shop.findings(url=await shop.kefu(WECOM_CALLBACK_ALLOWED_IPS="203.0.113.0/24"))
        assert found["wecom callback url"].status == "off"
        assert "lets only WECOM_CALLBACK_ALLOWED_IPS in" in found["wecom callback url"].detail

    async def test_nobody_there_is_told_with_the_host(self, shop: Shop) -> None:
        failed = await shop.failed(url=f"http://127.0.0.1:{shop.free_port()}")
        assert "127.0.0.1 does not answer (ConnectError)" in failed["wecom callback url"].detail
        assert "firewall" in failed["wecom callback url"].mend

    @pytest.mark.parametrize(
        ("answer", "cause", "mend"),
        [
            (PlainTextResponse("no", 404), "there is no /wecom/callback at this address (404)", "proxy"),
            (PlainTextResponse("no", 405), "there is no /wecom/callback at this address (405)", "proxy"),
            (PlainTextResponse("no", 403), "something in front of the service refuses (403)", "without a login"),
            (PlainTextResponse("bad gateway", 502), "the server or its proxy fails (502)", "kefu serve"),
            (PlainTextResponse("<html>hello"), "the answer is not the echo", "proxy"),
            (RedirectResponse("https://elsewhere/"), "redirects", "final https URL"),
            (PlainTextResponse("WeCom callback: query parameter echostr is missing", 400), "not arrive whole", "query"),
        ],
        ids=["404", "405", "403", "502", "200", "307", "400"],
    )
    async def test_what_stands_in_front_is_told(self, shop: Shop, answer: Response, cause: str, mend: str) -> None:
        async def serve(_: Request) -> Response:
            return answer

        failed = await shop.failed(url=await shop.serve(Starlette(routes=[Route("/{path:path}", serve)])))
        assert list(failed) == ["wecom callback url"]
        assert cause in failed["wecom callback url"].detail
        assert mend in failed["wecom callback url"].mend

    async def test_the_path_may_be_given_too(self, shop: Shop, command: Command) -> None:
        result = await command("--url", f"{await shop.kefu()}/wecom/callback/")
        assert result.exit_code == 0, result.output


async def test_what_is_not_configured_is_off_and_no_failure(
    database_uri: str, monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    monkeypatch.setenv("KB_DB_URL", database_uri)
    settings, wrong = read_settings()
    found = {finding.check: finding for finding in await diagnose(settings, database_uri, wrong=wrong)}
    off = {name for name, finding in found.items() if finding.status == "off"}
    wecom = {"wecom token", "wecom accounts", "wecom servicers", "wecom callback keys", "wecom callback url", "clock"}
    models = {"chat model", "vision model", "speech server", "reranking model"}
    assert off == {*wecom, *models, "telegram", "telegram updates", "redis"}
    assert [name for name, finding in found.items() if finding.status == "failed"] == ["knowledge base"]


class TestRunning:
    async def test_what_nobody_foresaw_is_a_finding_without_its_text(self) -> None:
        async def fail() -> str:
            raise LookupError("a s3cr3t")

        (found,) = await run_checks([Check(name="x", run=fail, hint="look")])
        assert found == Finding(check="x", status="failed", detail="failed with LookupError", mend="look")

    async def test_checks_run_side_by_side_and_keep_their_order(self) -> None:
        opened = asyncio.Event()

        async def waits() -> str:
            await opened.wait()
            return "first"

        async def opens() -> str:
            opened.set()
            return "second"

        checks = [Check(name="a", run=waits, hint=""), Check(name="b", run=opens, hint="")]
        assert [found.detail for found in await run_checks(checks)] == ["first", "second"]

    @pytest.mark.parametrize(
        ("text", "parts"),
        [("a — b; c", ("a", "b; c")), ("a; b; c", ("a; b", "c")), ("a", ("a", ""))],
    )
    def test_a_line_is_parted_into_cause_and_mend(self, text: str, parts: tuple[str, str]) -> None:
        assert split_mend(text) == parts
