"""The error of prompts."""

from __future__ import annotations


class PromptError(Exception):
    """A text is missing, malformed, or filled in wrongly; the message says which and how to mend it."""
