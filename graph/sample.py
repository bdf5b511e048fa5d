"""Ports over the sample knowledge, all in memory: Studio and `kefu chat` without a database."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from graph.context import Ports
from graph.reader import ModelReader
from graph.summary import ModelSummariser
from graph.texts import PromptTexts
from kb.chunks import Chunk
from kb.confidence import CalibratedGrader, default_calibration
from kb.embeddings import make_embedder
from kb.masking import Mask
from kb.memory import MemoryRetriever
from kb.settings import KbSettings
from kb.splitter import split_markdown
from prompts.rule_book import RuleBook
from tools.chat_model import make_chat_model
from tools.memory import MemoryOutbox
from tools.settings import ModelSettings

SAMPLE = "sample.md"


def sample_chunks() -> Sequence[Chunk]:
    """Read the sample articles that ship with kefu."""
    text = (resources.files("kb") / "documents" / SAMPLE).read_text(encoding="utf-8")
    return split_markdown(text, source=SAMPLE)


def sample_ports(outbox: MemoryOutbox | None = None) -> Ports:
    """Build the ports; the sample is read and embedded at the first question."""
    settings = KbSettings()
    embedder = make_embedder(settings)
    model = make_chat_model(ModelSettings(), Mask)
    return Ports(
        retriever=MemoryRetriever(sample_chunks, embedder),
        grader=CalibratedGrader(default_calibration(settings.max_wrong_answer_rate)),
        outbox=outbox or MemoryOutbox(),
        texts=PromptTexts(),
        reader=ModelReader(model, model_id=model.model_name) if model else None,
        summariser=ModelSummariser(model) if model else None,
        rules=RuleBook(),
    )
