"""What WeCom's own robot was taught is taken over by the command, and a customer is answered from it."""

from __future__ import annotations

RULES = {"msgtype": "link", "link": {"title": "安装说明", "url": "https://shop.example.com/install"}}


async def test_what_the_robot_knew_is_answered_by_the_service(make_service):
    service = await make_service()
    group = service.wecom.native.add_group("安装")
    service.wecom.native.teach(
        "儿童自行车的辅助轮怎么拆?",
        "用扳手逆时针拧下螺母。",
        group_id=group,
        similar=["侧轮如何取下来"],
        attachments=[RULES],
    )
    imported = await service.start("native", "import")
    assert await imported.wait() == 0, service.log.read_text()
    assert "groups 2, questions 1, ways to ask 2" in service.log.read_text()
    rows = (
        "select metadata ->> 'category', metadata ->> 'source' from knowledge_chunks where content like '儿童自行车%'"
    )
    assert service.rows(rows) == [("安装", "微信客服机器人")]
    await service.serve()
    await service.wecom.customer_says("wmNative", "儿童自行车的辅助轮怎么拆?")
    answer = await service.wecom.wait_for_text("wmNative", "逆时针", timeout=30)
    assert "[链接] 安装说明 https://shop.example.com/install" in answer
    again = await service.start("native", "import", "--dry-run")
    assert await again.wait() == 0
    assert "would change: added 0, unchanged 2" in service.log.read_text()
    assert (await (await service.start("native", "stats", "--days", "90")).wait()) == 0
    assert service.wecom.calls["kf/get_corp_statistic"] == 3


async def test_a_robot_that_cannot_be_read_is_one_line(make_service):
    service = await make_service()
    service.wecom.fail_next("kf/knowledge/list_group", 48002)
    process = await service.start("native", "import")
    assert await process.wait() == 1
    [line] = [line for line in service.log.read_text().splitlines() if line.startswith("kefu: ")]
    assert "48002" in line
    assert "可调用接口的应用" in line
