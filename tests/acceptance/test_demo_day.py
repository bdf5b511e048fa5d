"""`kefu demo --day`, on a smaller day: what it promises holds, and it says so in numbers."""

from __future__ import annotations

import re

from api.demo.day import play_day


async def test_a_small_day_keeps_its_promises(capsys):
    await play_day(customers=8, seed=1)
    shown = capsys.readouterr().out
    rows = {
        cells[0]: cells[1:]
        for line in shown.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert [rows["客户"][place] for place in (0, 2, 3)] == ["7", "1", "8"]
    tickets, answered = int(rows["转人工"][3]), int(rows["机器人答完"][3].split()[0])
    assert tickets + answered == 8
    assert rows["学会的条目"][3] == "1"
    assert rows["问过的问题又没答上"][0] == "1 / 1"
    assert rows["问过的问题又没答上"][2] == "0 / 1"
    assert rows["丢失 / 重复的消息"][3] == "0 / 0"
    assert re.search(r"一天压缩在 \d+ 秒里", shown)
