"""The graph for LangGraph Studio: in-memory ports over the sample knowledge, no key and no service needed."""

from graph.builder import build
from graph.sample import sample_ports

graph = build(sample_ports()).compile()
