"""The errors of knowledge.

KbError
├── DocumentError
├── EmbeddingMismatchError
└── IndexUnavailableError   (transient)
"""

from __future__ import annotations


class KbError(Exception):
    """Something about the knowledge base went wrong; the message says what and how to mend it."""

    transient = False


class DocumentError(KbError):
    """A document cannot be imported."""


class EmbeddingMismatchError(KbError):
    """The stored vectors were made by another model; mixing them would make every score meaningless."""


class IndexUnavailableError(KbError):
    """The store or the embedding service does not answer."""

    transient = True
