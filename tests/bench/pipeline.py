"""The whole service without a model, against the bare graph: messages per second, latency, memory."""

from __future__ import annotations

import itertools
import statistics
from importlib import resources
from pathlib import Path
from typing import Any

from figures import MEGABYTE, quantile, verdict
from lines import Part, part
from rich.table import Table
from service import Service, fill, make_database, serve, wecom_environment
from sizes import Size

from kb.readers import read_articles


def questions() -> list[str]:
    """Every wording of the sample's questions, once."""
    with resources.as_file(resources.files("kb") / "documents" / "sample.md") as sample:
        return list(dict.fromkeys(chunk.question for chunk in read_articles([sample]).chunks))


async def pipeline(server_uri: str, folder: Path, size: Size) -> dict[str, Any]:
    """Messages per second, latency and memory of the whole service, without a model."""
    environment = wecom_environment() | {"KB_DB_URL": make_database(server_uri, "pipeline")}
    await fill(environment, folder)
    bare_uri = make_database(server_uri, "bare_graph", template="pipeline")
    async with (
        part("customers.py", **environment) as customers,
        part("bare_graph.py", **environment | {"KB_DB_URL": bare_uri}) as bare,
    ):
        api_base = (await customers.ask(do="set_up", callback_url=""))["api_base"]
        environment["WECOM_API_BASE"] = api_base
        async with serve(environment=environment, folder=folder) as service:
            await customers.ask(do="set_up", callback_url=f"http://127.0.0.1:{service.port}/wecom/callback")
            result = await _waves(customers, bare, size)
            result["reply_ms"] = await _singles(customers, size)
            result["memory"] = await _memory(customers, service, size)
            return result


async def _waves(customers: Part, bare: Part, size: Size) -> dict[str, Any]:
    texts = questions()[: size.wave]
    who = [f"wmWave{number:05d}" for number in range(len(texts))]
    warm = {"texts": ["你好"] * 20, "customers": [f"wmWarm{number:03d}" for number in range(20)]}
    await customers.ask(do="wave", **warm)
    await bare.ask(**warm)
    waves = []
    for _ in range(size.waves):
        ours = (await customers.ask(do="wave", texts=texts, customers=who))["seconds"]
        floor = (await bare.ask(texts=texts, customers=who))["seconds"]
        waves.append({"ours": len(texts) / ours, "bare": len(texts) / floor, "ratio": floor / ours})
    # The first wave embeds every question, the others find the vectors in the cache.
    known = waves[1:]
    return {
        "new_questions": waves[0],
        "known_questions": {name: statistics.median(wave[name] for wave in known) for name in known[0]},
    }


async def _singles(customers: Part, size: Size) -> dict[str, float]:
    texts = list(itertools.islice(itertools.cycle(reversed(questions())), size.singles))
    who = [f"wmSingle{number:03d}" for number in range(size.singles)]
    took = (await customers.ask(do="one_by_one", texts=texts, customers=who))["took"]
    return {"p50": quantile(took, 0.5) * 1000, "p95": quantile(took, 0.95) * 1000}


async def _memory(customers: Part, service: Service, size: Size) -> dict[str, float]:
    texts, batch = questions()[:100], 250
    memory = {"0": service.memory / MEGABYTE}
    done = 0
    for goal in size.conversations:
        while done < goal:
            who = [f"wmMemory{number:06d}" for number in range(done, min(done + batch, goal))]
            asked = list(itertools.islice(itertools.cycle(texts), len(who)))
            await customers.ask(do="wave", texts=asked, customers=who)
            done += len(who)
        memory[str(goal)] = service.memory / MEGABYTE
    return memory


def show(result: dict[str, Any], table: Table) -> None:
    """Add the rows of this part."""
    for name in ("new_questions", "known_questions"):
        row = result[name]
        goal = f"≥ 0.5: {verdict(is_met=row['ratio'] >= 0.5)}"
        what = f"messages/s, pipeline, {name.replace('_', ' ')}"
        table.add_row(what, f"{row['ours']:.1f}", f"{row['bare']:.1f}", f"{row['ratio']:.2f}", goal)
    reply = result["reply_ms"]
    table.add_row("callback to reply, one at a time", f"p50 {reply['p50']:.0f} ms, p95 {reply['p95']:.0f} ms")
    for count, megabytes in result["memory"].items():
        table.add_row(f"memory after {int(count):,} conversations", f"{megabytes:.0f} MB")
