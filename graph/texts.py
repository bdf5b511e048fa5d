"""The bot's texts, from the prompt files."""

from __future__ import annotations

from collections.abc import Mapping

from prompts.loader import Prompt, load
from prompts.mood import MoodLexicon
from prompts.small_talk import SmallTalk
from tools.messages import Mood


class PromptTexts:
    """`graph.context.Texts` over the files in `prompts/`, and over those that an account has of its own."""

    def __init__(self, own: Mapping[str, Prompt] | None = None) -> None:
        self._own = own or {}
        self._small_talk = SmallTalk()
        self._moods = MoodLexicon()

    def render(self, name: str, /, **values: str) -> str:
        """Fill the named prompt.

        Raises:
            PromptError: the prompt is unknown, or a value is missing or unexpected.
        """
        return (self._own.get(name) or load(name)).render(**values)

    def small_talk_reply(self, text: str) -> str | None:
        """Return the friendly fixed reply to small talk, None for anything else."""
        return self._small_talk.reply_to(text)

    def wants_human(self, text: str) -> bool:
        """Tell whether the customer asks for a person."""
        return self._small_talk.wants_human(text)

    def strip_pleasantries(self, text: str) -> str:
        """Drop greetings around a question."""
        return self._small_talk.strip_pleasantries(text)

    def is_wordless(self, text: str) -> bool:
        """Tell whether a message is nothing but emoji and punctuation."""
        return self._small_talk.is_wordless(text)

    def mood_of(self, text: str) -> Mood:
        """Tell how a turn sounds."""
        return self._moods.mood_of(text)
