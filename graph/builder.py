"""The wiring: the only place with nodes and edges."""

from __future__ import annotations

from functools import partial

from langgraph.graph import START, StateGraph

from graph import edges
from graph.context import Context, Ports
from graph.nodes.answer import answer
from graph.nodes.clarify import clarify
from graph.nodes.escalate import escalate
from graph.nodes.grade_confidence import grade_confidence
from graph.nodes.human_resume import human_resume
from graph.nodes.intake import intake
from graph.nodes.read import read
from graph.nodes.relay import relay
from graph.nodes.remember import remember
from graph.nodes.retrieve import retrieve
from graph.nodes.small_talk import small_talk
from graph.state import InputState, State

Builder = StateGraph[State, Context, InputState, State]


def build(ports: Ports) -> Builder:
    """Bind the ports and wire the conversation graph; the caller compiles it with its checkpointer."""
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=InputState)
    outbox, texts, can_read = ports.outbox, ports.texts, ports.reader is not None
    builder.add_node("intake", partial(intake, texts=texts))
    builder.add_node("relay", partial(relay, outbox=outbox))
    builder.add_node("small_talk", partial(small_talk, outbox=outbox, texts=texts))
    builder.add_node("retrieve", partial(retrieve, retriever=ports.retriever))
    builder.add_node("grade_confidence", partial(grade_confidence, grader=ports.grader, can_read=can_read))
    builder.add_node("read", partial(read, reader=ports.reader, grader=ports.grader))
    builder.add_node("answer", partial(answer, outbox=outbox))
    builder.add_node("clarify", partial(clarify, outbox=outbox, texts=texts))
    builder.add_node("escalate", partial(escalate, outbox=outbox, texts=texts, hours=ports.hours))
    builder.add_node("human_resume", partial(human_resume, outbox=outbox, texts=texts))
    builder.add_node("remember", partial(remember, summariser=ports.summariser))

    builder.add_edge(START, "intake")
    builder.add_conditional_edges("intake", edges.route_after_intake)
    builder.add_edge("retrieve", "grade_confidence")
    builder.add_conditional_edges("grade_confidence", edges.route_after_grade_confidence)
    builder.add_conditional_edges("read", edges.route_after_read)
    builder.add_conditional_edges("answer", edges.route_after_answer)
    builder.add_conditional_edges("escalate", edges.route_after_escalate)
    builder.add_conditional_edges("human_resume", edges.route_after_human_resume)
    return builder


def build_assistant(ports: Ports) -> Builder:
    """Wire what the bot may do while a person has the conversation: look up and decide, and say nothing."""
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=State)
    builder.add_node("intake", partial(intake, texts=ports.texts))
    builder.add_node("retrieve", partial(retrieve, retriever=ports.retriever))
    can_read = ports.reader is not None
    builder.add_node("grade_confidence", partial(grade_confidence, grader=ports.grader, can_read=can_read))
    builder.add_node("read", partial(read, reader=ports.reader, grader=ports.grader))

    builder.add_edge(START, "intake")
    builder.add_conditional_edges("intake", edges.route_beside_a_person)
    builder.add_edge("retrieve", "grade_confidence")
    builder.add_conditional_edges("grade_confidence", edges.route_to_reading)
    return builder
