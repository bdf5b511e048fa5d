"""What a friend is called, and what they are told, by the operator's texts."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from string import Formatter
from typing import Protocol

from prompts.welcomes import welcome_prompt
from tools.errors import ChannelError
from tools.wecom.contacts import REMARK_CHARACTERS, WELCOME_BYTES
from tools.wecom.splitting import split_text

NAME_SECONDS = 2
"""How long a name may take: the code of a welcome lives 20 seconds."""


class NameSource(Protocol):
    """What knows a friend's name: `tools.wecom.contacts.WecomContacts`."""

    async def name_of(self, external_userid: str) -> str:
        """Return how a friend calls themselves."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names, asked for where a text wants one and never kept."""

    source: NameSource

    async def of(self, customer_id: str) -> str:
        """Return a friend's name; empty when WeCom does not tell in time, as of half friends."""
        with contextlib.suppress(ChannelError, TimeoutError):
            async with asyncio.timeout(NAME_SECONDS):
                return await self.source.name_of(customer_id)
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendWelcome:
    """The text of a welcome."""

    names: Names
    company: str

    async def __call__(self, *, customer_id: str, staff_id: str, source: str) -> str:
        """Return what a new friend is told."""
        prompt = welcome_prompt("welcome", source=source)
        name = await self.names.of(customer_id) if "customer_name" in prompt.placeholders else ""
        text = prompt.render(source=source, customer_name=name, staff=staff_id, company=self.company)
        return split_text(text, WELCOME_BYTES)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """The template of a remark, checked when the settings were."""

    names: Names
    template: str

    async def __call__(self, *, customer_id: str, staff_id: str, source: str) -> str:
        """Return what the staff see as the friend's name; without a part that is unknown, its separators go too."""
        values = {"source": source, "staff": staff_id, "customer_name": ""}
        fields = {field for _, field, _, _ in Formatter().parse(self.template) if field}
        if "customer_name" in fields:
            values["customer_name"] = await self.names.of(customer_id)
        text = self.template.format(**{field: values[field] for field in fields})
        return text.strip(" -_·|/")[:REMARK_CHARACTERS]
