"""What a person is shown of what was found."""

from __future__ import annotations

from typing import Any

from tools.messages import Candidate


async def test_the_entries_that_came_closest_are_on_the_card(bench: Any) -> None:
    hits = [bench.knowledge.hit(f"问{number}", f"答{number}", 0.4 - number / 10) for number in range(4)]
    bench.knowledge.resembles("能刻字吗?", *hits, shortlist=0.1)
    await bench.customer("能刻字吗?")
    assert bench.ticket.hits == tuple(
        Candidate(entry_id=hit.entry_id, question=hit.question, score=hit.score) for hit in hits[:3]
    )


async def test_with_nothing_found_the_card_names_no_entries(bench: Any) -> None:
    await bench.customer("能刻字吗?")
    assert bench.ticket.hits == ()
