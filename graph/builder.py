"""The wiring: the only place with nodes and edges."""

from __future__ import annotations

from functools import partial

from langgraph.graph import START, StateGraph

from graph import edges
from graph.context import Context, Ports
from graph.judge import Judge
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
from graph.nodes.summarise import summarise
from graph.state import InputState, State

Builder = StateGraph[State, Context, InputState, State]


def build(ports: Ports) -> Builder:
    """Bind the ports and wire the conversation graph; the caller compiles it with its checkpointer."""
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=InputState)
    outbox, texts, can_read = ports.outbox, ports.texts, ports.reader is not None
    judge = Judge(rules=ports.rules, hours=ports.hours)
    reading = partial(read, reader=ports.reader, grader=ports.grader, judge=judge, profiles=ports.profiles)
    builder.add_node("intake", partial(intake, texts=texts, judge=judge))
    builder.add_node("relay", partial(relay, outbox=outbox))
    builder.add_node("small_talk", partial(small_talk, outbox=outbox, texts=texts))
    builder.add_node("retrieve", partial(retrieve, retriever=ports.retriever))
    builder.add_node("grade_confidence", partial(grade_confidence, grader=ports.grader, judge=judge, can_read=can_read))
    builder.add_node("read", reading)
    builder.add_node("answer", partial(answer, outbox=outbox))
    builder.add_node("clarify", partial(clarify, outbox=outbox, texts=texts))
    builder.add_node("escalate", partial(escalate, ports=ports))
    builder.add_node("human_resume", partial(human_resume, outbox=outbox, texts=texts))
    builder.add_node("remember", partial(remember, summariser=ports.summariser))
    builder.add_node("summarise", partial(summarise, summariser=ports.summariser))

    builder.add_edge(START, "intake")
    builder.add_conditional_edges("intake", edges.route_after_intake)
    builder.add_edge("retrieve", "grade_confidence")
    builder.add_conditional_edges("grade_confidence", edges.route_after_grade_confidence)
    builder.add_conditional_edges("read", edges.route_after_read)
    builder.add_conditional_edges("answer", edges.route_after_answer)
    builder.add_conditional_edges("escalate", edges.route_after_escalate)
    builder.add_conditional_edges("human_resume", edges.route_after_human_resume)
    for last in ("clarify", "small_talk", "remember"):
        builder.add_conditional_edges(last, edges.route_to_the_end)
    return builder


def build_assistant(ports: Ports) -> Builder:
    """Wire what the bot may do while a person has the conversation: look up and decide, and say nothing."""
    builder: Builder = StateGraph(State, context_schema=Context, input_schema=State)
    judge = Judge(rules=ports.rules, hours=ports.hours)
    reading = partial(read, reader=ports.reader, grader=ports.grader, judge=judge, profiles=ports.profiles)
    builder.add_node("intake", partial(intake, texts=ports.texts, judge=judge))
    builder.add_node("retrieve", partial(retrieve, retriever=ports.retriever))
    can_read = ports.reader is not None
    builder.add_node("grade_confidence", partial(grade_confidence, grader=ports.grader, judge=judge, can_read=can_read))
    builder.add_node("read", reading)

    builder.add_edge(START, "intake")
    builder.add_conditional_edges("intake", edges.route_beside_a_person)
    builder.add_edge("retrieve", "grade_confidence")
    builder.add_conditional_edges("grade_confidence", edges.route_to_reading)
    return builder
