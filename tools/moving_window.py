"""So many calls in any stretch of time, counted in this process."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable


class MovingWindow:
    """Allows each key a number of calls in any stretch of so many seconds.

    The store in memory of the library that counts in Redis looks through every key at every call, each in a thread:
    with some hundred customers that costs more than their answers. This one looks at keys once, when they end.
    """

    def __init__(self, limit: int, *, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._calls: OrderedDict[str, deque[float]] = OrderedDict()
        """When each key was last called, oldest first; the keys in the order of their last calls."""

    def __len__(self) -> int:
        """Count the keys that were called in this stretch."""
        self._forget()
        return len(self._calls)

    def hit(self, key: str) -> bool:
        """Count a call and tell whether it is allowed; what is not allowed does not count."""
        if self.seconds_left(key):
            return False
        self._calls.setdefault(key, deque(maxlen=self._limit)).append(self._clock())
        self._calls.move_to_end(key)
        return True

    def seconds_left(self, key: str) -> float:
        """Return how long until a call of this key is allowed; 0: it is."""
        self._forget()
        calls = self._calls.get(key)
        if calls is None or len(calls) < self._limit:
            return 0.0
        return max(0.0, calls[0] + self._seconds - self._clock())

    def _forget(self) -> None:
        since = self._clock() - self._seconds
        while self._calls:
            key, calls = next(iter(self._calls.items()))
            if calls[-1] > since:
                return
            del self._calls[key]
