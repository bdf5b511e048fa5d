"""Access tokens and planned failures: what stands between a request and the rules."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping

from tools.simulators.wecom_outbound import Json, RefusedError


class Tokens:
    """Access tokens: one live token a secret, handed out again while it lives."""

    def __init__(self, *, corp_id: str, secrets: Mapping[str, str], run_id: str, clock: Callable[[], float]) -> None:
        self.expires_in = 7200
        self._corp_id = corp_id
        self._secrets = secrets
        self._run_id = run_id
        self._clock = clock
        self._expiry: dict[str, float] = {}
        self._owner: dict[str, str] = {}
        self._live: dict[str, str] = {}

    def issue(self, query: Json) -> Json:
        """`gettoken`."""
        if query.get("corpid") != self._corp_id:
            raise RefusedError(40013, "invalid corpid")
        secret = str(query.get("corpsecret") or "")
        if secret not in self._secrets.values():
            raise RefusedError(40001, "invalid credential")
        now = self._clock()
        token = self._live.get(secret)
        if token is None or self._expiry[token] <= now:
            token = f"AT-{self._run_id}-{len(self._owner) + 1}"
            self._live[secret], self._owner[token] = token, secret
            self._expiry[token] = now + self.expires_in
        return {"access_token": token, "expires_in": int(self._expiry[token] - now)}

    def check(self, token: str | None, family: str) -> None:
        """Raise `RefusedError` unless the token opens this family of calls (`kf`, `externalcontact`, …)."""
        if not token:
            raise RefusedError(41001, "access_token missing")
        if token not in self._expiry:
            raise RefusedError(40014, "invalid access_token")
        if self._expiry[token] <= self._clock():
            raise RefusedError(42001, "access_token expired")
        wanted = self._secrets.get(family)
        if wanted is not None and self._owner[token] != wanted:
            raise RefusedError(48002, "api forbidden")

    def expire(self) -> None:
        """Let every token run out now: 42001."""
        self._expiry = dict.fromkeys(self._expiry, 0.0)

    def revoke(self) -> None:
        """Forget every token, as after a change of secret: 40014."""
        self._expiry.clear()
        self._live.clear()


class Faults:
    """Failures planned by path, such as `kf/send_msg`."""

    def __init__(self) -> None:
        self.latency: dict[str, float] = {}
        """Seconds before the request is looked at."""
        self._failures: defaultdict[str, deque[tuple[int, int]]] = defaultdict(deque)
        self._resets: Counter[str] = Counter()
        self._undelivered: deque[int] = deque()

    def fail_next(self, path: str, code: int, *, times: int = 1, status: int = 200) -> None:
        """Answer the next calls with this errcode (and HTTP status) and without effect."""
        self._failures[path].extend([(code, status)] * times)

    def reset_after_effect(self, path: str, *, times: int = 1) -> None:
        """Carry out the next calls, then drop the connection instead of answering."""
        self._resets[path] += times

    def fail_delivery(self, fail_type: int, *, times: int = 1) -> None:
        """Accept the next messages, then report them as undelivered with `msg_send_fail`."""
        self._undelivered.extend([fail_type] * times)

    def take_failure(self, path: str) -> tuple[int, int] | None:
        """Return errcode and HTTP status when this call is to fail."""
        planned = self._failures[path]
        return planned.popleft() if planned else None

    def take_reset(self, path: str) -> bool:
        """Whether this call's connection is to be dropped."""
        if not self._resets[path]:
            return False
        self._resets[path] -= 1
        return True

    def peek_undelivered(self) -> bool:
        """Whether the next accepted message will not be delivered."""
        return bool(self._undelivered)

    def take_undelivered(self) -> int:
        """The `fail_type` of the message just accepted."""
        return self._undelivered.popleft()
