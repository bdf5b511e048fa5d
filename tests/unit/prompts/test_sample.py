from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import yaml

from prompts.small_talk import SmallTalk

REQUIRED = [
    "如何退款?",
    "退款多久到账?",
    "运费谁承担?",
    "什么时候发货?",
    "保修多久?",
    "发票怎么开?",
    "会员等级怎么划分?",
    "积分怎么用?",
    "怎么预约上门安装?",
    "维修网点怎么查?",
    "人工客服几点上班?",
]
LEFT_OUT = r"招聘|应聘|加盟|代理商|刻字|定制|批发|大客户|团购|实体店|门店|线下店|海外|国外|境外|港澳|出口"


def _plain(question: str) -> str:
    return re.sub(r"\W", "", question).lower()


def test_front_matter_names_the_document(sample_text: str) -> None:
    head = yaml.safe_load(sample_text.split("---\n")[1])
    assert head["id"] == "sample"
    assert head["title"]
    assert head["category"]
    assert str(head["updated"]).startswith("2026-")


def test_there_are_enough_entries_in_every_section(entries: list[Any]) -> None:
    assert len(entries) >= 75
    sections = Counter(entry.section for entry in entries)
    assert len(sections) >= 14
    assert min(sections.values()) >= 4


def test_about_two_thirds_have_two_to_four_similar_questions(entries: list[Any]) -> None:
    counts = [len(entry.similar) for entry in entries if entry.similar]
    assert 0.6 <= len(counts) / len(entries) <= 0.75
    assert set(counts) <= {2, 3, 4}


def test_no_question_occurs_twice(entries: list[Any]) -> None:
    questions = Counter(_plain(text) for entry in entries for text in (entry.question, *entry.similar))
    assert [question for question, count in questions.items() if count > 1] == []


@pytest.mark.parametrize("question", REQUIRED)
def test_the_required_entry_is_there(entries: list[Any], question: str) -> None:
    assert [entry.question for entry in entries].count(question) == 1


def test_the_refund_entry_gives_steps_and_the_follow_up_a_duration(entries: list[Any]) -> None:
    answers = {entry.question: entry.answer for entry in entries}
    assert re.search(r"1\. .*\n2\. .*\n3\. ", answers["如何退款?"])
    assert re.search(r"\d+–\d+ 个工作日", answers["退款多久到账?"])


def test_topics_left_for_people_are_absent(sample_text: str) -> None:
    assert re.findall(LEFT_OUT, sample_text) == []


def test_every_answer_can_be_sent_as_it_is(entries: list[Any]) -> None:
    for entry in entries:
        assert 0 < len(entry.answer.encode()) <= 2048, entry.question
        assert not re.search(r"[*_`#<>|\[\]]|https?:|相似问法", entry.answer), entry.question


def test_no_question_is_mistaken_for_small_talk_or_a_call_for_a_person(
    entries: list[Any], small_talk: SmallTalk
) -> None:
    for entry in entries:
        for question in (entry.question, *entry.similar):
            assert small_talk.reply_to(question) is None, question
            assert not small_talk.wants_human(question), question
            assert small_talk.strip_pleasantries(question) == question
