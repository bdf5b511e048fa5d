"""The drawing of the graph, and old checkpoints."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from pathlib import Path

SNAPSHOT = Path(__file__).parent / "graph.mmd"


def test_the_drawing_is_the_one_in_the_documents(bench):
    drawing = bench.graph.get_graph().draw_mermaid(with_styles=False)
    assert drawing == SNAPSHOT.read_text(encoding="utf-8")
    root = Path(__file__).parents[3]
    assert drawing.strip() in (root / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_five_nodes_of_the_design_are_there(bench):
    assert {"retrieve", "grade_confidence", "answer", "escalate", "human_resume"} <= set(bench.graph.nodes)


def test_names_are_ours():
    """Another distribution that ships a package named like ours would win silently; an editable install lists none."""
    owners = packages_distributions()
    for name in ("api", "graph", "kb", "prompts", "tools"):
        assert set(owners.get(name, [])) <= {"kefu-flow"}


def test_studio_gets_the_same_graph(bench):
    from graph.studio import graph

    assert set(graph.nodes) == set(bench.graph.nodes)
