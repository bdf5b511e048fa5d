"""What a check of `kefu doctor` is, and how checks are run: side by side, each within its time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg

from api.errors import ApiError
from kb.errors import KbError
from tools.errors import ToolError

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""How long a check may take unless it says otherwise."""

Status = Literal["ok", "failed", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found; `off` is nothing to check, or no way to."""

    check: str
    status: Status
    detail: str
    mend: str = ""
    """What to do about it; only for what failed."""


class TroubleError(ApiError):
    """A check failed; says why and how to mend it."""

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(f"{cause}; {mend}")
        self.cause = cause
        self.mend = mend


class OffError(ApiError):
    """There is nothing to check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to look at."""

    name: str
    run: Callable[[], Awaitable[str]]
    """Returns what it found in order; raises what is wrong."""
    hint: str
    """How to mend what the error itself does not say, silence above all."""
    needs: str = ""
    """The check that must be in order first."""
    seconds: float = SECONDS


async def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks and return their findings in the same order; never fails."""
    running: dict[str, asyncio.Task[Finding]] = {}

    async def run(check: Check) -> Finding:
        if check.needs:
            first = await running[check.needs]
            if first.status == "failed":
                return Finding(check=check.name, status="off", detail=f"not checked: see {check.needs!r}")
            if first.status == "off":
                return Finding(check=check.name, status="off", detail=f"off: see {check.needs!r}")
        return await _finding(check)

    for check in checks:
        running[check.name] = asyncio.create_task(run(check), name=check.name)
    return list(await asyncio.gather(*running.values()))


async def _finding(check: Check) -> Finding:
    try:
        async with asyncio.timeout(check.seconds):
            return Finding(check=check.name, status="ok", detail=await check.run())
    except OffError as nothing:
        return Finding(check=check.name, status="off", detail=str(nothing))
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return Finding(check=check.name, status="off", detail="its table is not made yet: see 'migrations'")
    except TroubleError as trouble:
        cause, mend = trouble.cause, trouble.mend
    except TimeoutError:
        cause, mend = f"no answer within {check.seconds:g} s", check.hint
    except (ApiError, KbError, ToolError) as error:
        cause, mend = split_mend(str(error))
    except Exception as error:
        logger.debug("Check failed", extra={"action": "doctor_failed", "check": check.name}, exc_info=True)
        cause, mend = f"failed with {type(error).__name__}", ""
    return Finding(check=check.name, status="failed", detail=cause, mend=mend or check.hint)


def split_mend(text: str) -> tuple[str, str]:
    """Part an error's line into what is wrong and how to mend it; the latter is empty when it does not say."""
    for separator in (" — ", "; "):
        cause, found, mend = text.rpartition(separator)
        if found:
            return cause, mend
    return text, ""
