"""Everything that goes wrong on purpose while customers write."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from stage import Stage

PAGE_SIZES = (2, 3, 7, 50, 1000)
EMPTY_PAGES = (0, 0, 2, 3, 5)
DOWN_SECONDS = (0.5, 3.0)
"""How long PostgreSQL stays away."""
RESTART_MODES = ("fast", "immediate")
LAST_CALLBACK_FAULTS = 0.75
"""From this part of the traffic on callbacks arrive: only the pull of every minute makes good for the very last."""
CALLS = {"send": "kf/send_msg", "pull": "kf/sync_msg", "desk": ""}
CALLS_BETWEEN = 2
"""Calls of an API between two faults planned for it, so that no single message meets faults only."""


@dataclass(slots=True, kw_only=True)
class Saboteur:
    """Kills processes, restarts the database, and plans vendor faults; counts what it did."""

    stage: Stage
    chance: random.Random
    seconds: float
    """How long the traffic is meant to take."""
    kill_every: float
    fault_every: float
    restarts: int
    progress: Callable[[], float]
    """How much of the traffic is done, 0..1."""
    counts: Counter[str] = field(default_factory=Counter)
    next_at: Counter[str] = field(default_factory=Counter)
    """How many calls an API must have seen before the next fault is planned for it."""
    db_restarts: int = 0

    async def run(self) -> None:
        """Sabotage until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kill())
            group.create_task(self._restart_database())
            group.create_task(self._break_vendors())

    async def _kill(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.kill_every)
            if self.progress() < 1:
                self.stage.fleet.kill_one(self.chance)

    async def _restart_database(self) -> None:
        database = self.stage.database
        for number in range(self.restarts):
            await asyncio.sleep(self.seconds / (self.restarts + 1))
            mode, seconds = RESTART_MODES[number % len(RESTART_MODES)], self.chance.uniform(*DOWN_SECONDS)
            work = asyncio.create_task(asyncio.to_thread(database.restart, mode, seconds))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                # Whoever ends the run stops the database, and that must not meet one that is about to start.
                await work
                raise
            self.db_restarts += 1

    async def _break_vendors(self) -> None:
        faults = self._faults()
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.fault_every)
            name = self.chance.choices(list(faults), [weight for weight, _ in faults.values()])[0]
            if self.progress() < 1 and self._may(name):
                faults[name][1]()
                self.counts[name] += 1

    def _may(self, name: str) -> bool:
        topic = name.split(maxsplit=1)[0]
        if topic.startswith("callback"):
            return self.progress() <= LAST_CALLBACK_FAULTS
        if topic not in CALLS:
            return True
        made = len(self.stage.telegram.calls) if topic == "desk" else self.stage.wecom.calls[CALLS[topic]]
        if made < self.next_at[topic]:
            return False
        self.next_at[topic] = made + CALLS_BETWEEN
        return True

    def _faults(self) -> dict[str, tuple[int, Callable[[], object]]]:
        """Weight and deed of every fault."""
        wecom, telegram, chance = self.stage.wecom, self.stage.telegram, self.chance
        knobs, callbacks = wecom.log.knobs, wecom.callbacks
        return {
            "send accepted, answer lost": (6, lambda: wecom.reset_after_effect("kf/send_msg", times=2)),
            "send -1": (3, lambda: wecom.fail_next("kf/send_msg", -1)),
            "send 45009": (3, lambda: wecom.fail_next("kf/send_msg", 45009)),
            "send 42001": (2, lambda: wecom.fail_next("kf/send_msg", 42001)),
            "send HTTP 502": (1, lambda: wecom.fail_next("kf/send_msg", -1, status=502)),
            "pull answer lost": (2, lambda: wecom.reset_after_effect("kf/sync_msg")),
            "pull -1": (2, lambda: wecom.fail_next("kf/sync_msg", -1)),
            "pull 45009": (1, lambda: wecom.fail_next("kf/sync_msg", 45009)),
            "tokens expired": (1, wecom.tokens.expire),
            "callback dropped": (3, callbacks.drop),
            "callback repeated": (4, callbacks.duplicate),
            "callbacks reordered": (3, lambda: callbacks.reorder(chance.choice((2, 3, 4)))),
            "page size": (2, lambda: setattr(knobs, "page_size", chance.choice(PAGE_SIZES))),
            "empty pages": (2, lambda: setattr(knobs, "empty_page_every", chance.choice(EMPTY_PAGES))),
            "items redelivered": (2, lambda: setattr(knobs, "redeliver", not knobs.redeliver)),
            "desk post 429": (3, lambda: telegram.fail_next("sendMessage", 429, retry_after=chance.choice((1, 2, 3)))),
            "desk topic 429": (2, lambda: telegram.fail_next("createForumTopic", 429, retry_after=1)),
            "desk post 502": (1, lambda: telegram.fail_next("sendMessage", 502)),
        }
