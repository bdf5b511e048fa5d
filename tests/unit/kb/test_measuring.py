"""What a base is asked about itself."""

import pytest

from kb.chunks import Chunk
from kb.confidence import DEFAULT_FLOOR
from kb.lexical_index import Snapshot, StoredChunk
from kb.measuring import OWN_QUESTIONS, TITLED_LENGTH, _own_questions, floor_of, is_titled_passages, probes
from kb.word_table import WordTable


def base(*chunks: Chunk) -> Snapshot:
    rows = [StoredChunk(row_id=f"row-{n}", metadata={}, chunk=chunk) for n, chunk in enumerate(chunks)]
    return Snapshot(version="1", rows=rows, words=WordTable(chunks))


def chunk(entry_id: str, question: str, answer: str = "答") -> Chunk:
    return Chunk(content=f"{question}\n{answer}", question=question, answer=answer, entry_id=entry_id, source="")


@pytest.mark.parametrize(
    ("length", "is_titled"), [(TITLED_LENGTH - 1, False), (TITLED_LENGTH, True), (TITLED_LENGTH + 1, True)]
)
def test_long_texts_under_single_titles_are_titled_passages(length: int, is_titled: bool) -> None:
    assert is_titled_passages(base(*(chunk(f"e{n}", f"标题{n}", "文" * length) for n in range(10)))) is is_titled


@pytest.mark.parametrize(("alone", "is_titled"), [(7, False), (8, True), (9, True)])
def test_entries_with_other_wordings_are_questions(alone: int, is_titled: bool) -> None:
    chunks = [chunk(f"e{n}", f"标题{n}", "文" * 200) for n in range(10)]
    similar = [chunk(f"e{n}", f"另一个{n}", "文" * 200) for n in range(alone, 10)]
    assert is_titled_passages(base(*chunks, *similar)) is is_titled


def test_a_few_long_answers_make_no_titles() -> None:
    long = [chunk(f"l{n}", f"长{n}", "文" * 500) for n in range(4)]
    assert not is_titled_passages(base(*long, *(chunk(f"s{n}", f"短{n}") for n in range(6))))


@pytest.mark.parametrize("chunks", [[], [Chunk(content="文" * 500, question="", answer="文", entry_id="a", source="")]])
def test_a_base_without_questions_has_no_titles(chunks: list[Chunk]) -> None:
    assert not is_titled_passages(base(*chunks))


def test_a_question_is_asked_without_itself_and_without_its_entry() -> None:
    trials = _own_questions(base(chunk("a", "甲"), chunk("a", "甲二"), chunk("b", "乙")))
    asked = {(trial.text, trial.truth, trial.without.chunk_id, trial.without.entry_id) for trial in trials}
    assert asked == {
        ("甲", None, "", "a"),
        ("甲", "a", "row-0", ""),
        ("甲二", None, "", "a"),
        ("甲二", "a", "row-1", ""),
        # Nothing of b would be left to find.
        ("乙", None, "", "b"),
    }


def test_passages_are_not_asked() -> None:
    passage = Chunk(content="文", question="", answer="文", entry_id="p", source="")
    assert _own_questions(base(passage)) == []


def test_a_large_base_is_asked_so_many_questions_always_the_same() -> None:
    large = base(*(chunk(f"e{n}", f"问{n}") for n in range(OWN_QUESTIONS + 100)))
    trials = _own_questions(large)
    assert len({trial.text for trial in trials}) == OWN_QUESTIONS
    assert trials == _own_questions(large)


def test_the_probes_are_many_different_messages() -> None:
    assert len(set(probes())) == len(probes()) >= 100
    assert all(text.strip() == text for text in probes())


class TestTheFloor:
    def test_it_is_what_messages_of_other_domains_reach(self) -> None:
        assert floor_of([0.8] * 95 + [0.9] * 5) == pytest.approx(0.8, abs=0.01)

    def test_messages_that_the_base_covers_tell_nothing_about_other_domains(self) -> None:
        strangers = [0.85 + number / 1000 for number in range(100)]
        assert floor_of([*strangers, *[0.99] * 18]) == pytest.approx(floor_of(strangers))

    def test_a_model_that_puts_everything_close_together_is_believed(self) -> None:
        assert floor_of([0.985] * 60 + [0.9] * 40) == pytest.approx(0.985)

    def test_without_scores_it_is_the_default(self) -> None:
        assert floor_of([]) == DEFAULT_FLOOR
