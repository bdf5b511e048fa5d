"""The confidence: its order, its cut-offs, and what it does on a small shop's base with the bundled model."""

import math
from itertools import pairwise

import pytest

from kb.bundled import BundledEmbedder
from kb.chunks import Hit
from kb.confidence import (
    CUT_OFFS,
    DEFAULT_FLOOR,
    QUESTION,
    REFUTED,
    SHORTLIST,
    SUPPORTED,
    CalibratedGrader,
    Calibration,
    SimilarityGrader,
    Weights,
    cut_off,
    default_calibration,
    default_threshold,
    logistic,
)
from kb.evidence import Evidence
from kb.memory import MemoryRetriever
from kb.splitter import split_markdown

FLOOR = 0.9

SHOP = """
### 如何退款?
相似问法: 怎么申请退款；我想退款；退款流程是什么
在订单页点「申请退款」。
### 如何退货?
相似问法: 怎么申请退货；不想要了能退货吗；退货流程
签收七天内可退。
### 运费多少?
相似问法: 运费怎么算；邮费多少钱
满 99 元包邮。
### 什么时候发货?
相似问法: 多久发货；今天能发货吗
付款后 48 小时内。
### 怎么开发票?
相似问法: 可以开发票吗；发票怎么申请
订单完成后在订单页申请。
### 怎么修改收货地址?
相似问法: 地址填错了；改地址
发货前可以在订单页修改。
### 支持哪些支付方式?
相似问法: 可以货到付款吗；能用花呗吗
微信支付。
### 保修多久?
一年。
### 怎么联系人工客服?
回复「转人工」。
### 优惠券怎么用?
下单时自动抵扣。
"""


@pytest.fixture(scope="module")
def shop() -> MemoryRetriever:
    return MemoryRetriever(lambda: split_markdown(SHOP, source="shop.md"), BundledEmbedder())


def hits(*scores: float, question: str = "甲乙丙", wording: float = 0.0) -> list[Hit]:
    return [
        Hit(
            chunk_id=str(number),
            entry_id=str(number),
            content="甲乙丙\n答",
            question=question,
            answer="答",
            score=score,
            wording=wording,
        )
        for number, score in enumerate(scores)
    ]


def at(closeness: float) -> float:
    """The cosine of a closeness."""
    return FLOOR + closeness * (1 - FLOOR)


def calibration(max_wrong: float = 0.02, *, titled: bool = False) -> Calibration:
    return default_calibration(max_wrong, floor=FLOOR, is_titled_passages=titled)


GRADER = CalibratedGrader(calibration())


class TestDefault:
    @pytest.mark.parametrize(("rate", "close"), CUT_OFFS)
    def test_a_question_is_answered_from_the_measured_cut_off_on(self, rate: float, close: float) -> None:
        grader = CalibratedGrader(calibration(rate))
        assert not grader.grade("甲", hits(at(close - 0.001))).is_sure
        assert grader.grade("甲", hits(at(close + 1e-9))).is_sure
        assert grader.grade("甲", hits(at(close + 0.001))).is_sure

    def test_what_is_below_at_and_above_the_threshold(self) -> None:
        threshold = calibration().threshold
        for add, is_sure in ((-1e-6, False), (0.0, True), (1e-6, True)):
            weights = Weights(bias=math.log(threshold / (1 - threshold)) + add, nearness=0)
            fitted = Calibration(
                basis="labels",
                floor=FLOOR,
                is_titled_passages=False,
                question=weights,
                passage=weights,
                threshold=logistic(math.log(threshold / (1 - threshold))),
            )
            assert CalibratedGrader(fitted).grade("甲", hits(0.99)).is_sure is is_sure

    def test_a_stricter_rate_asks_for_more(self) -> None:
        rates = (0.0001, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.5)
        thresholds = [default_threshold(rate) for rate in rates]
        assert thresholds == sorted(thresholds, reverse=True)
        assert thresholds[-1] > 0.4

    def test_before_any_measurement_the_floor_is_that_of_a_wide_base(self) -> None:
        assert default_calibration(0.02).floor == DEFAULT_FLOOR

    def test_nothing_found_is_never_sure(self) -> None:
        for rate in (0.0001, 0.02, 0.999):
            grade = CalibratedGrader(calibration(rate)).grade("甲", [])
            assert (grade.confidence, grade.decision) == (0, "escalate")


class TestCutOff:
    @pytest.mark.parametrize(("rate", "close"), CUT_OFFS)
    def test_the_table_holds_at_its_entries(self, rate: float, close: float) -> None:
        assert cut_off(rate, CUT_OFFS) == pytest.approx(close)

    def test_between_two_entries_it_is_interpolated(self) -> None:
        assert cut_off(0.015, CUT_OFFS) == pytest.approx((0.9 + 0.84) / 2)

    def test_below_the_table_it_goes_to_certainty(self) -> None:
        assert cut_off(0.0025, CUT_OFFS) == pytest.approx((0.95 + 1) / 2)
        assert cut_off(0, CUT_OFFS) == 1

    def test_above_the_table_it_stays(self) -> None:
        assert cut_off(0.9, CUT_OFFS) == CUT_OFFS[-1][1]


class TestOrder:
    def test_closer_is_surer(self) -> None:
        grades = [GRADER.grade("甲", hits(at(close))) for close in (0.0, 0.3, 0.6, 0.9)]
        assert all(low.confidence < high.confidence for low, high in pairwise(grades))
        assert all(low.shortlist < high.shortlist for low, high in pairwise(grades))

    def test_the_lead_and_the_wording_count_as_they_were_fitted(self) -> None:
        weights = Weights(bias=-1, nearness=1, lead=0.5, wording=0.25)
        facts = Evidence(closeness=0.5, lead=1, wording=1, is_passage=False)
        assert weights.log_odds(facts) == pytest.approx(-1 + math.log(2) + 0.75)

    def test_only_the_place_above_the_floor_counts_not_the_cosine(self) -> None:
        narrow = CalibratedGrader(default_calibration(0.02, floor=0.9)).grade("甲", hits(0.98, 0.9)).confidence
        wide = CalibratedGrader(default_calibration(0.02, floor=0.4)).grade("甲", hits(0.88, 0.4)).confidence
        assert narrow == pytest.approx(wide)

    @pytest.mark.parametrize(("close", "decision"), [(-0.001, "escalate"), (0.0, "clarify"), (0.3, "clarify")])
    def test_the_customer_is_asked_from_the_floor_on(self, close: float, decision: str) -> None:
        assert GRADER.grade("甲", hits(at(close))).decision == decision

    def test_the_shortlist_is_its_fitted_probability(self) -> None:
        bias, slope = SHORTLIST
        assert GRADER.grade("甲", hits(at(0.5))).shortlist == pytest.approx(logistic(bias + slope / 2))


class TestPassages:
    def test_the_same_text_as_a_passage_is_offered_and_not_answered(self) -> None:
        assert GRADER.grade("甲", hits(1.0, question="")).decision == "clarify"

    def test_neither_is_the_same_text_as_a_title(self) -> None:
        assert CalibratedGrader(calibration(titled=True)).grade("甲", hits(1.0)).decision == "clarify"

    def test_a_reader_who_found_the_answer_makes_it_enough(self) -> None:
        assert GRADER.grade("甲", hits(1.0, question=""), is_supported=True).decision == "answer"


class TestReader:
    def test_a_reader_s_word_moves_the_odds(self) -> None:
        def odds(is_supported: bool | None) -> float:
            p = GRADER.grade("甲", hits(at(0.5)), is_supported=is_supported).confidence
            return math.log(p / (1 - p))

        assert odds(True) - odds(None) == pytest.approx(SUPPORTED)
        assert odds(False) - odds(None) == pytest.approx(REFUTED)

    def test_what_a_reader_refutes_is_not_answered_unless_it_is_the_same_text(self) -> None:
        assert GRADER.grade("甲", hits(at(0.95))).is_sure
        assert not GRADER.grade("甲", hits(at(0.95)), is_supported=False).is_sure
        assert GRADER.grade("甲", hits(1.0), is_supported=False).is_sure


class TestFixedCutOff:
    @pytest.mark.parametrize(("score", "is_sure"), [(0.699, False), (0.7, True), (0.701, True)])
    def test_it_compares_the_raw_score(self, score: float, is_sure: bool) -> None:
        grade = SimilarityGrader(threshold=0.7).grade("甲", hits(score, 0.6))
        assert (grade.confidence, grade.threshold, grade.is_sure) == (score, 0.7, is_sure)

    def test_a_cut_off_of_nothing_still_needs_a_hit(self) -> None:
        assert not SimilarityGrader(threshold=0.0).grade("甲", []).is_sure
        assert SimilarityGrader(threshold=0.0).grade("甲", hits(0.0)).is_sure

    @pytest.mark.parametrize("threshold", [0.0, 0.7])
    def test_a_reader_who_found_no_answer_is_heard(self, threshold: float) -> None:
        assert not SimilarityGrader(threshold=threshold).grade("甲", hits(1.0), is_supported=False).is_sure
        assert SimilarityGrader(threshold=threshold).grade("甲", hits(1.0), is_supported=True).is_sure

    def test_between_the_floor_and_the_cut_off_the_customer_is_asked(self) -> None:
        grader = SimilarityGrader(threshold=0.99, floor=FLOOR)
        assert [grader.grade("甲", hits(score)).decision for score in (0.89, 0.91, 0.99)] == [
            "escalate",
            "clarify",
            "answer",
        ]


def test_the_weights_ask_for_more_than_even_odds() -> None:
    assert QUESTION.log_odds(Evidence(closeness=0, lead=1, wording=1, is_passage=False)) < 0


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ("如何退款?", "如何退款?"),
        ("怎么退款", "如何退款?"),
        ("运费多少", "运费多少?"),
        ("邮费多少", "运费多少?"),
        ("怎么开发票", "怎么开发票?"),
        ("运费怎么算呀", "运费多少?"),
    ],
)
async def test_a_shop_answers_close_paraphrases_at_the_default_rate(
    shop: MemoryRetriever, query: str, question: str
) -> None:
    found = await shop.search(query, limit=5)
    assert found[0].entry_id == (await shop.search(question, limit=5))[0].entry_id
    assert CalibratedGrader(default_calibration(0.02)).grade(query, found).is_sure


@pytest.mark.parametrize("query", ["我想退货", "什么时候发货呀", "我地址填错了"])
async def test_a_shop_asks_back_about_looser_ones(shop: MemoryRetriever, query: str) -> None:
    grade = CalibratedGrader(default_calibration(0.02)).grade(query, await shop.search(query, limit=5))
    assert grade.decision == "clarify"


@pytest.mark.parametrize(
    "query",
    [
        "你们招聘吗",
        "能定制刻字吗",
        "今天天气怎么样",
        "你好",
        "谢谢",
        "怎么加盟",
        "可以退房吗",
        "这款多少钱",
        "有实体店吗",
        "我的订单为什么还没到",
        "北京明天下雨吗",
        "哈",
        "?",
    ],
)
async def test_a_shop_does_not_answer_what_its_base_does_not_cover(shop: MemoryRetriever, query: str) -> None:
    grade = CalibratedGrader(default_calibration(0.02)).grade(query, await shop.search(query, limit=5))
    assert grade.decision == "escalate"
