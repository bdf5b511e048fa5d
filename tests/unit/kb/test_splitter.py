"""Markdown to chunks."""

import pytest

from kb.errors import DocumentError
from kb.rows import parse_row, row_metadata
from kb.splitter import PASSAGE_LENGTH, cut, split_markdown


def test_a_heading_that_asks_is_an_entry_with_its_headings_as_context() -> None:
    [chunk] = split_markdown("# 手册\n\n## 退款\n\n### 如何退款?\n\n七天内可退。", source="a.md")
    assert chunk.question == "如何退款?"
    assert chunk.answer == "七天内可退。"
    assert chunk.content == "如何退款?\n七天内可退。"
    assert chunk.headings == ("手册", "退款")
    assert chunk.source == "a.md"


@pytest.mark.parametrize(
    "line",
    [
        "相似问法: 怎么退钱；退款流程",
        "相似问题：怎么退钱|退款流程",
        "similar questions: 怎么退钱; 退款流程",
        "相似问法:\n- 怎么退钱\n- 退款流程\n",
        "**相似问法：**怎么退钱；退款流程；如何退款?",
    ],
)
def test_similar_questions_become_pieces_of_the_same_entry(line: str) -> None:
    chunks = split_markdown(f"### 如何退款?\n{line}\n\n七天内可退。", source="a.md")
    assert [chunk.question for chunk in chunks] == ["如何退款?", "怎么退钱", "退款流程"]
    assert len({chunk.entry_id for chunk in chunks}) == 1
    assert {chunk.answer for chunk in chunks} == {"七天内可退。"}
    assert chunks[1].content == "怎么退钱\n七天内可退。"


@pytest.mark.parametrize(
    "text",
    [
        "问: 能刻字吗\n答: 不能。",
        "Q：能刻字吗\n\nA：不能。",
        "**问：**能刻字吗\n\n**答：**不能。",
        "**问**：能刻字吗\n**答**：不能。",
        "- 问: 能刻字吗\n- 答: 不能。",
        "### Q1: 能刻字吗\n\nA: 不能。",
    ],
)
def test_question_and_answer_lines_are_entries(text: str) -> None:
    [chunk] = split_markdown(f"## 杂项\n\n{text}", source="a.md")
    assert (chunk.question, chunk.answer) == ("能刻字吗", "不能。")
    assert chunk.headings == ("杂项",)


def test_several_pairs_below_one_heading_are_separate_entries() -> None:
    text = "## 杂项\n\n开场白。\n\n问: 甲?\n相似问法: 乙?\n答: 一。\n二。\n\n问: 丙?\n答: 三。"
    chunks = split_markdown(text, source="a.md")
    assert [(chunk.question, chunk.answer) for chunk in chunks] == [
        ("", "开场白。"),
        ("甲?", "一。\n二。"),
        ("乙?", "一。\n二。"),
        ("丙?", "三。"),
    ]


def test_a_short_text_below_a_lowest_heading_is_an_entry_and_a_long_one_is_passages() -> None:
    chunks = split_markdown(f"## 运费\n\n满 99 包邮。\n\n## 品牌\n\n{'故事很长。' * 150}", source="a.md")
    assert (chunks[0].question, chunks[0].answer) == ("运费", "满 99 包邮。")
    passages = chunks[1:]
    assert len(passages) == 2
    assert all(not chunk.question and chunk.content == f"品牌\n{chunk.answer}" for chunk in passages)
    assert all(len(chunk.answer) <= PASSAGE_LENGTH and chunk.answer.endswith("。") for chunk in passages)
    assert len({chunk.entry_id for chunk in passages}) == 1


def test_a_text_above_lower_headings_is_a_passage() -> None:
    chunks = split_markdown("# 手册\n\n欢迎。\n\n## 几点营业?\n\n九点。", source="a.md")
    assert [(chunk.question, chunk.answer) for chunk in chunks] == [("", "欢迎。"), ("几点营业?", "九点。")]


def test_steps_under_headings_of_their_own_stay_in_the_answer() -> None:
    [chunk] = split_markdown("### 如何安装?\n\n#### 第一步\n\n打开。\n\n#### 第二步\n\n关上。", source="a.md")
    assert chunk.answer == "第一步\n打开。\n\n第二步\n关上。"


def test_the_answer_is_plain_text() -> None:
    text = (
        "### 如何退款?\n\n请看**官网**[说明](https://e.cn/a)和<https://e.cn>：\n\n"
        "1. 打开`订单`\n2. 点*退款*\n   - 子项\n\n"
        "- 一\n- 二\n\n| 方式 | 天数 |\n|---|---|\n| 微信 | 1 |\n\n> 引用<br>换行\n\n<b>网页</b>"
    )
    [chunk] = split_markdown(text, source="a.md")
    assert chunk.answer == (
        "请看官网说明(https://e.cn/a)和https://e.cn：\n\n1. 打开订单\n2. 点退款\n  • 子项\n\n• 一\n• 二\n\n"
        "• 方式：微信；天数：1\n\n引用\n换行\n\n网页"
    )


def test_code_pictures_and_raw_html_lose_their_markup() -> None:
    text = (
        "### 怎么配置?\n\n```ini\na = 1\n```\n\n"
        "![图](https://e.cn/a.png) <i>斜</i><br>行\n\n<div>块<br/>行</div>\n\n<hr>"
    )
    [chunk] = split_markdown(text, source="a.md")
    assert chunk.answer == "a = 1\n\n图(https://e.cn/a.png) 斜\n行\n\n块\n行"


def test_front_matter_gives_the_category_and_is_not_a_text() -> None:
    [chunk] = split_markdown("---\nid: x\ncategory: 售后\n---\n## 几点?\n\n九点。", source="a.md")
    assert chunk.category == "售后"
    assert chunk.content == "几点?\n九点。"


@pytest.mark.parametrize("front", ["a: [", "just words"])
def test_front_matter_that_is_no_mapping_is_refused(front: str) -> None:
    with pytest.raises(DocumentError, match=r"a\.md.*front matter"):
        split_markdown(f"---\n{front}\n---\n## 几点?\n\n九点。", source="a.md")


def test_ids_survive_a_changed_answer_and_tell_sources_and_repetitions_apart() -> None:
    [first] = split_markdown("### 几点?\n\n九点。", source="a.md")
    [changed] = split_markdown("### 几点?\n\n十点。", source="a.md")
    [elsewhere] = split_markdown("### 几点?\n\n九点。", source="b.md")
    assert first.entry_id == changed.entry_id != elsewhere.entry_id
    twice = split_markdown("### 几点?\n\n九点。\n\n### 几点?\n\n十点。", source="a.md")
    assert [chunk.answer for chunk in twice] == ["九点。", "十点。"]
    assert len({chunk.entry_id for chunk in twice}) == 2


def test_a_question_without_an_answer_is_no_entry() -> None:
    assert split_markdown("### 几点?\n\n### 哪里?\n\n北京。", source="a.md")[0].question == "哪里?"
    [chunk] = split_markdown("## 杂项\n\n问: 几点?", source="a.md")
    assert chunk.answer == "问: 几点?"


def test_cut_keeps_every_character_within_the_length() -> None:
    text = "第一段。\n\n" + "句子很长很长。" * 30 + "\n\n" + "无标点" * 60
    pieces = list(cut(text, 50))
    assert all(len(piece) <= 50 for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_stored_chunk_reads_back_as_it_was() -> None:
    text = "# 手册\n\n欢迎。\n\n### 如何退款?\n相似问法: 退钱\n\n七天。\n\n## 品牌\n\n" + "故事。" * 300
    chunks = split_markdown(text, source="a.md")
    assert [parse_row(chunk.content, row_metadata(chunk)) for chunk in chunks] == chunks
