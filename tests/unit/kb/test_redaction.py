"""Persons are taken out of texts; what is an answer stays."""

from __future__ import annotations

import time

import pytest

from kb.redaction import generalise, is_marked, redact


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("请加13800138000联系", "请加〔电话〕联系"),
        ("电话 138 0013 8000。", "电话 〔电话〕。"),
        ("138-0013-8000", "〔电话〕"),
        ("+86 13800138000", "〔电话〕"),
        ("１３８００１３８０００", "〔电话〕"),
        ("一三八零零一三八零零零", "〔号码〕"),
        ("幺三八零零幺三八零零零", "〔号码〕"),
        ("138****8000 收", "〔电话〕 收"),
        ("座机021-62345678", "座机〔电话〕"),
        ("call +1 415 555 2671", "call 〔电话〕"),
        ("(415) 555-2671", "〔电话〕"),
        ("a.b+c@mail.example.com 收到", "〔邮箱〕 收到"),
    ],
)
def test_ways_to_reach_somebody_go(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("身份证110101199003074578", "身份证〔证件号〕"),
        ("11010119900307457X", "〔证件号〕"),
        ("110101 19900307 457x", "〔证件号〕"),
        ("130503670401001", "〔证件号〕"),
        ("卡号6222 0212 3456 7890 123", "卡号〔银行卡号〕"),
        ("6222021234567890123", "〔银行卡号〕"),
        ("尾号8888的卡", "尾号〔订单号〕的卡"),
        ("订单号：E20261122-001到哪了", "订单号：〔订单号〕到哪了"),
        ("顺丰单号SF1234567890123", "顺丰单号〔订单号〕"),
        ("YT8812345678901 已签收", "〔订单号〕 已签收"),
        ("取件码 8-2-1234", "取件码 〔订单号〕"),
        ("order no. A1B2C3D4", "order no. 〔订单号〕"),
        ("我的订单 839274837261 呢", "我的订单 〔号码〕 呢"),
        ("微信号：kefu_abc123", "微信号：〔账号〕"),
        ("加qq 123456789", "加qq 〔账号〕"),
        ("车牌粤B12345", "车牌〔车牌号〕"),
    ],
)
def test_numbers_of_somebody_go(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("寄到北京市朝阳区建国路88号3栋2单元501室", "寄到〔地址〕"),
        ("地址：浙江省杭州市西湖区文三路 100 号", "地址：〔地址〕"),
        ("收货地址是幸福里小区门口，谢谢", "收货地址是〔地址〕，谢谢"),
        ("阳光花园3栋501", "〔地址〕"),
        ("我住12号楼3单元402室", "我住〔地址〕"),
        ("ship to 12 Baker Street, please", "ship to 〔地址〕, please"),
    ],
)
def test_addresses_go(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("我叫李四，", "我叫〔姓名〕，"),
        ("收件人：欧阳娜娜", "收件人：〔姓名〕"),
        ("王先生您好", "〔姓名〕先生您好"),
        ("李晓红女士的包裹", "〔姓名〕女士的包裹"),
        ("张师傅会上门", "〔姓名〕师傅会上门"),
        ("客服小李为您服务", "客服〔姓名〕为您服务"),
        ("王小明的订单", "〔姓名〕的订单"),
        ("My name is John Smith.", "My name is 〔姓名〕."),
        ("Dear Mr. Brown", "Dear Mr. 〔姓名〕"),
    ],
)
def test_names_go(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


def test_names_that_are_known_go_wherever_they_stand() -> None:
    found = redact("小鱼儿已经帮阿布查过了", known=("小鱼儿", "阿布", "", "布"))
    assert found.text == "〔姓名〕已经帮〔姓名〕查过了"
    assert found.kinds == ("name", "name")


@pytest.mark.parametrize(
    "text",
    [
        "满59元包邮，7天无理由退货",
        "2026-11-22 10:30 前下单，20261122 发货",
        "客服热线 400-820-8820，或拨 95588",
        "押金 10000000 元，价格是1234567元",
        "iPhone15ProMax256GB 和 XJ-2000A 都有货",
        "安装师傅会联系您，水管师傅不负责安装",
        "任何女士都可以，各位先生也行",
        "请联系方式留一下，我是程序员，我是成都人",
        "我在海淀区，江浙沪包邮，广东省内次日达",
        "南京东路步行街怎么去",
        "项目经理和产品经理都可以报名",
        "一二三四五，上山打老虎",
        "退款 3 到 5 个工作日到账，每天 9:00-18:00",
    ],
)
def test_what_tells_nothing_about_a_person_stays(text: str) -> None:
    found = redact(text)
    assert found.text == text
    assert found.kinds == ()
    assert not is_marked(text)


def test_a_redacted_text_stays_as_it_is() -> None:
    once = redact("王先生，订单号 E20261122001 已寄到人民路100号，电话13800138000")
    assert once.kinds == ("name", "order", "address", "phone")
    assert redact(once.text).text == once.text
    assert redact(once.text).kinds == ()
    assert is_marked(once.text)


@pytest.mark.parametrize(
    ("text", "general"),
    [
        ("订单号：E20261122-001到哪了", "订单号：到哪了"),
        ("我的订单 839274837261 怎么还没发货？", "我的订单 怎么还没发货？"),
        ("手机13800138000能登录吗", "手机能登录吗"),
        ("13800138000", ""),
        ("怎么退款，13800138000", "怎么退款"),
        ("订单号 E20261122001，可以刻字吗？", "可以刻字吗？"),
        ("怎么退款。我的手机号是13800138000。", "怎么退款。"),
        ("你好，订单号：E20261122001, 什么时候发货", "你好，什么时候发货"),
        ("电话多少，微信号多少", "电话多少，微信号多少"),
    ],
)
def test_a_question_is_found_by_what_it_asks_and_not_by_whose_it_was(text: str, general: str) -> None:
    assert generalise(text) == general


def test_a_name_in_a_question_leaves_its_mark() -> None:
    assert is_marked(generalise("王先生的包裹到了吗"))


@pytest.mark.parametrize(
    "text", ["路" * 3000, "1" * 5000, "北京市朝阳区" * 500, "a1" * 3000, "我叫" * 2000, "3栋2" * 1500]
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 3
