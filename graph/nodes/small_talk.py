"""Answer what needs no knowledge: greetings, thanks, pictures nobody can read yet."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from graph.context import Context, Texts
from graph.state import State
from tools.ports import Outbox

KIND_WORDS = {
    "image": "图片",
    "voice": "语音",
    "video": "视频",
    "file": "文件",
    "location": "位置",
    "link": "链接",
    "business_card": "名片",
    "miniprogram": "小程序",
    "merged_msg": "聊天记录",
    "channels_shop_product": "商品卡片",
    "channels_shop_order": "订单卡片",
}


async def small_talk(state: State, runtime: Runtime[Context], *, outbox: Outbox, texts: Texts) -> State:
    """Send the fixed reply."""
    del runtime
    turn = state["turn"]
    if turn["intent"] == "unsupported":
        kinds = [KIND_WORDS[line["kind"]] for line in turn["lines"] if line["kind"] in KIND_WORDS]
        reply = texts.render("unsupported", kind=kinds[-1] if kinds else "这类")
    else:
        reply = turn["reply"]
    await outbox.say(turn["thread_id"], turn["id"], "small_talk", reply)
    return {"messages": [AIMessage(id=f"{turn['id']}:small_talk", content=reply)]}
