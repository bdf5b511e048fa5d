"""The rules of 微信客服: who may write to whom, when, how often, and how a session moves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from tools.simulators.wecom_outbound import Json, RefusedError, check_outbound, shown_text

WINDOW_SECONDS = 48 * 3600
QUOTA = 5
SHORT_CODE_SECONDS = 20

Scene = Literal["entered", "queued", "taken", "ended"]
CODE_RULES: dict[Scene, tuple[float, frozenset[str]]] = {
    "entered": (SHORT_CODE_SECONDS, frozenset({"text", "msgmenu"})),
    "queued": (WINDOW_SECONDS, frozenset({"text"})),
    "taken": (WINDOW_SECONDS, frozenset({"text"})),
    "ended": (SHORT_CODE_SECONDS, frozenset({"text", "msgmenu"})),
}
"""What a code for `kf/send_msg_on_event` is good for: its life in seconds and the message types."""


class ServiceState(IntEnum):
    """`service_state` of a session."""

    NEW = 0
    BOT = 1
    QUEUED = 2
    HUMAN = 3
    CLOSED = 4


MOVES: dict[ServiceState, frozenset[ServiceState]] = {
    ServiceState.NEW: frozenset({ServiceState.BOT, ServiceState.QUEUED, ServiceState.HUMAN}),
    ServiceState.BOT: frozenset({ServiceState.QUEUED, ServiceState.HUMAN}),
    ServiceState.QUEUED: frozenset({ServiceState.HUMAN}),
    ServiceState.HUMAN: frozenset({ServiceState.HUMAN, ServiceState.CLOSED}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message the service got accepted."""

    account: str
    customer: str
    msgid: str
    text: str
    """As the customer reads it: cut at 2048 bytes; a menu as its lines."""
    at: float
    msgtype: str
    payload: Json
    """As the service sent it, uncut."""
    is_delivered: bool = True
    """False when `msg_send_fail` follows."""


@dataclass(slots=True, kw_only=True)
class Customer:
    """A person on WeChat."""

    external_userid: str
    nickname: str = ""
    avatar: str = ""


@dataclass(slots=True, kw_only=True)
class Session:
    """One customer at one account."""

    state: ServiceState = ServiceState.CLOSED
    servicer: str = ""
    last_said: float | None = None
    last_entered: float | None = None
    welcomed: float | None = None
    enter_context: Json = field(default_factory=dict)
    quota: int = 0
    coded: set[Scene] = field(default_factory=set)
    """Scenes that already gave their code in this session."""


@dataclass(slots=True, kw_only=True)
class _EventCode:
    account: str
    customer: str
    scene: Scene
    born: float
    state: ServiceState
    is_used: bool = False


class KfState:
    """Accounts, customers, servicers, sessions, codes, and what was sent."""

    def __init__(self, *, run_id: str, clock: Callable[[], float]) -> None:
        self.accounts: dict[str, str] = {}
        """open_kfid → name."""
        self.unmanaged: set[str] = set()
        """Accounts the app sees and may not answer for."""
        self.customers: dict[str, Customer] = {}
        self.servicers: dict[str, bool] = {}
        """userid → whether they are receiving."""
        self.sent: list[Sent] = []
        self.may_end_early = False
        """Whether `trans` also allows 0, 1 and 2 → 4; the diagram that would tell is unreadable."""
        self.stale_code_errcode = 95007
        self._run_id = run_id
        self._clock = clock
        self._sessions: dict[tuple[str, str], Session] = {}
        self._codes: dict[str, _EventCode] = {}
        self._msgids: dict[str, set[str]] = {}
        self._count = 0

    def next_id(self, prefix: str) -> str:
        """A new id, different in every run of the simulator."""
        self._count += 1
        return f"{prefix}_{self._run_id}_{self._count:06d}"

    def customer(self, external_userid: str) -> Customer:
        """The customer of that id, made known if needed."""
        return self.customers.setdefault(external_userid, Customer(external_userid=external_userid))

    def session(self, account: str, customer: str) -> Session:
        """The session as of now: it ends by itself 48 h after the customer's last message."""
        session = self._sessions.setdefault((account, customer), Session())
        if session.last_said is not None and self._clock() - session.last_said > WINDOW_SECONDS:
            session.state, session.servicer = ServiceState.CLOSED, ""
        return session

    def heard(self, account: str, customer: str, at: float) -> None:
        """Note that the customer wrote: the window and the quota open again, an ended session begins anew."""
        self.customer(customer)
        session = self.session(account, customer)
        if session.state is ServiceState.CLOSED:
            session.state, session.servicer = ServiceState.NEW, ""
            session.coded.clear()
        session.last_said = max(at, session.last_said or at)
        session.quota = QUOTA

    def entered(self, account: str, customer: str, context: Json) -> str | None:
        """Note that the customer opened the chat through a link; returns the welcome code, if there is one."""
        self.customer(customer)
        session = self.session(account, customer)
        session.last_entered, session.enter_context = self._clock(), context
        if self._is_recent(session.welcomed) or self._is_recent(session.last_said):
            return None
        return self._issue_code(account, customer, "entered")

    def is_reachable(self, customer: str) -> bool:
        """Whether `customer/batchget` knows them: they entered or wrote within 48 h."""
        mine = [session for (_, who), session in self._sessions.items() if who == customer]
        return any(self._is_recent(each.last_said) or self._is_recent(each.last_entered) for each in mine)

    def enter_context(self, customer: str) -> Json:
        """How the customer last came in."""
        mine = [session for (_, who), session in self._sessions.items() if who == customer and session.last_entered]
        return max(mine, key=lambda each: each.last_entered or 0.0).enter_context if mine else {}

    def check_account(self, open_kfid: object) -> str:
        """Return the account; 95000 when there is no such account."""
        if not isinstance(open_kfid, str) or open_kfid not in self.accounts:
            raise RefusedError(95000, "invalid open_kfid")
        return open_kfid

    def check_customer(self, external_userid: object) -> str:
        """Return the customer; 40096 when nobody has that id."""
        if not isinstance(external_userid, str) or external_userid not in self.customers:
            raise RefusedError(40096, "invalid external userid")
        return external_userid

    def send(self, body: Json, *, is_delivered: bool = True) -> Sent:
        """`kf/send_msg`."""
        account = self.check_account(body.get("open_kfid"))
        customer = self.check_customer(body.get("touser"))
        check_outbound(body)
        msgid = self._free_msgid(account, body)
        session = self.session(account, customer)
        if not self._is_recent(session.last_said):
            raise RefusedError(95002, "send msg after 48 hours since the customer's last msg")
        if session.state not in {ServiceState.NEW, ServiceState.BOT}:
            raise RefusedError(95018, "send msg session status invalid")
        if session.quota < 1:
            raise RefusedError(95001, "send msg count limit")
        session.state = ServiceState.BOT
        session.quota -= 1
        return self._record(account, customer, msgid, body, is_delivered=is_delivered)

    def send_on_event(self, body: Json) -> Sent:
        """`kf/send_msg_on_event`."""
        code = self._codes.get(str(body.get("code") or ""))
        if code is None:
            raise RefusedError(self.stale_code_errcode, "invalid code")
        life, types = CODE_RULES[code.scene]
        check_outbound(body, allowed=types, menu_items=10)
        msgid = self._free_msgid(code.account, body)
        session = self.session(code.account, code.customer)
        has_moved = code.scene != "entered" and session.state is not code.state
        if code.is_used or has_moved or self._clock() - code.born > life:
            raise RefusedError(self.stale_code_errcode, "code expired or used")
        code.is_used = True
        if code.scene == "entered":
            session.welcomed = self._clock()
        return self._record(code.account, code.customer, msgid, body)

    def move(self, body: Json) -> Json:
        """`kf/service_state/trans`."""
        account = self.check_account(body.get("open_kfid"))
        customer = self.check_customer(body.get("external_userid"))
        try:
            target = ServiceState(body.get("service_state", -1))
        except ValueError as error:
            raise RefusedError(40058, "invalid service_state") from error
        session = self.session(account, customer)
        if session.state is ServiceState.CLOSED:
            raise RefusedError(95013, "conversation end")
        is_early_end = self.may_end_early and target is ServiceState.CLOSED
        if target not in MOVES[session.state] and not is_early_end:
            raise RefusedError(95016, "illegal state transition")
        servicer = self._check_servicer(body) if target is ServiceState.HUMAN else ""
        session.state, session.servicer = target, servicer
        code = self.code_for_state(account, customer)
        return {"msg_code": code} if code else {}

    def code_for_state(self, account: str, customer: str) -> str | None:
        """The code that comes with the session's present state: the first time queued or taken, always when ended."""
        session = self.session(account, customer)
        scenes: dict[ServiceState, Scene] = {
            ServiceState.QUEUED: "queued",
            ServiceState.HUMAN: "taken",
            ServiceState.CLOSED: "ended",
        }
        scene = scenes.get(session.state)
        if scene is None or (scene != "ended" and scene in session.coded):
            return None
        session.coded.add(scene)
        return self._issue_code(account, customer, scene)

    def _check_servicer(self, body: Json) -> str:
        servicer = body.get("servicer_userid")
        if not isinstance(servicer, str) or not servicer:
            raise RefusedError(40058, "servicer_userid is missing")
        if servicer not in self.servicers:
            raise RefusedError(95014, "not a servicer or not activated")
        if not self.servicers[servicer]:
            raise RefusedError(95019, "servicer is not receiving")
        return servicer

    def _free_msgid(self, account: str, body: Json) -> str:
        if "msgid" not in body:
            return self.next_id("out")
        msgid = body["msgid"]
        if not isinstance(msgid, str) or not re.fullmatch(r"[0-9A-Za-z_-]{1,32}", msgid):
            raise RefusedError(40058, "invalid msgid")
        if msgid in self._msgids.get(account, set()):
            raise RefusedError(40058, "duplicate msgid")
        return msgid

    def _record(self, account: str, customer: str, msgid: str, body: Json, *, is_delivered: bool = True) -> Sent:
        self._msgids.setdefault(account, set()).add(msgid)
        msgtype = body["msgtype"]
        sent = Sent(
            account=account,
            customer=customer,
            msgid=msgid,
            text=shown_text(msgtype, body[msgtype]),
            at=self._clock(),
            msgtype=msgtype,
            payload=body[msgtype],
            is_delivered=is_delivered,
        )
        self.sent.append(sent)
        return sent

    def _issue_code(self, account: str, customer: str, scene: Scene) -> str:
        code = self.next_id("CODE")
        state = self.session(account, customer).state
        self._codes[code] = _EventCode(account=account, customer=customer, scene=scene, born=self._clock(), state=state)
        return code

    def _is_recent(self, at: float | None) -> bool:
        return at is not None and self._clock() - at <= WINDOW_SECONDS
