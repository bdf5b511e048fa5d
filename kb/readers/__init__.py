"""Reading files: articles in Markdown, Word, PDF and HTML, and tables of questions and answers."""

from __future__ import annotations

from kb.readers.files import SUFFIXES, Articles, read_articles

__all__ = ["SUFFIXES", "Articles", "read_articles"]
