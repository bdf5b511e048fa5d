"""What every customer and every agent of a run will say, decided by the seed before anything starts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from kb.readers import read_articles

HOLD = "⏳ 已为您转接人工客服"
HANDED_BACK = "人工客服已为您处理完毕"

SMALL_TALK = {
    "谢谢": "不客气，能帮到您就好",
    "好的": "好的，有需要随时告诉我",
    "你真棒": "谢谢您的夸奖",
    "你是谁": "我是智能客服，可以解答",
    "在吗": "在的，我是智能客服",
}
"""What needs no knowledge, and a part of its reply."""

QUESTIONS = (
    "退款申请被驳回了怎么办?",
    "买完就降价了能退差价吗?",
    "支持七天无理由退货吗?",
    "收到商品有破损怎么办?",
    "没有原包装还能退货吗?",
    "赠品需要一起退回吗?",
    "寄回后多久处理完?",
    "下单后几天能收到?",
    "物流一直不更新怎么办?",
    "大件商品送货上楼吗?",
    "预售商品什么时候发?",
    "垫付的运费怎么报销?",
    "分开下单能合并运费吗?",
    "发票抬头填错了怎么办?",
    "多久以前的订单还能开发票?",
    "会员等级会降级吗?",
    "优惠券可以叠加使用吗?",
    "秒杀活动有什么规则?",
    "支持哪些支付方式?",
    "未付款的订单会保留多久?",
    "缺货的商品什么时候补货?",
    "一个订单为什么分成几个包裹?",
    "维修需要多长时间?",
    "换新后保修期怎么算?",
    "电饭煲煮饭溢出怎么办?",
    "空气炸锅冒烟正常吗?",
    "电热水壶有水垢怎么清理?",
    "吸尘器吸力变小怎么办?",
    "破壁机不启动怎么办?",
    "玻璃保鲜盒能放微波炉吗?",
    "怎么更换绑定的手机号?",
    "怎么防止被冒充客服诈骗?",
)
"""Questions of `kb/documents/sample.md` that stand alone, so that the one before never changes their answer."""

OPEN_QUESTIONS = (
    "你们能在杯子上刻第{code}号图案吗?",
    "我想给{code}号楼的邻居借一把梯子可以吗?",
    "你们老板养的那只{code}号鹦鹉叫什么名字?",
    "第{code}期的门店团建活动在哪座山上办?",
)
"""Questions nobody wrote an answer to; the code makes each one recognisable at the desk."""

BURST_SIZES, BURST_WEIGHTS = (1, 2, 3), (75, 17, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message of a customer."""

    text: str
    marker: str
    """The part by which its reply is recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """Messages written in one breath; the customer waits for all their answers."""

    lines: tuple[Line, ...]

    @property
    def size(self) -> int:
        """How many messages the customer writes."""
        return len(self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """An open question, what both sides say until it is handed back, and an afterthought of the agent."""

    question: str
    added: tuple[str, ...]
    """What the customer writes while a person has the conversation."""
    replies: tuple[str, ...]
    """The agent's, in order."""
    is_in_one_go: bool
    """Whether the agent writes everything at once instead of waiting until each reply has arrived."""
    afterthought: str

    @property
    def size(self) -> int:
        """How many messages the customer writes."""
        return 1 + len(self.added)


Step = Burst | Handover


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One customer's part."""

    customer: str
    nickname: str
    steps: tuple[Step, ...]
    starts: tuple[float, ...]
    """When each step begins at the earliest, in seconds from the start of the traffic."""


def answer_markers() -> dict[str, str]:
    """Find, for each question, the sentence of its answer that no other answer has.

    Raises:
        LookupError: the sample no longer has one of the questions.
    """
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        answers = {chunk.question: chunk.answer for chunk in read_articles([sample]).chunks}
    everything = "\n".join(dict.fromkeys(answers.values()))
    markers = {}
    for question in QUESTIONS:
        sentences = re.split(r"(?<=[。！？；])|\n", answers.get(question, ""))
        alone = [sentence.strip() for sentence in sentences if sentence.strip() and everything.count(sentence) == 1]
        if not alone:
            raise LookupError(f"kb/documents/sample.md has no answer of its own to {question!r}; mend QUESTIONS")
        markers[question] = max(alone, key=len)
    return markers


def make_scripts(*, seed: int, messages: int, customers: int, seconds: float) -> list[Script]:
    """Share the messages among the customers; the same arguments give the same scripts."""
    chance = random.Random(seed)
    markers = answer_markers()
    scripts = []
    for number in range(customers):
        share = messages // customers + (number < messages % customers)
        steps = _steps(chance, number, share, markers)
        starts = tuple(sorted(chance.uniform(0, seconds) for _ in steps))
        scripts.append(
            Script(customer=f"wmChaos{number:04d}", nickname=f"客户{number:04d}", steps=steps, starts=starts)
        )
    return scripts


def _steps(chance: random.Random, number: int, share: int, markers: dict[str, str]) -> tuple[Step, ...]:
    questions = chance.sample(sorted(markers.items()), len(markers))
    talk = chance.sample(sorted(SMALL_TALK.items()), len(SMALL_TALK))
    steps: list[Step] = []
    left = share
    for count in range(min(1 + (chance.random() < 0.1), share // 4)):
        handover = _handover(chance, number * 10 + count)
        steps.append(handover)
        left -= handover.size
    while left:
        size = min(left, chance.choices(BURST_SIZES, BURST_WEIGHTS)[0])
        is_talk = size == 1 and talk and (not questions or chance.random() < 0.2)
        source = talk if is_talk else questions
        if not is_talk and len(questions) < size:
            raise ValueError(f"{share} messages a customer are more than there are questions; take more customers")
        steps.append(Burst(lines=tuple(Line(text=text, marker=part) for text, part in source[:size])))
        del source[:size]
        left -= size
    chance.shuffle(steps)
    return tuple(steps)


def _handover(chance: random.Random, code: int) -> Handover:
    return Handover(
        question=chance.choice(OPEN_QUESTIONS).format(code=f"{code:05d}"),
        added=(f"补充一下,我的单号是 B{code:05d}",) if chance.random() < 0.5 else (),
        replies=tuple(f"人工答复 {code:05d}-{part}:已为您登记。" for part in range(chance.choice((1, 2)))),
        is_in_one_go=chance.random() < 0.5,
        afterthought=f"人工补充 {code:05d}:祝您生活愉快。" if chance.random() < 0.2 else "",
    )


def customer_messages(scripts: Sequence[Script]) -> int:
    """Count what the customers will write."""
    return sum(step.size for script in scripts for step in script.steps)
