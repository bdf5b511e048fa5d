"""How long a job that failed waits before it is tried again."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.jobs import Job

from api.errors import BusyError
from kb.errors import KbError
from tools.errors import ToolError

logger = logging.getLogger(__name__)

JITTER = 0.25
"""How much longer than planned a wait may be, as a share: never shorter, the vendor may have named it."""


class Backoff(BaseRetryStrategy):
    """Wait 1, 2, 4 … seconds, or as long as the vendor asked to; rows bound the attempts, not jobs.

    A part of each wait is left to chance, so that what failed together does not come back together. It also tells the
    log: the queue itself would print the job's arguments, tokens among them.
    """

    def __init__(self, longest: int = 60, chance: Callable[[], float] = random.random) -> None:
        self._longest = longest
        self._chance = chance

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision:
        """Decide when to try again."""
        is_known = isinstance(exception, ToolError | KbError | BusyError)
        logger.warning(
            "Job failed, trying it again",
            extra={"action": "job_retried", "task": job.task_name, "job_id": job.id, "error": _words(exception)},
            exc_info=None if is_known else exception,
        )
        asked = getattr(exception, "retry_after", None)
        seconds = asked if asked is not None else min(2 ** min(job.attempts, 6), self._longest)
        milliseconds = 1000 * max(1, seconds) * (1 + JITTER * self._chance())
        return RetryDecision(retry_in={"milliseconds": int(milliseconds)})


def _words(exception: BaseException) -> str:
    is_ours = isinstance(exception, ToolError | KbError | BusyError)
    return str(exception) if is_ours else type(exception).__name__
