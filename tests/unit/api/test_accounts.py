"""What single accounts have of their own: read whole, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.accounts import Accounts, load_accounts
from api.settings import load_settings
from tools.errors import ConfigurationError

SHOP, STAFF, OTHER = "wecom:wkShop:wm1", "wecom-app:1000002:zhangsan", "wecom:wkOther:wm1"


def written(folder: Path, text: str) -> Path:
    file = folder / "accounts.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    (tmp_path / "texts" / "hr").mkdir(parents=True)
    (tmp_path / "texts" / "hr" / "hold.md").write_text("已转给人事同事。\n", encoding="utf-8")
    text = "wkShop: {categories: [售后, ' 退款 '], desk: telegram}\nwecom-app: {categories: [''], prompts: texts/hr}\n"
    return load_accounts(written(tmp_path, text))


def test_an_entry_holds_for_its_account_or_its_channel(accounts: Accounts) -> None:
    assert accounts.categories(SHOP) == {"售后", "退款"}
    assert accounts.desk(SHOP) == "telegram"
    staff = accounts.of(STAFF)
    assert staff is not None
    assert staff.categories == {""}
    assert staff.texts["hold"].render() == "已转给人事同事。"
    assert accounts.desk(STAFF) is None


def test_all_others_are_as_usual(accounts: Accounts) -> None:
    assert accounts.of(OTHER) is None
    assert accounts.categories(OTHER) is None
    assert accounts.of("kefu:news") is None
    assert load_accounts(None).of(SHOP) is None


def test_an_account_s_own_entry_counts_and_not_its_channel_s(tmp_path: Path) -> None:
    accounts = load_accounts(written(tmp_path, "wecom: {categories: [商品]}\nwkShop: {desk: wecom}\n"))
    assert accounts.categories(SHOP) is None
    assert accounts.categories(OTHER) == {"商品"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wkShop: [", "is not YAML in line"),
        ("- wkShop", "the file: Input should be a valid dictionary"),
        ("wkShop: {category: 售后}", "wkShop › category: Extra inputs"),
        ("wkShop: {categories: 售后}", "wkShop › categories: Input should be a valid list"),
        ("wkShop: {categories: []}", "wkShop › categories: List should have at least 1 item"),
        ("wkShop: {desk: mail}", "wkShop › desk: Input should be 'telegram' or 'wecom'"),
        ("wkShop: {prompts: nowhere}", "nowhere: there is no such folder"),
    ],
)
def test_a_slip_is_one_line_that_names_the_entry(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_accounts(written(tmp_path, text))
    assert str(refused.value).startswith("KEFU_ACCOUNTS_FILE: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_accounts(tmp_path / "accounts.yaml")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hold", "", "is empty"),
        ("hold", "{who} 会回答", "unknown placeholder who"),
        ("hold_closed", "下班了", "placeholder back is missing"),
        ("desk_taken", "{agent}", "is the same for every account"),
        ("greeting", "您好", "is the same for every account"),
        ("holds", "稍等", "no prompt has this name"),
    ],
)
def test_a_faulty_text_is_named_by_its_file(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / f"{name}.md").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_accounts(written(tmp_path, "wkShop: {prompts: texts}"))
    assert f"{name}.md" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.usefixtures("clean_environment")
def test_a_desk_that_is_not_configured_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEFU_ACCOUNTS_FILE", str(written(tmp_path, "wkShop: {desk: wecom}")))
    with pytest.raises(ConfigurationError, match="wkShop: desk wecom is not one of those in NOTIFICATION_CHANNEL"):
        load_settings()
