"""Look up what the knowledge base has on each question."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from langgraph.runtime import Runtime

from graph.context import Context, context_of
from graph.state import Question, State
from kb.chunks import GRADED_HITS
from kb.ports import Retriever


async def retrieve(state: State, runtime: Runtime[Context], *, retriever: Retriever) -> State:
    """Search for every reading of every question that is not settled by a choice."""
    limit = max(context_of(runtime).top_k, GRADED_HITS)

    async def search(question: Question) -> Question:
        if "decision" in question:
            return question
        results = [await retriever.search(query, limit=limit) for query in question["queries"]]
        return {**question, "found": [[asdict(hit) for hit in hits] for hits in results]}

    return {"questions": list(await asyncio.gather(*map(search, state["questions"])))}
