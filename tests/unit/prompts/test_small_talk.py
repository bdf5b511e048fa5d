from __future__ import annotations

import time
from importlib.resources import files

import pytest
import yaml

from prompts.errors import PromptError
from prompts.small_talk import SmallTalk, check

KINDS = {
    "greeting": ["你好", "您好！", "hi", "Hello!", "ＨＥＬＬＯ", "嗨~", "早上好呀", "哈喽", "喂？", "亲", "你好呀😊"],
    "presence": ["在吗", "在么？", "有人吗", "你好，在吗？", "你好 在吗", "客服在吗", "客服", "请问", "请问在吗",
                 "你好，我想咨询一下", "Are you there?"],
    "thanks": ["谢谢", "谢谢啦！", "好的谢谢", "好的，谢谢", "多谢[抱拳]", "thanks!", "Thank you", "OK, thanks",
               "收到，谢谢"],
    "bye": ["再见", "拜拜~", "88", "谢谢，再见", "bye", "晚安"],
    "ack": ["好的", "嗯", "嗯嗯", "哦", "OK", "ok", "收到", "知道了", "明白了。", "好吧", "可以啊", "哈哈哈",
            "没有了", "👌", "😊😊", "❤️", "👍🏻", "[微笑]", "[强][强]", "好的[OK]"],
    "praise": ["真棒", "你真厉害！", "666", "服务真好👍", "nice"],
    "identity": ["你是谁", "你是机器人吗？", "你叫什么", "你好，你是谁", "你们是真人还是机器人", "你是不是机器人",
                 "你是人工智能吗", "who are you?", "what's your name?", "are you a bot"],
    "off_topic": ["今天天气怎么样？", "讲个笑话", "给我讲个笑话吧", "帮我写一首诗", "算命", "帮我算一卦",
                  "今天股票涨了吗", "什么股票好", "陪我聊天", "好无聊啊", "1+1=?", "现在几点了", "你好，讲个笑话",
                  "tell me a joke"],
}  # fmt: skip
QUESTIONS = [
    "你好,如何退款?", "谢谢,那运费呢", "好的,那怎么寄回", "人工客服几点下班", "你好像发错货了", "在哪里退款", "好用吗",
    "早上下单几天到", "好了？", "没有了？", "下雨天气能送货吗", "能用股票支付吗", "???", "。", "", "  ", "啊",
    "history", "[图片]", "[订单]", "在的话帮我查一下", "好的坏的都能退吗", "是你们发错了", "好贵", "不好用",
    "谢谢你们快点退款", "买大盘子", "在不在保修期",
]  # fmt: skip
REQUESTS = [
    "转人工", "转 人工", "人工", "人工客服", "我要人工", "我要人工客服！", "找真人", "接人工", "帮我转人工",
    "怎么转人工",
    "能不能转人工", "你好，转人工", "你好 转人工", "转人工客服谢谢", "人工啊", "有人工吗", "人工客服在吗",
    "叫你们经理来",
    "叫客服来", "找客服", "让你们老板联系我", "我要投诉", "投诉！", "投诉你们", "我要投诉快递", "我不想跟机器人说话",
    "Speak to a human", "I want to talk to a real person.", "I need a human", "human agent please", "agent",
    "人工客服几点上班？算了，转人工",
    "说了半天都不对，我昨天买的水壶今天就坏了你们也不管，已经问了好几遍还是没有人理我，现在立刻马上给我转人工！",
]  # fmt: skip
NOT_REQUESTS = [
    "人工客服几点上班?", "人工客服几点下班", "人工客服工作时间", "晚上有人工客服吗", "怎么联系人工客服?",
    "安装人工费多少",
    "要人工费吗", "需要人工安装吗", "你是人工智能吗", "你是人工吗", "不用转人工", "先不要转人工", "怎么投诉或提建议?",
    "投诉多久有回复", "扫地机器人工作时间", "我不想要这个机器人了，能退吗", "我想找人工作", "客服电话多少", "有人吗",
    "如何退款?", "", "are you a real person", "do I need a person to install it", "what time do human agents work",
]  # fmt: skip
STRIPPED = {
    "你好,请问如何退款?": "如何退款?",
    "你好请问如何退款": "如何退款",
    "您好！在吗？我想问一下运费谁承担，谢谢": "运费谁承担",
    "怎么退款？谢谢！": "怎么退款？",
    "怎么退款 谢谢": "怎么退款",
    "谢谢,那运费呢": "那运费呢",
    "好的,那怎么寄回": "那怎么寄回",
    "请问下单后多久发货": "下单后多久发货",
    "请问下发票怎么开": "发票怎么开",
    "[微笑]你好～发票怎么开": "发票怎么开",
    "你好，「净水器」怎么装？": "「净水器」怎么装？",
    "Hello, how do I get a refund?": "how do I get a refund?",
}
LEFT_ALONE = [
    "如何退款?", "那要多久?", "你好", "你好，谢谢！", "请问", "你好像发错货了", "麻烦你们查一下", "快递还没收到",
    "收到了，是坏的", "好 贵", "is it ok", "history of orders", "问题商品怎么退", "原价100，88", "",
]  # fmt: skip


@pytest.fixture(scope="module")
def replies() -> dict[str, str]:
    table = yaml.safe_load(files("prompts").joinpath("small_talk.yaml").read_text(encoding="utf-8"))
    return {name: kind["reply"].strip() for name, kind in table["kinds"].items()}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in KINDS.items() for text in texts])
def test_small_talk_gets_the_reply_of_its_kind(
    small_talk: SmallTalk, replies: dict[str, str], kind: str, text: str
) -> None:
    assert small_talk.reply_to(text) == replies[kind]
    assert not small_talk.wants_human(text)


def test_every_kind_has_examples_here_and_a_reply_of_its_own(replies: dict[str, str]) -> None:
    assert set(replies) == set(KINDS)
    assert len(set(replies.values())) == len(replies)


@pytest.mark.parametrize("text", QUESTIONS)
def test_anything_more_than_small_talk_is_left_to_the_knowledge_base(small_talk: SmallTalk, text: str) -> None:
    assert small_talk.reply_to(text) is None


@pytest.mark.parametrize("text", REQUESTS)
def test_a_call_for_a_person_is_heard(small_talk: SmallTalk, text: str) -> None:
    assert small_talk.wants_human(text)


@pytest.mark.parametrize("text", NOT_REQUESTS)
def test_a_question_about_people_is_no_call_for_one(small_talk: SmallTalk, text: str) -> None:
    assert not small_talk.wants_human(text)


@pytest.mark.parametrize(("text", "question"), STRIPPED.items())
def test_courtesies_around_a_question_are_taken_off(small_talk: SmallTalk, text: str, question: str) -> None:
    assert small_talk.strip_pleasantries(text) == question


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_a_message_without_courtesies_or_of_nothing_else_is_left_alone(small_talk: SmallTalk, text: str) -> None:
    assert small_talk.strip_pleasantries(text) == text


@pytest.mark.parametrize(
    "text",
    ["，" + "嗯嗯" * 1000 + "x", "你好" * 1000 + "x", "，" * 2000, " " * 2000 + "x", "请问" * 1000,
     "你是人" + "还是" * 25,
     "嗯嗯，" * 700 + "x", "哈" * 2000, "转" * 2000, "[" * 2000, "你好，" * 700],
)  # fmt: skip
def test_no_message_takes_long_to_read(small_talk: SmallTalk, text: str) -> None:
    began = time.process_time()
    small_talk.reply_to(text)
    small_talk.wants_human(text)
    small_talk.strip_pleasantries(text)
    assert time.process_time() - began < 1


def test_faulty_tables_are_refused_with_every_fault() -> None:
    with pytest.raises(PromptError, match=r"small_talk.yaml: kinds: Field required; human_request: Field required"):
        SmallTalk("particles: 啊\nopeners: []\nemoticons: []\n")


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        ("ack: {phrases: [好], reply: ''}", "kinds.ack.reply: String should have at least 1 character"),
        ("ack: {phrases: [no], reply: 好}", "kinds.ack.phrases.0: Input should be a valid string"),
        ("ack: {phrase: [好], reply: 好}", "kinds.ack.phrase: Extra inputs are not permitted"),
        ("ack: {reply: 好}", "kinds.ack: has neither frames, phrases nor patterns; it can never match"),
        ("ack: {phrases: ['!!'], reply: 好}", "kinds.ack: phrase '!!' is empty after tidying; remove it"),
        (f"ack: {{phrases: [好], reply: {'好' * 683}}}", "kinds.ack.reply: is longer than 2048 bytes; shorten it"),
        ("bye: {phrases: [拜拜], reply: 好}", "kinds.ack: missing; emoji are answered with it"),
    ],
)
def test_a_fault_in_a_kind_is_named(kinds: str, problem: str) -> None:
    raw = f"kinds: {{{kinds}}}\nhuman_request: {{max_characters: 9, phrases: [人工], patterns: [人工]}}\n"
    assert problem in check(raw + "openers: []\nparticles: 啊\nemoticons: []\n")


def test_a_table_without_extras_works() -> None:
    raw = (
        "kinds: {ack: {phrases: [好], reply: ' 行 '}}\n"
        "human_request: {max_characters: 4, phrases: [人工], patterns: [真人]}\n"
        "openers: []\nparticles: 啊\nemoticons: []\n"
    )
    table = SmallTalk(raw)
    assert table.reply_to("好啊！") == "行"
    assert table.strip_pleasantries("好，怎么退") == "好，怎么退"
    assert table.wants_human("找真人啊")
    assert not table.wants_human("真人真的很棒")
