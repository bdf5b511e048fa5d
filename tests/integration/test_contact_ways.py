"""Ways to become a friend: made once, found again when the answer got lost, changed, listed and deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from tenacity import wait_none
from typer.testing import CliRunner

from api.cli import app
from api.contact_ways import ContactWayError, ContactWays, make_link, save_picture, state_for
from api.database import Pool
from tools.errors import BadRequestError, ChannelSetupError
from tools.simulators.wecom import WecomSimulator
from tools.wecom.client import WecomClient
from tools.wecom.contacts import WecomContacts

ADD = "externalcontact/add_contact_way"


@pytest.fixture
async def sim() -> AsyncIterator[WecomSimulator]:
    options = {"corp_id": "ww1", "secret": "kf", "token": "t", "encoding_aes_key": "k" * 43}
    async with WecomSimulator(**options, contact_secret="contacts") as running:
        yield running


@pytest.fixture
async def ways(pool: Pool, sim: WecomSimulator) -> AsyncIterator[ContactWays]:
    options = {"api_base": sim.api_base, "corp_id": "ww1", "timeout": httpx.Timeout(1), "wait": wait_none()}
    async with WecomContacts(**options, secret=SecretStr("contacts")) as contacts:
        yield ContactWays(pool=pool, contacts=contacts)


async def rows(pool: Pool, statement: str) -> list[dict[str, Any]]:
    async with pool.connection() as conn:
        return await (await conn.execute(statement.encode())).fetchall()


async def test_a_way_is_made_with_a_key_of_its_own_and_stored(
    ways: ContactWays, sim: WecomSimulator, pool: Pool
) -> None:
    one = await ways.create(staff_ids=["zhangsan"], source="官网 首页", tags=["大客户", "大客户"])
    many = await ways.create(staff_ids=["zhangsan", "lisi"], source="官网 首页")
    assert one.config_id is not None
    assert many.config_id is not None
    assert one.state != many.state
    assert one.state.startswith("官网_首页_")
    assert len(one.state) <= 30
    made = sim.contacts.ways.ways[one.config_id].settings
    assert made == {
        "type": 1,
        "scene": 2,
        "skip_verify": True,
        "state": one.state,
        "remark": "官网 首页",
        "user": ["zhangsan"],
    }
    assert sim.contacts.ways.ways[many.config_id].settings["type"] == 2
    assert await rows(
        pool, "select config_id, source, tags from contact_ways where deleted_at is null order by id"
    ) == [
        {"config_id": one.config_id, "source": "官网 首页", "tags": ["大客户"]},
        {"config_id": many.config_id, "source": "官网 首页", "tags": []},
    ]
    assert [row["subject"] for row in await rows(pool, "select subject from audit_log order by id")] == [
        one.config_id,
        many.config_id,
    ]


async def test_a_way_whose_answer_got_lost_is_found_again_by_its_state(
    ways: ContactWays, sim: WecomSimulator, pool: Pool
) -> None:
    sim.reset_after_effect(ADD)
    with pytest.raises(ContactWayError, match="kefu contact-way list"):
        await ways.create(staff_ids=["zhangsan"], source="官网")
    assert await rows(pool, "select config_id from contact_ways") == [{"config_id": None}]
    assert sim.calls[ADD] == 1
    (found,) = await ways.list_all()
    assert found.config_id in sim.contacts.ways.ways
    assert (found.source, found.is_stored, found.is_at_wecom) == ("官网", True, True)
    assert found.qr_code.startswith("http")


async def test_a_refused_way_leaves_nothing(ways: ContactWays, sim: WecomSimulator, pool: Pool) -> None:
    sim.contacts.ways.unknown_users.add("nobody")
    with pytest.raises(ChannelSetupError, match="there is no such member"):
        await ways.create(staff_ids=["nobody"], source="官网")
    assert await rows(pool, "select 1 from contact_ways") == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"staff_ids": [" "], "source": "官网"}, "--user is empty"),
        ({"staff_ids": [f"u{n}" for n in range(101)], "source": "官网"}, "101 users are too many"),
        ({"staff_ids": ["a"], "source": " "}, "--source is empty"),
        ({"staff_ids": ["a"], "source": "官网", "tags": ["长" * 31]}, "longer than 30 characters"),
    ],
)
async def test_what_cannot_be_used_is_told_before_wecom_is_asked(
    ways: ContactWays, sim: WecomSimulator, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ContactWayError, match=problem):
        await ways.create(**given)
    assert sim.calls[ADD] == 0


async def test_ways_made_elsewhere_and_ways_that_are_gone_are_told(ways: ContactWays, sim: WecomSimulator) -> None:
    ours = await ways.create(staff_ids=["zhangsan"], source="官网")
    elsewhere = await ways.contacts.add_way(staff_ids=["lisi"], state="old", remark="门店")
    assert ours.config_id is not None
    del sim.contacts.ways.ways[ours.config_id]
    assert [(way.config_id, way.is_stored, way.is_at_wecom, way.staff_ids) for way in await ways.list_all()] == [
        (ours.config_id, True, False, ("zhangsan",)),
        (elsewhere.config_id, False, True, ("lisi",)),
    ]


async def test_every_page_of_the_list_is_read(ways: ContactWays) -> None:
    for number in range(101):
        await ways.contacts.add_way(staff_ids=["lisi"], state=f"s{number}", remark="")
    assert len(await ways.contacts.way_ids()) == 101


async def test_a_changed_way_keeps_its_state(ways: ContactWays, sim: WecomSimulator) -> None:
    way = await ways.create(staff_ids=["zhangsan"], source="官网", tags=["a"])
    assert way.config_id is not None
    changed = await ways.update(way.config_id, staff_ids=["lisi"], source="新官网", tags=[])
    assert (changed.staff_ids, changed.source, changed.tags, changed.state) == (("lisi",), "新官网", (), way.state)
    there = sim.contacts.ways.ways[way.config_id].settings
    assert (there["user"], there["remark"], there["state"]) == (["lisi"], "新官网", way.state)
    await ways.update(way.config_id, tags=["b"])
    assert sim.calls["externalcontact/update_contact_way"] == 1


async def test_a_deleted_way_is_gone_and_an_unknown_one_is_told(ways: ContactWays, sim: WecomSimulator) -> None:
    way = await ways.create(staff_ids=["zhangsan"], source="官网")
    assert way.config_id is not None
    await ways.delete(way.config_id)
    assert sim.contacts.ways.ways == {}
    assert await ways.list_all() == []
    with pytest.raises(ContactWayError, match="kefu contact-way list"):
        await ways.delete(way.config_id)


def test_states_are_short_and_never_empty() -> None:
    assert len(state_for("很" * 60)) == 30
    assert state_for("!!!").startswith("way_")


async def test_the_picture_is_saved(ways: ContactWays, tmp_path: Path) -> None:
    way = await ways.create(staff_ids=["zhangsan"], source="官网")
    await save_picture(way.qr_code, tmp_path / "qr.png")
    assert (tmp_path / "qr.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ContactWayError, match="HTTP 404"):
        await save_picture(way.qr_code.replace("way", "gone"), tmp_path / "no.png")
    with pytest.raises(ContactWayError, match="no PNG"):
        await save_picture(f"{ways.contacts._http.base_url}gettoken", tmp_path / "no.png")
    with pytest.raises(ContactWayError, match="cannot be written"):
        await save_picture(way.qr_code, tmp_path / "none" / "qr.png")
    with pytest.raises(ContactWayError, match="no address"):
        await save_picture("", tmp_path / "no.png")
    with pytest.raises(ContactWayError, match="cannot be fetched"):
        await save_picture("http://127.0.0.1:1/qr.png", tmp_path / "no.png")


@pytest.mark.parametrize(
    ("scene", "param", "url"),
    [
        ("website", "", "https://work.weixin.qq.com/kf/wk1?enc_scene=ENCwebsite"),
        ("site_a-1", "a b&c=首页", "?enc_scene=ENCsite_a-1&scene_param=a%20b%26c%3D%E9%A6%96%E9%A1%B5"),
        ("官网", "", None),
        ("", "", None),
        ("x" * 33, "", None),
        ("ok", "长" * 43, None),
    ],
)
async def test_links_follow_wecom_s_rules(sim: WecomSimulator, scene: str, param: str, url: str | None) -> None:
    sim.add_account("wk1")
    async with WecomClient(api_base=sim.api_base, corp_id="ww1", secret=SecretStr("kf")) as client:
        if url is None:
            with pytest.raises(ContactWayError, match=r"--scene|--param"):
                await make_link(client, account="wk1", scene=scene, param=param)
            return
        assert (await make_link(client, account="wk1", scene=scene, param=param)).endswith(url)
        with pytest.raises(BadRequestError, match="95000"):
            await make_link(client, account="wkNone", scene=scene)


@pytest.fixture
def configured(
    clean_environment: Path, monkeypatch: pytest.MonkeyPatch, database_uri: str, sim: WecomSimulator
) -> WecomSimulator:
    """The commands see this database and this simulator."""
    for name, value in {
        "KB_DB_URL": database_uri,
        "WECOM_CORP_ID": "ww1",
        "WECOM_AGENT_SECRET": "contacts",
        "WECOM_KF_SECRET": "kf",
        "WECOM_TOKEN": "t",
        "WECOM_ENCODING_AES_KEY": "k" * 43,
        "WECOM_API_BASE": sim.api_base,
    }.items():
        monkeypatch.setenv(name, value)
    return sim


async def call(*arguments: str) -> Any:
    """Run a command beside the simulator's loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_the_commands_make_show_change_and_delete(configured: WecomSimulator, tmp_path: Path) -> None:
    arguments = ("contact-way", "create", "--user", "zhangsan", "--source", "官网", "--tag", "大客户")
    made = await call(*arguments, "--out", str(tmp_path / "qr.png"), "--json")
    assert made.exit_code == 0, made.output
    way = json.loads(made.stdout)
    assert (tmp_path / "qr.png").exists()
    listed = await call("contact-way", "list")
    assert way["config_id"] in listed.stdout
    assert "官网" in listed.stdout
    changed = await call("contact-way", "update", way["config_id"], "--no-tags", "--json")
    assert json.loads(changed.stdout)["tags"] == []
    assert (await call("contact-way", "update", way["config_id"])).exit_code == 2
    assert (await call("contact-way", "delete", way["config_id"])).exit_code == 0
    assert (await call("contact-way", "list")).stdout == ""


async def test_a_picture_that_cannot_be_saved_does_not_lose_the_way(configured: WecomSimulator, tmp_path: Path) -> None:
    arguments = ("contact-way", "create", "--user", "zhangsan", "--source", "官网")
    failed = await call(*arguments, "--out", str(tmp_path / "none" / "qr.png"))
    assert isinstance(failed.exception, ContactWayError)
    assert "the way itself is there" in str(failed.exception)
    assert len(json.loads((await call("contact-way", "list", "--json")).stdout)["config_id"]) > 5


async def test_the_command_makes_a_link(configured: WecomSimulator) -> None:
    configured.add_account("wk1")
    made = await call("kf-link", "create", "--account", "wk1", "--scene", "website", "--param", "首页")
    assert made.stdout.startswith("https://work.weixin.qq.com/kf/wk1?enc_scene=ENCwebsite&scene_param=%E9")


async def test_without_wecom_the_commands_say_what_to_set(clean_environment: Path) -> None:
    for arguments in (
        ("contact-way", "list"),
        ("kf-link", "create", "--account", "wk1", "--scene", "a"),
    ):
        failed = await call(*arguments)
        assert "WECOM_CORP_ID" in str(failed.exception)
