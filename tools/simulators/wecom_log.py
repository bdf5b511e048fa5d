"""What `kf/sync_msg` serves: one log of messages and events an account, read page by page behind an opaque cursor."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.simulators.wecom_outbound import Json, RefusedError

RETENTION_SECONDS = 3 * 24 * 3600
SYNC_TOKEN_SECONDS = 600
MOST_ITEMS = 1000


@dataclass(slots=True, kw_only=True)
class PagingKnobs:
    """How awkward the pages are; every setting is something WeCom is known to do."""

    page_size: int = MOST_ITEMS
    empty_pages: int = 0
    """The next pages are empty and say has_more=1."""
    empty_page_every: int = 0
    """Every n-th page (n >= 2) is empty and says has_more=1."""
    redeliver: bool = False
    """A page that continues another begins with the item the other ended with."""
    tokenless_per_minute: int | None = None
    """Pulls without a sync token that pass; one more is refused with 45009."""


@dataclass(slots=True)
class _AccountLog:
    items: list[Json] = field(default_factory=list)
    pages: int = 0


class MessageLog:
    """The logs of all accounts."""

    def __init__(self, *, run_id: str, clock: Callable[[], float]) -> None:
        self.knobs = PagingKnobs()
        self._run_id = run_id
        self._clock = clock
        self._logs: dict[str, _AccountLog] = {}
        self._tokens: dict[str, tuple[str, float]] = {}
        self._tokenless: list[float] = []
        self._tickets = 0

    def append(self, account: str, item: Json) -> None:
        """Add an item at the end of the account's log."""
        self._log(account).items.append(item)

    def items(self, account: str) -> list[Json]:
        """Everything ever logged for the account, oldest first."""
        return list(self._log(account).items)

    def issue_token(self, account: str) -> str:
        """Make a sync token as a callback carries it."""
        self._tickets += 1
        token = f"ENC{self._run_id}{self._tickets:08d}"
        self._tokens[token] = (account, self._clock())
        return token

    def page(self, account: str, body: Json) -> Json:
        """Answer one pull; raises `RefusedError` for a bad token, cursor or limit."""
        self._check_token(account, body.get("token") or "")
        limit = body.get("limit") or MOST_ITEMS
        if not isinstance(limit, int) or not 1 <= limit <= MOST_ITEMS:
            raise RefusedError(40058, f"limit must be 1 to {MOST_ITEMS}")
        log = self._log(account)
        log.pages += 1
        oldest = self._oldest_kept(log)
        given = body.get("cursor") or ""
        position = max(oldest, self._position(account, given)) if given else oldest
        if self._is_empty_page(log):
            return self._answer(account, log, [], position, has_more=True)
        size = min(limit, self.knobs.page_size)
        repeated: list[Json] = []
        if self.knobs.redeliver and given and position > oldest and size > 1:
            repeated = [log.items[position - 1]]
        fresh = log.items[position : position + size - len(repeated)]
        position += len(fresh)
        return self._answer(account, log, repeated + fresh, position, has_more=position < len(log.items))

    def _log(self, account: str) -> _AccountLog:
        return self._logs.setdefault(account, _AccountLog())

    def _oldest_kept(self, log: _AccountLog) -> int:
        horizon = self._clock() - RETENTION_SECONDS
        kept = (index for index, item in enumerate(log.items) if item["send_time"] >= horizon)
        return next(kept, len(log.items))

    def _is_empty_page(self, log: _AccountLog) -> bool:
        if self.knobs.empty_pages > 0:
            self.knobs.empty_pages -= 1
            return True
        return self.knobs.empty_page_every >= 2 and log.pages % self.knobs.empty_page_every == 0

    def _answer(self, account: str, log: _AccountLog, items: list[Json], position: int, *, has_more: bool) -> Json:
        cursor = self._cursor(account, position, log.pages)
        return {"next_cursor": cursor, "has_more": int(has_more), "msg_list": items}

    def _cursor(self, account: str, position: int, page: int) -> str:
        plain = f"{self._run_id}:{zlib.crc32(account.encode()):08x}:{position}:{page}"
        return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    def _position(self, account: str, cursor: str) -> int:
        try:
            plain = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
            run_id, owner, position, _ = plain.split(":")
            place = int(position)
        except (binascii.Error, ValueError) as error:
            raise RefusedError(40058, "invalid cursor") from error
        if owner != f"{zlib.crc32(account.encode()):08x}":
            raise RefusedError(40058, "invalid cursor: it belongs to another open_kfid")
        # A service that kept its database meets a new simulator: everything here is newer than its cursor.
        return place if run_id == self._run_id else 0

    def _check_token(self, account: str, token: str) -> None:
        now = self._clock()
        if token:
            owner, born = self._tokens.get(token, ("", 0.0))
            if owner != account or now - born > SYNC_TOKEN_SECONDS:
                raise RefusedError(95007, "invalid msg token")
            return
        self._tokenless = [at for at in self._tokenless if now - at < 60]
        self._tokenless.append(now)
        most = self.knobs.tokenless_per_minute
        if most is not None and len(self._tokenless) > most:
            raise RefusedError(45009, "api freq out of limit")
