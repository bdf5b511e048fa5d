"""Rules that call a person, over the wire; an edit counts without a restart, a broken one does not."""

from __future__ import annotations

import os

RULES = "rules: [{name: 退款, when: {keywords: [退款]}, then: {priority: high, words: hold_rule}}]"
CALM = "rules: [{name: 律师, when: {keywords: [律师]}, then: {}}]"


async def test_a_rule_calls_a_person_and_its_file_is_followed(make_service, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES, encoding="utf-8")
    service = await make_service(KEFU_RULES_FILE=str(path))
    await service.serve()
    wecom = service.wecom
    await wecom.customer_says("wmRule", "如何退款?")
    await wecom.wait_for_text("wmRule", "加急", timeout=30)
    card = await service.telegram.wait_for_message(lambda message: "如何退款" in message.text, timeout=30)
    assert "🔴 加急" in card.text
    assert "规则「退款」" in card.text
    assert service.rows("select priority, rule, reason from tickets") == [("high", "退款", "rule")]

    path.write_text("rules: [{name: 坏, when: {}, then: {}}]", encoding="utf-8")
    os.utime(path, ns=(1, 1))
    await wecom.customer_says("wmBroken", "如何退款?")
    await wecom.wait_for_text("wmBroken", "加急", timeout=30)
    path.write_text(CALM, encoding="utf-8")
    os.utime(path, ns=(2, 2))
    await wecom.customer_says("wmCalm", "如何退款?")
    await wecom.wait_for_text("wmCalm", "申请退款", timeout=30)
    assert "rules_broken" in service.log.read_text() or "Rules not changed" in service.log.read_text()


async def test_a_faulty_rules_file_stops_the_start_with_one_line(make_service, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{name: 坏, when: {mood: 生气}, then: {}}]", encoding="utf-8")
    service = await make_service(KEFU_RULES_FILE=str(path))
    process = await service.start("serve", "--port", "0")
    assert await process.wait() == 1
    assert "rules.yaml: rule '坏': when.mood: '生气' is no mood; use 负面, 中性, 正面" in service.log.read_text()
