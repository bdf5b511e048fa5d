"""The service's processes: started, started again whenever one ends, killed, and stopped by pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from api.settings import variable_names

READY_SECONDS = 60
STOP_SECONDS = 30
RESTART_SECONDS = 1.0
"""Pause before a process that ended by itself is started again, as a service manager would."""


@dataclass(slots=True, kw_only=True)
class Member:
    """One place in the fleet; a new process takes it when the old one is gone."""

    name: str
    arguments: tuple[str, ...]
    process: asyncio.subprocess.Process | None = None
    was_killed: bool = False


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Every process of the service."""

    environment: Mapping[str, str]
    folder: Path
    members: list[Member] = field(default_factory=list)
    kills: int = 0
    own_exits: int = 0
    """How often a process ended although nobody killed it."""
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        """Where everything the processes say goes."""
        return self.folder / "service.log"

    async def run(self, *arguments: str) -> None:
        """Run `kefu ARGUMENTS` to its end.

        Raises:
            RuntimeError: it failed.
        """
        process = await self._start(arguments)
        try:
            code = await process.wait()
        finally:
            await _end(process)
        if code != 0:
            raise RuntimeError(f"`kefu {' '.join(arguments)}` failed:\n{self.log.read_text()[-2000:]}")

    def keep(self, name: str, *arguments: str) -> None:
        """Keep `kefu ARGUMENTS` running from now on."""
        member = Member(name=name, arguments=arguments)
        self.members.append(member)
        self._keepers.append(asyncio.create_task(self._keep(member), name=name))

    async def until_ready(self, urls: list[str]) -> None:
        """Wait until every HTTP process says so.

        Raises:
            RuntimeError: one did not in time.
        """
        waiting = set(urls)
        async with httpx.AsyncClient(trust_env=False) as client:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_SECONDS):
                    while waiting:
                        for url in sorted(waiting):
                            with contextlib.suppress(httpx.TransportError):
                                if (await client.get(f"{url}/ready")).status_code == httpx.codes.OK:
                                    waiting.discard(url)
                        await asyncio.sleep(0.1)
        if waiting:
            raise RuntimeError(
                f"the service did not become ready in {READY_SECONDS} s:\n{self.log.read_text()[-2000:]}"
            )

    def kill_one(self, chance: random.Random) -> str | None:
        """Kill -9 a random process; returns its name, None when none runs right now."""
        running = [each for each in self.members if each.process is not None and each.process.returncode is None]
        if not running:
            return None
        victim = chance.choice(running)
        assert victim.process is not None
        victim.was_killed = True
        with contextlib.suppress(ProcessLookupError):
            victim.process.kill()
        self.kills += 1
        return victim.name

    async def stop(self) -> None:
        """End everything, politely first."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers.clear()

    async def _keep(self, member: Member) -> None:
        try:
            while True:
                member.was_killed = False
                member.process = await self._start(member.arguments)
                await member.process.wait()
                if not member.was_killed:
                    self.own_exits += 1
                    await asyncio.sleep(RESTART_SECONDS)
        finally:
            if member.process is not None:
                await _end(member.process)

    async def _start(self, arguments: tuple[str, ...]) -> asyncio.subprocess.Process:
        # The operator's own settings, real accounts among them, must not reach the run.
        inherited = {name: value for name, value in os.environ.items() if name not in set(variable_names())}
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "api.cli",
                *arguments,
                cwd=self.folder,
                env={**inherited, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C goes to the run alone, which then ends them in order.
                start_new_session=True,
            )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
