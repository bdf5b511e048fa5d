"""What a campaign says: its text filled in for one customer, or for all customers of a member of staff."""

from __future__ import annotations

from prompts.consent import tells_how_to_refuse
from prompts.errors import PromptError
from prompts.loader import Prompt, load, parse_text, problems_of

NAME_CHARACTERS = 20
"""Of a customer's name that are said: whoever calls themselves a novel must not cost the text its end."""

TEXT_BYTES = 2048
"""One message of 微信客服 (doc 94677); a campaign is one message."""


def check_text(text: str, *, company: str) -> str:
    """Return what is wrong with a campaign's text, empty when nothing."""
    try:
        prompt = _prompt(text)
    except PromptError as error:
        return str(error)
    if problems := problems_of(prompt, "the text"):
        return problems[0]
    longest = text_for(text, name="\U0001f600" * NAME_CHARACTERS, company=company)
    if (size := len(longest.encode())) > TEXT_BYTES:
        return f"the text: with a name and the company it may become {size} bytes, at most {TEXT_BYTES} can be sent"
    if not text_for_staff(text, company=company):
        return "the text: is empty without the customer's name; staff send it without"
    return ""


def wants_name(text: str) -> bool:
    """Tell whether the text says the customer's name."""
    return "customer_name" in _prompt(text).placeholders


def text_for(text: str, *, name: str, company: str) -> str:
    """Return what one customer is told, with how to refuse such messages."""
    said = _prompt(text).render(customer_name=name[:NAME_CHARACTERS], company=company).strip()
    return said if tells_how_to_refuse(said) else f"{said}\n{load('outreach_tail').render()}"


def text_for_staff(text: str, *, company: str) -> str:
    """Return what a member of staff sends to all their customers: one text, so no names.

    Nor does it say how to refuse: what is written to a member of staff does not come here.
    """
    return _prompt(text).render(customer_name="", company=company).strip()


def _prompt(text: str) -> Prompt:
    return parse_text("outreach", "the text", text)
