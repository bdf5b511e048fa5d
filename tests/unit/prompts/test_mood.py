"""How customers sound: sentences of our own, judged by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.errors import PromptError
from prompts.loader import check_all
from prompts.mood import MOOD_WORDS, MoodLexicon, check

LEXICON = MoodLexicon()
SENTENCES = (
    ("negative", "太慢了"),
    ("negative", "你们什么破服务"),
    ("negative", "我不太满意"),
    ("negative", "不满意"),
    ("negative", "一点都不满意"),
    ("negative", "差评!"),
    ("negative", "我要投诉你们"),
    ("negative", "我要投诉"),
    ("neutral", "怎么投诉"),
    ("neutral", "投诉电话是多少"),
    ("neutral", "投诉流程是什么?"),
    ("positive", "谢谢"),
    ("positive", "谢谢您的耐心解答"),
    ("neutral", "谢谢,还是没到,怎么回事"),
    ("negative", "谢谢,但是真的很失望"),
    ("positive", "东西不错"),
    ("positive", "很喜欢,谢谢"),
    ("neutral", "不好意思打扰了"),
    ("neutral", "没关系"),
    ("neutral", "没问题"),
    ("neutral", "如何退款?"),
    ("neutral", "满不满意都可以退吗"),
    ("neutral", "这个好用吗?"),
    ("negative", "这个不好用"),
    ("negative", "收到的杯子碎了"),
    ("neutral", "杯子碎了怎么办?"),
    ("negative", "气死我了"),
    ("negative", "骗子"),
    ("neutral", "你们不是骗子吧"),
    ("negative", "再也不来了"),
    ("negative", "等了这么久还没人回复"),
    ("neutral", "有点慢"),
    ("negative", "有点失望,而且很生气"),
    ("neutral", "我没有生气"),
    ("neutral", "不用投诉了"),
    ("neutral", "要不要投诉他"),
    ("negative", "垃圾"),
    ("neutral", "垃圾袋有货吗"),
    ("neutral", "滚筒洗衣机怎么用"),
    ("neutral", "麻烦问一下"),
    ("negative", "烦死了"),
    ("negative", "说了多少遍了"),
    ("negative", "问了好几遍都没人理"),
    ("positive", "太棒了"),
    ("positive", "解决了,感谢"),
    ("positive", "👍"),
    ("negative", "😡"),
    ("negative", "[发怒]"),
    ("positive", "好评"),
    ("neutral", "东西很好,就是有点贵,太慢了"),
    ("negative", "质量差,不推荐"),
    ("negative", "this is terrible"),
    ("negative", "I am not happy with this"),
    ("positive", "great, thank you"),
    ("neutral", "when will it ship"),
    ("negative", "worst service ever"),
    ("neutral", "我想退货"),
    ("neutral", "什么时候发货"),
    ("negative", "客服态度差"),
    ("positive", "客服很专业,很耐心"),
    ("negative", "不专业"),
    ("negative", "太过分了"),
    ("neutral", "不错过活动怎么设置"),
    ("negative", "到底能不能退"),
    ("neutral", "一星期能到吗"),
    ("negative", "还我钱"),
    ("negative", "浪费时间"),
    ("neutral", "如果坏了可以换吗"),
    ("negative", "又坏了"),
    ("neutral", ""),
    ("neutral", "？？？"),
    ("negative", "不太满意"),
    ("negative", "我对你们的服务非常失望"),
    ("negative", "又发错货了,真是服了你们"),
    ("neutral", "能不能投诉快递员"),
    ("positive", "Thank you so much!"),
    ("negative", "I'm really disappointed"),
    ("neutral", "送他妈妈的礼物"),
    ("neutral", "他妈妈能用吗"),
    ("neutral", "老人有病能用吗"),
    ("neutral", "神经病变可以吃吗"),
    ("neutral", "滚烫的水能装吗"),
    ("neutral", "滚刷怎么换"),
    ("neutral", "没用上优惠券"),
    ("neutral", "烦您帮我看下订单"),
    ("neutral", "玩我的世界游戏用"),
    ("neutral", "怎么退钱"),
    ("neutral", "是假货吗"),
    ("neutral", "有差评吗"),
    ("neutral", "难吃吗这个"),
    ("neutral", "着急用,能今天发吗"),
    ("neutral", "从来没有让我失望"),
    ("neutral", "别生气"),
    ("positive", "真的很棒"),
    ("positive", "特别满意"),
    ("positive", "客服特别专业,特别好用"),
    ("positive", "别的都很满意"),
    ("negative", "特别生气"),
    ("negative", "我特别失望"),
    ("negative", "客服特别敷衍"),
    ("negative", "没有让我满意"),
    ("negative", "不得不投诉了"),
    ("negative", "滚"),
    ("negative", "退钱!"),
    ("negative", "你们有病吧"),
    ("negative", "卖假货"),
    ("negative", "给差评"),
    ("negative", "他妈的"),
)


@pytest.mark.parametrize(("mood", "text"), SENTENCES)
def test_a_sentence_sounds_as_it_is_meant(mood: str, text: str) -> None:
    assert LEXICON.mood_of(text) == mood


def test_there_are_enough_sentences_of_each_mood() -> None:
    assert len(SENTENCES) >= 60
    assert min([mood for mood, _ in SENTENCES].count(mood) for mood in MOOD_WORDS.values()) >= 10


@given(st.text())
def test_any_text_has_a_mood(text: str) -> None:
    assert LEXICON.mood_of(text) in MOOD_WORDS.values()


@given(
    st.sampled_from(["满意", "喜欢", "靠谱", "专业"]), st.sampled_from(["不", "不太", "不是很", "一点都不", "没有很"])
)
def test_a_denied_praise_is_a_complaint(word: str, denial: str) -> None:
    assert LEXICON.mood_of(f"我觉得{word}") == "positive"
    assert LEXICON.mood_of(f"我觉得{denial}{word}") == "negative"


@pytest.mark.parametrize("text", ["不太满意" * 20_000, "不" * 100_000, "没有很" * 50_000, "!" * 100_000])
def test_a_long_text_is_read_quickly(text: str) -> None:
    started = time.process_time()
    LEXICON.mood_of(text)
    assert time.process_time() - started < 1


def test_faults_of_the_file_are_named(copied: Path, plant: Callable[[str, str, str], None]) -> None:
    plant("mood.yaml", "neutral: [", "neutral: [骗子, ")
    [problem] = check_all(copied)
    assert problem == "mood.yaml: neutral: '骗子' is also in negative.strong; keep one"
    (copied / "mood.yaml").unlink()
    assert check_all(copied) == ["mood.yaml: missing; restore the file"]


@pytest.mark.parametrize(("raw", "fault"), [("a: [", "is not YAML"), ("negative: 3", "negative: "), ("[]", "file: ")])
def test_a_file_of_another_shape_is_refused(raw: str, fault: str) -> None:
    assert any(problem.startswith(fault) for problem in check(raw))
    with pytest.raises(PromptError, match=r"mood\.yaml: "):
        MoodLexicon(raw)
