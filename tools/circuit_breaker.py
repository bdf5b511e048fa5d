"""When to stop asking something that does not answer, and when to try it again.

Written here because the libraries do not fit: the maintained asyncio ones let every waiting caller through after the
pause, where one probe is wanted, and read the wall clock, which no test can turn.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)


class CircuitBreaker:
    """Counts failures in a row; after `failures` of them nothing is asked for `pause_seconds`, then once.

    Closed: every caller may ask. Open: nobody, until the pause is over. Half-open: one caller probes; its success
    closes the circuit, its failure opens it for another pause. A probe that never reports is replaced after a pause.
    """

    def __init__(
        self, name: str, *, failures: int, pause_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._limit = failures
        self._pause = pause_seconds
        self._clock = clock
        self._failures = 0
        self._is_closed = True
        self._next_probe_at = 0.0

    def allow(self) -> bool:
        """Tell whether to ask now; who is told so reports the outcome."""
        if self._is_closed:
            return True
        now = self._clock()
        if now < self._next_probe_at:
            return False
        # Moved before the outcome is known: whoever asks meanwhile is no second probe.
        self._next_probe_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """Report that it answered."""
        self._failures = 0
        if not self._is_closed:
            self._is_closed = True
            logger.info("Asked again as usual", extra={"action": "circuit_closed", "dependency": self._name})

    def failed(self) -> None:
        """Report that it did not answer."""
        self._failures += 1
        if self._failures < self._limit:
            return
        self._next_probe_at = self._clock() + self._pause
        if self._is_closed:
            self._is_closed = False
            logger.warning(
                "Not asked for a while",
                extra={"action": "circuit_opened", "dependency": self._name, "seconds": self._pause},
            )
