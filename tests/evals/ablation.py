"""What each part of the confidence buys: `[EVAL_DIR=FOLDER] python tests/evals/ablation.py [--only NAME…]`.

Each variant leaves one part out of the real search or fit, at an accepted rate of 2 %. Search variants are searched
anew. `hindsight` is the share resolved by the best threshold on the scored set itself: the most that any choice of a
threshold could have reached.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

from collected import Collected, collect_from, cosines, least_value
from sets import LABELS, MAX_WRONG, LabelledSet, markdown, note, other_sets, run_with_database, sample_set

import kb.ranking
import kb.retriever
from api.database import open_pool
from api.evaluation import open_trial
from api.scratch import scratch_schema
from api.settings import Settings
from kb.calibration import settle
from kb.chunks import Chunk
from kb.confidence import default_calibration
from kb.embeddings import make_embedder
from kb.ingest import import_articles
from kb.lexical_index import LexicalIndex
from kb.measuring import Example
from kb.retriever import PgRetriever
from kb.vector_index import open_vector_index

SEEDS = 10

FIGURES = ("wrong", "resolved", "assisted", "ood_answered", "ood_suggested", "top1", "aurc")

Row = list[str]


@contextlib.contextmanager
def without_wording_bonus() -> Iterator[None]:
    """Order by the cosine alone."""
    with _set(kb.ranking, "WORDING_BONUS", 0.0):
        yield


@contextlib.contextmanager
def without_lexical_candidates() -> Iterator[None]:
    """Find by the vector alone."""
    with _set(kb.retriever, "LEXICAL_WIDTH", 0):
        yield


@contextlib.contextmanager
def _set(module: object, name: str, value: float) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def without_coverage() -> Iterator[None]:
    """Order passages as if each had every word of the query."""
    with _set(kb.ranking, "COVERAGE_COST", 0.0):
        yield


SEARCHES = {
    "everything": contextlib.nullcontext,
    "no wording bonus in the ranking": without_wording_bonus,
    "no candidates by words": without_lexical_candidates,
}


async def search_all(settings: Settings, conninfo: str, labelled: LabelledSet) -> dict[str, Collected]:
    async with open_trial(settings, conninfo, labelled.entries) as trial:
        found = {}
        for name, variant in SEARCHES.items():
            with variant():
                found[name] = await collect_from(trial, labelled)
    note(f"{labelled.name} searched")
    return found


def rows_of(variants: dict[str, Collected]) -> Iterator[Row]:
    full = variants["everything"]
    for name, searched in variants.items():
        yield line(name, searched, searched.score(searched.settled(MAX_WRONG)))
    start = default_calibration(MAX_WRONG, floor=full.floor, is_titled_passages=full.is_titled)
    if full.own:
        yield line("own questions not asked", full, full.score(start))
        bare = settle(start, [_bare(example) for example in full.own], [], max_wrong=MAX_WRONG).calibration
        blind = replace(full, hits=[[replace(hit, wording=0.0) for hit in hits[:1]] for hits in full.hits])
        # The shortlist is the same: it looks at the closeness alone.
        yield line("own questions, closeness only", full, {**full.score(start), **_head(blind.score(bare))})
    if full.is_titled:
        plain = replace(start, is_titled_passages=False)
        yield line("titles treated as questions", full, full.score(plain))
    everything = full.score(full.settled(MAX_WRONG))
    yield line("no asking back", full, {**everything, "assisted": everything["resolved"], "ood_suggested": 0.0})


def _head(scored: dict[str, float]) -> dict[str, float]:
    return {name: scored[name] for name in ("wrong", "resolved", "ood_answered", "aurc")}


def _bare(example: Example) -> Example:
    return replace(example, found=replace(example.found, lead=0.0, wording=0.0))


def line(name: str, searched: Collected, scored: dict[str, float]) -> Row:
    cells = [f"{scored[each]:.3f}" if each == "aurc" else f"{100 * scored[each]:.1f}" for each in FIGURES]
    return [searched.name, name, *cells]


def transfer(sets: Sequence[Collected], *, by: str) -> Iterator[Row]:
    """Choose the threshold on the other sets, the strictest of them, and score it on the one left out."""
    values = {each.name: MEASURES[by](each) for each in sets}
    for each in sets:
        others = [other for other in sets if other is not each]
        threshold = max(least_value(values[other.name], other, MAX_WRONG) for other in others)
        right = [example.is_right for example in each.examples()]
        own = least_value(values[each.name], each, MAX_WRONG)
        answered, hindsight = (
            [is_right for value, is_right in zip(values[each.name], right, strict=True) if value >= least]
            for least in (threshold, own)
        )
        answerable = sum(message["gold_id"] is not None for message in each.labelled.messages)
        wrong = answered.count(False) / len(answered) if answered else 0.0
        shares = (wrong, sum(answered) / answerable, sum(hindsight) / answerable)
        yield [each.name, by, f"{threshold:.3f}", *(f"{100 * share:.1f}" for share in shares)]


def _closeness(searched: Collected) -> list[float]:
    return [example.found.closeness for example in searched.examples()]


def _relative(searched: Collected) -> list[float]:
    """How far the best hit is above the mean of the next four."""
    scores = [[hit.score for hit in hits] for hits in searched.hits if hits]
    return [best - sum(rest) / len(rest) if rest else 0.0 for best, *rest in scores]


MEASURES = {"closeness": _closeness, "cosine": cosines, "cosine above the next four": _relative}


def labels_of(searched: Collected) -> Row:
    """Fit with 200 labels, drawn ten times, and score on the rest each time."""
    wrong, resolved, certified = [], [], 0
    for seed in range(SEEDS):
        count = min(LABELS, len(searched.hits) // 2)
        places = random.Random(seed).sample(range(len(searched.hits)), count)
        start = default_calibration(MAX_WRONG, floor=searched.floor, is_titled_passages=searched.is_titled)
        report = settle(start, searched.own, searched.examples(places), max_wrong=MAX_WRONG)
        scored = searched.score(report.calibration, without=frozenset(places))
        wrong.append(scored["wrong"])
        resolved.append(scored["resolved"])
        certified += report.is_certified
    over = sum(rate > MAX_WRONG for rate in wrong)
    spread = [
        f"{100 * sum(each) / SEEDS:.1f} ({100 * min(each):.1f} to {100 * max(each):.1f})" for each in (wrong, resolved)
    ]
    return [searched.name, *spread, f"{over} of {SEEDS}", f"{certified} of {SEEDS}"]


NUMBERED = 500
ASKED = 100


async def numbers_in_texts(settings: Settings, conninfo: str) -> list[Row]:
    """Ask for the number in the middle of a long text, among many texts that are otherwise alike."""
    answers = [line.answer for line in sample_set().entries]
    numbers = [f"KX{1000 + 13 * place}" for place in range(NUMBERED)]
    texts = [
        f"{answers[place % len(answers)]}(单号{number}){answers[(7 * place + place // 50) % len(answers)]}"
        for place, number in enumerate(numbers)
    ]
    chunks = [Chunk(content=text, question="", answer=text, entry_id=text, source="numbers") for text in texts]
    variants = SEARCHES | {"no cost for missing words": without_coverage}
    del variants["no wording bonus in the ranking"]
    rows: list[Row] = []
    embedder = make_embedder(settings.kb)
    async with scratch_schema(conninfo) as scratch, open_pool(scratch, size=4) as pool:
        await import_articles(pool, embedder, chunks)
        async with open_vector_index(pool, scratch, embedder) as index:
            retriever = PgRetriever(index, embedder, LexicalIndex(pool))
            for name, variant in variants.items():
                with variant():
                    found = [await retriever.search(f"{number}怎么样了", limit=3) for number in numbers[:ASKED]]
                ranked = [[number in hit.content for hit in hits] for number, hits in zip(numbers, found, strict=False)]
                first, among = sum(hits[0] for hits in ranked), sum(any(hits) for hits in ranked)
                rows.append([name, f"{100 * first / ASKED:.0f}", f"{100 * among / ASKED:.0f}"])
    note("numbers in long texts searched")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="these sets of EVAL_DIR")
    options = parser.parse_args()
    sets = [sample_set(), *other_sets(set(options.only))]

    async def command(settings: Settings, conninfo: str) -> list[dict[str, Collected]]:
        return [await search_all(settings, conninfo, labelled) for labelled in sets]

    found = run_with_database(command)
    numbers = run_with_database(numbers_in_texts)
    write = sys.stdout.write
    write(markdown(["set", "left out", *FIGURES], [row for variants in found for row in rows_of(variants)]) + "\n\n")
    write(markdown(["a number in a long text, left out", "found first", "among three"], numbers) + "\n\n")
    searched = [variants["everything"] for variants in found]
    questions = [each for each in searched if not each.is_titled]
    if len(questions) > 1:
        heads = ["set", "threshold on the", "chosen on the others", "wrong", "resolved", "hindsight"]
        rows = [row for by in MEASURES for row in transfer(questions, by=by)]
        write(markdown(heads, rows) + "\n\n")
    heads = ["set", "wrong with 200 labels", "resolved", f"over {MAX_WRONG:.0%}", "certified"]
    write(markdown(heads, [labels_of(each) for each in searched]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
