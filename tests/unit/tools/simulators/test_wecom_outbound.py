"""What the simulator takes as a message to a customer."""

from __future__ import annotations

from typing import Any

import pytest

from tools.simulators.wecom import WecomSimulator


def _menu(*items: dict[str, Any]) -> dict[str, Any]:
    return {"msgtype": "msgmenu", "msgmenu": {"head_content": "您是想问:", "list": list(items), "tail_content": "谢谢"}}


def _click(item_id: str, content: str) -> dict[str, Any]:
    return {"type": "click", "click": {"id": item_id, "content": content}}


async def test_a_menu_is_read_as_lines_and_a_click_comes_back_as_text(sim: WecomSimulator, caller: Any) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.say("wmAlice", **_menu(_click("q1", "怎么退款"), _click("q2", "怎么换货"))))["errcode"] == 0
    assert sim.texts_to("wmAlice") == ["您是想问:\n怎么退款\n怎么换货\n谢谢"]
    await sim.customer_clicks("wmAlice", "q2")
    clicked = (await caller.pull())["msg_list"][-1]
    assert clicked["text"] == {"content": "怎么换货", "menu_id": "q2"}
    with pytest.raises(LookupError, match="q9"):
        await sim.customer_clicks("wmAlice", "q9")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (_menu(*(_click("a", "b") for _ in range(11))), 95008),
        (_menu(*({"type": "text", "text": {"content": "b"}} for _ in range(51))), 95008),
        (_menu({"type": "button"}), 95009),
        (_menu(_click("not valid", "b")), 95009),
        (_menu(_click("a", "中" * 43)), 95009),
        ({"msgtype": "msgmenu", "msgmenu": {}}, 40058),
        ({"msgtype": "msgmenu", "msgmenu": {"head_content": "中" * 342}}, 40058),
        ({"msgtype": "link", "link": {"title": "t", "url": "https://e.cn"}}, 40058),
        ({"msgtype": "link", "link": {"title": "中" * 43, "url": "https://e.cn", "thumb_media_id": "m"}}, 40058),
        ({"msgtype": "link", "link": {"title": "t", "url": "https://e.cn", "thumb_media_id": "m"}}, 0),
        ({"msgtype": "image", "image": None}, 40058),
        (
            {
                "msgtype": "miniprogram",
                "miniprogram": {"appid": "a", "title": "t", "thumb_media_id": "m", "pagepath": "p"},
            },
            40058,
        ),
    ],
)
async def test_each_type_has_its_limits(sim: WecomSimulator, caller: Any, message: dict[str, Any], code: int) -> None:
    await sim.customer_says("wmAlice", "hi")
    assert (await caller.say("wmAlice", **message))["errcode"] == code
