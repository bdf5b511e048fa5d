"""What customers and staff do about friendships in the WeCom simulator."""

from __future__ import annotations

from typing import Literal

from tools.simulators.wecom_contact_ways import Way
from tools.simulators.wecom_people import People

Told = Literal["half, full", "full, half", "full", "half"]
"""Which callbacks a friendship begins with; nobody tells which of them a way without verification causes."""

HALF, FULL = "add_half_external_contact", "add_external_contact"


class FriendlyPeople(People):
    """People who add each other as friends."""

    async def scans(
        self,
        way: Way | str,
        customer: str,
        *,
        told: Told = "half",
        user: str | None = None,
        with_codes: bool = True,
        notify: bool = True,
    ) -> str:
        """Let a customer scan a way's QR code; returns the welcome code.

        Of several members the one named, else the first, gets the friend. Only the first callback carries the code.
        """
        chosen = self.contacts.ways.ways[way] if isinstance(way, str) else way
        return await self.befriends(
            customer, user or chosen.users[0], state=chosen.state, told=told, with_codes=with_codes, notify=notify
        )

    async def befriends(
        self,
        customer: str,
        user: str,
        *,
        state: str = "",
        told: Told = "full",
        with_codes: bool = True,
        notify: bool = True,
    ) -> str:
        """Let a customer and a member become friends; returns the welcome code."""
        changes = [{"half": HALF, "full": FULL}[each] for each in told.split(", ")]
        code = self.contacts.add(customer, user, state=state, is_half=FULL not in changes)
        for number, change in enumerate(changes):
            details = {"State": state} if state else {}
            if with_codes and number == 0:
                details["WelcomeCode"] = code
            await self._contact_event(change, customer, user, details, notify=notify)
        return code

    async def staff_confirms(self, customer: str, user: str, *, state: str = "", notify: bool = True) -> None:
        """Let the member add a half friend back."""
        self.contacts.friendships[user, customer].is_half = False
        await self._contact_event(FULL, customer, user, {"State": state} if state else {}, notify=notify)

    async def customer_deletes_staff(self, customer: str, user: str, *, notify: bool = True) -> None:
        """Let a customer delete a member."""
        del self.contacts.friendships[user, customer]
        await self._contact_event("del_follow_user", customer, user, {}, notify=notify)

    async def staff_deletes(self, customer: str, user: str, *, is_transfer: bool = False, notify: bool = True) -> None:
        """Let a member delete a customer, or lose them to a colleague."""
        del self.contacts.friendships[user, customer]
        details = {"Source": "DELETE_BY_TRANSFER"} if is_transfer else {}
        await self._contact_event("del_external_contact", customer, user, details, notify=notify)

    async def contact_change(self, change: str, customer: str, user: str, **details: str) -> None:
        """Send a callback about a friend as given, whether it makes sense or not."""
        await self._contact_event(change, customer, user, details, notify=True)
