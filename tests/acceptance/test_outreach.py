"""A campaign over the wire: approved at the command line, sent by the worker, confirmed by staff, refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from api.settings import variable_names
from prompts.loader import load

STAFF = "zhangsan"
ADD = "externalcontact/add_msg_template"
TEXT = "新品到店，欢迎来看看。"


def far_from_now() -> str:
    """A quiet minute that is not this one, wherever the test runs."""
    hour = (datetime.now(ZoneInfo("Asia/Shanghai")).hour + 12) % 24
    return f"{hour:02}:00-{hour:02}:01"


async def kefu(service, *arguments):
    """Run a command beside the service; return exit code and what it said."""
    inherited = {name: value for name, value in os.environ.items() if name not in set(variable_names())}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "api.cli",
        *arguments,
        cwd=service.folder,
        env={**inherited, **service.environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return process.returncode, said.decode() + complained.decode()


async def settled(service, statement, expected):
    """Wait until a query says what it should."""
    async with asyncio.timeout(20):
        while (rows := service.rows(statement)) != expected:
            # The row is the event, and nothing announces it.
            await asyncio.sleep(0.05)
            assert rows is not None


async def launched(make_service):
    """A service with one customer who wrote, and two friends of the staff, one of them that customer."""
    service = await make_service(KEFU_OUTREACH_QUIET=far_from_now(), KEFU_FRIEND_TAGS="老客户")
    await service.serve()
    await service.wecom.customer_says("wmWrites", "你好")
    await service.wecom.wait_for_text("wmWrites", 1)
    for customer in ("wmWrites", "wmFriend"):
        await service.wecom.befriends(customer, STAFF)
    await settled(service, "select count(*) from friends where '老客户' = any(tags)", [(2,)])
    return service


async def approved(service, name):
    """Make and approve a campaign for the friends."""
    code, said = await kefu(service, "outreach", "create", name, "--text", TEXT, "--tag", "老客户", "--holdout", "0")
    assert code == 0, said
    code, said = await kefu(service, "outreach", "approve", name, "--by", "王芳")
    assert code == 0, said


async def test_a_campaign_goes_each_its_way_once_and_whoever_refuses_gets_no_other(make_service):
    service = await launched(make_service)
    wecom = service.wecom
    await approved(service, "spring")
    code, said = await kefu(service, "outreach", "preview", "spring", "--json")
    assert (code, json.loads(said)["counts"]) == (0, {"kf": 1, "staff": 1})
    for _ in range(2):
        code, said = await kefu(service, "outreach", "run")
        assert code == 0, said
    assert "退订" in await wecom.wait_for_text("wmWrites", lambda text: TEXT in text)
    (task,) = wecom.contacts.messages.tasks.values()
    assert (task.user, list(task.customers), task.text) == (STAFF, ["wmFriend"], TEXT)
    assert wecom.contacts.messages.texts_to("wmFriend") == []

    wecom.contacts.messages.confirm(STAFF)
    service.rows("update outreach_tasks set look_at = now() returning id")
    await kefu(service, "outreach", "run")
    await settled(
        service,
        "select customer_id, state from outreach_targets order by 1",
        [("wmFriend", "staff_sent"), ("wmWrites", "sent")],
    )
    assert wecom.contacts.messages.texts_to("wmFriend") == [TEXT]

    await wecom.customer_says("wmWrites", "退订")
    await wecom.wait_for_text("wmWrites", load("opted_out").text)
    await approved(service, "summer")
    await kefu(service, "outreach", "run")
    code, said = await kefu(service, "outreach", "report", "summer", "--json")
    # The other one got a message today.
    assert (code, json.loads(said)["counts"]) == (0, {"planned": 1, "skipped:opted_out": 1})
    code, said = await kefu(service, "outreach", "report", "spring")
    assert code == 0
    assert "1  opted out within 7 days" in said
    assert sum(TEXT in text for text in wecom.texts_to("wmWrites")) == 1
    assert wecom.calls[ADD] == 1


async def test_a_call_to_staff_whose_answer_is_lost_is_found_and_not_made_again(make_service):
    service = await launched(make_service)
    service.wecom.reset_after_effect(ADD)
    await approved(service, "spring")
    code, said = await kefu(service, "outreach", "run")
    assert code == 0, said
    assert service.rows("select state from outreach_tasks") == [("unknown",)]
    code, said = await kefu(service, "outreach", "report", "spring")
    assert "kefu outreach resolve 1 --not-created --by NAME" in said
    service.rows("update outreach_tasks set look_at = now() returning id")
    await kefu(service, "outreach", "run")
    await settled(service, "select state from outreach_tasks", [("created",)])
    assert service.wecom.calls[ADD] == 1
    assert len(service.wecom.contacts.messages.tasks) == 1
