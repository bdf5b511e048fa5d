"""The demonstration's day as a table: every number was counted while it was played."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from api.demo.day_ledger import Ledger, Records, Story, median_wait, repeat_misses
from api.demo.day_script import Script
from tools.simulators.wecom import WecomSimulator

ACTIONS = {
    "desk.take": "接手",
    "desk.text": "回复",
    "desk.draft": "发送草稿",
    "desk.give": "转给同事",
    "desk.snooze": "稍后",
    "desk.done": "交还机器人",
    "desk.entry": "加入知识库",
    "desk.approve": "批准上线",
}


def show_day(
    console: Console, script: Script, ledger: Ledger, records: Records, *, wecom: WecomSimulator, seconds: float
) -> None:
    """Print the day."""
    morning, afternoon = ledger.of("known", "new", "person"), ledger.of("again")
    table = Table(title="客服的一天", title_justify="left")
    for name in ("", "上午 9–12 点", "中午 审核", "下午 13–18 点", "全天"):
        table.add_column(name, justify="left" if not name else "right")
    for label, count in (
        ("客户", _customers),
        ("机器人答完", _answered),
        ("其中先请客户选", _clarified),
        ("转人工", _tickets),
        ("机器人答错", _wrong),
    ):
        table.add_row(label, count(morning), "", count(afternoon), count(ledger.stories))
    table.add_row("首次人工回复(中位数)", _wait(morning), "", _wait(afternoon), _wait(ledger.stories))
    learned = str(records.approved)
    table.add_row("学会的条目", "", learned, "", learned)
    table.add_row("问过的问题又没答上", _repeats(morning), "", _repeats(afternoon), _repeats(ledger.stories))
    lost, doubled = len(ledger.lost(wecom)), len(ledger.doubled(wecom))
    table.add_row("丢失 / 重复的消息", "", "", "", f"{lost} / {doubled}")
    console.print(table)
    done = "，".join(f"{label} {records.actions[action]}" for action, label in ACTIONS.items())
    console.print(f"工位:{'、'.join(script.agents)};{done}。", markup=False)
    for proof in ledger.proofs:
        console.print(f"· {' '.join(proof.split())}", markup=False, style="dim")
    console.print(
        f"一天压缩在 {seconds:.0f} 秒里:人工的快慢是剧本定的(每步想 0.2–0.8 秒),机器人的是真实的。"
        f"丢失和重复按企业微信模拟器的收件记录逐条核对。随机种子 {script.seed}。",
        style="dim",
    )


def _customers(stories: Sequence[Story]) -> str:
    return str(len(stories))


def _answered(stories: Sequence[Story]) -> str:
    count = sum(story.answer is not None for story in stories)
    return f"{count} ({count / len(stories):.0%})" if stories else "0"


def _clarified(stories: Sequence[Story]) -> str:
    return str(sum(story.was_asked_back and story.answer is not None for story in stories))


def _tickets(stories: Sequence[Story]) -> str:
    return str(sum(story.is_ticket for story in stories))


def _wrong(stories: Sequence[Story]) -> str:
    return str(sum(story.answer is not None and not story.is_right for story in stories))


def _wait(stories: Sequence[Story]) -> str:
    median = median_wait(stories)
    return "" if median is None else f"{median:.1f} 秒"


def _repeats(stories: Sequence[Story]) -> str:
    missed, count = repeat_misses(stories)
    return f"{missed} / {count}"
