"""What decides who is let in, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from api.api_tokens import ApiTokens
from api.callback_addresses import CallbackAddresses
from api.console.passwords import Passwords
from api.console.sessions import Console
from api.console.users import ConsoleUsers
from api.lifespan import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """One for each kind of caller."""

    tokens: ApiTokens
    callback_addresses: CallbackAddresses
    console: Console


async def open_gates(services: Services) -> Gates:
    """Make them, and the console's user of CONSOLE_PASSWORD what the settings say."""
    passwords = Passwords()
    await ConsoleUsers(pool=services.pool, passwords=passwords).sync_admin(services.settings.access.console_password)
    return Gates(
        tokens=ApiTokens(services.pool),
        callback_addresses=CallbackAddresses(services.pool, services.settings.wecom, redis=services.redis),
        console=Console(services.pool, passwords),
    )
