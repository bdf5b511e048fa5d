"""The `kefu` command: one small module a command group."""

from __future__ import annotations

import sys

import typer

from api.cli import (
    accuracy,
    audit,
    config,
    console,
    contact_way,
    customers,
    demo,
    doctor,
    encryption,
    kb,
    native,
    outbox,
    outreach,
    prompts,
    retention,
    rules,
    service,
    stats,
    token,
    unknown,
)
from api.errors import ApiError
from kb.errors import KbError
from prompts.errors import PromptError
from tools.errors import ToolError

app = typer.Typer(
    name="kefu",
    help="微信客服机器人: answers from your knowledge base, hands over to a person, loses nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
service.register(app)
demo.register(app)
doctor.register(app)
accuracy.register(app)
stats.register(app)
app.add_typer(service.db, name="db")
app.add_typer(kb.app, name="kb")
app.add_typer(native.app, name="native")
app.add_typer(outbox.app, name="outbox")
app.add_typer(audit.app, name="audit")
app.add_typer(config.app, name="config")
app.add_typer(token.app, name="token")
app.add_typer(console.app, name="console")
app.add_typer(outreach.app, name="outreach")
app.add_typer(prompts.app, name="prompts")
app.add_typer(rules.app, name="rules")
app.add_typer(unknown.app, name="unknown")
app.add_typer(retention.app, name="retention")
app.add_typer(encryption.app, name="encryption")
app.add_typer(customers.app, name="customers")
app.add_typer(contact_way.app, name="contact-way")
app.add_typer(contact_way.links, name="kf-link")


def main() -> None:
    """Run the command; 0 ok, 1 failed with one clear line, 2 bad usage."""
    try:
        app()
    except (ApiError, KbError, PromptError, ToolError) as error:
        sys.exit(f"kefu: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
