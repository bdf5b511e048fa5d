"""What people do in the WeCom simulator: customers write, enter and recall; staff answer in their client."""

from __future__ import annotations

from collections.abc import Callable

from tools.simulators.wecom_callbacks import CallbackSender, event_xml
from tools.simulators.wecom_contacts import Contacts
from tools.simulators.wecom_log import MessageLog
from tools.simulators.wecom_media import MediaStore
from tools.simulators.wecom_members import MemberMessage, Members
from tools.simulators.wecom_outbound import Json
from tools.simulators.wecom_state import Customer, KfState, ServiceState

DEFAULT_ACCOUNT = "wkSimulator0001"
CUSTOMER, SYSTEM, SERVICER = 3, 4, 5
"""`origin` of a logged item."""

TAKEN, ENDED, RETAKEN = 1, 3, 4
"""`change_type` of a session."""


class People:
    """The people of one corp. Every action with `notify` returns after its callback was answered or given up."""

    def __init__(
        self, *, corp_id: str, account: str, run_id: str, clock: Callable[[], float], callbacks: CallbackSender
    ) -> None:
        self.corp_id = corp_id
        self.account = account
        """The kf account meant when none is named."""
        self.kf = KfState(run_id=run_id, clock=clock)
        self.log = MessageLog(run_id=run_id, clock=clock)
        self.contacts = Contacts(kf=self.kf, clock=clock)
        self.members = Members(clock=clock, next_id=self.kf.next_id)
        self.media = MediaStore(clock=clock, next_id=self.kf.next_id)
        self.callbacks = callbacks
        self._clock = clock
        self.add_account(account)

    def add_account(self, account: str, name: str = "客服") -> None:
        """Open a kf account, or rename one."""
        self.kf.accounts[account] = name

    def add_customer(self, customer: str, *, nickname: str = "", avatar: str = "") -> Customer:
        """Make a customer known, or rename a known one; whoever writes becomes known anyway."""
        known = self.kf.customer(customer)
        known.nickname, known.avatar = nickname, avatar
        return known

    def add_servicer(self, userid: str, *, is_receiving: bool = True) -> None:
        """Add a servicer, or change whether they receive."""
        self.kf.servicers[userid] = is_receiving

    async def customer_says(
        self, customer: str, text: str, *, account: str | None = None, menu_id: str | None = None, notify: bool = True
    ) -> str:
        """Let a customer write a text (or click a menu item); returns its msgid."""
        payload = {"content": text} if menu_id is None else {"content": text, "menu_id": menu_id}
        return await self.customer_sends(customer, "text", payload, account=account, notify=notify)

    async def customer_clicks(self, customer: str, menu_id: str, *, notify: bool = True) -> str:
        """Click an item of the latest menu that has it; returns the msgid of the text it sends."""
        for sent in reversed(self.kf.sent):
            items = sent.payload.get("list", []) if sent.customer == customer and sent.msgtype == "msgmenu" else []
            for item in items:
                if item["type"] == "click" and item["click"].get("id") == menu_id:
                    label = item["click"]["content"]
                    return await self.customer_says(
                        customer, label, account=sent.account, menu_id=menu_id, notify=notify
                    )
        raise LookupError(f"{customer} was sent no menu with the item {menu_id!r}")

    async def customer_sends(
        self, customer: str, msgtype: str, payload: Json, *, account: str | None = None, notify: bool = True
    ) -> str:
        """Let a customer send a message of any type; returns its msgid."""
        item = {"external_userid": customer, "origin": CUSTOMER, "msgtype": msgtype, msgtype: payload}
        return await self._post(account, item, notify=notify)

    async def customer_sends_file(
        self,
        customer: str,
        kind: str,
        content: bytes,
        name: str = "",
        *,
        account: str | None = None,
        notify: bool = True,
    ) -> str:
        """Let a customer send an `image`, a `voice`, a `video` or a `file`; returns its msgid."""
        payload = {"media_id": self.media.add(kind, content, name)}
        return await self.customer_sends(customer, kind, payload, account=account, notify=notify)

    async def enter_session(
        self,
        customer: str,
        *,
        scene: str = "",
        scene_param: str = "",
        account: str | None = None,
        notify: bool = True,
    ) -> str | None:
        """Let a customer open the chat through a kf link; returns the welcome code, if the rules grant one."""
        context = {"scene": scene, "scene_param": scene_param}
        code = self.kf.entered(account or self.account, customer, context)
        extra = {**context, "welcome_code": code} if code else context
        await self._post(account, self._event("enter_session", account, customer, **extra), notify=notify)
        return code

    async def recall(self, customer: str, msgid: str, *, account: str | None = None, notify: bool = True) -> None:
        """Let a customer take a message back."""
        event = self._event("user_recall_msg", account, customer, recall_msgid=msgid)
        await self._post(account, event, notify=notify)

    async def staff_says(
        self, customer: str, servicer: str, text: str, *, account: str | None = None, notify: bool = True
    ) -> str:
        """Let a servicer write in their client; takes the session when it was queued or ended. Returns the msgid."""
        await self._staff_takes(customer, servicer, account)
        item = {
            "external_userid": customer,
            "servicer_userid": servicer,
            "origin": SERVICER,
            "msgtype": "text",
            "text": {"content": text},
        }
        return await self._post(account, item, notify=notify)

    async def staff_ends(
        self, customer: str, servicer: str, *, account: str | None = None, notify: bool = True
    ) -> str | None:
        """Let a servicer end the session in their client; returns the code for a closing text."""
        where = account or self.account
        session = self.kf.session(where, customer)
        session.state, session.servicer = ServiceState.CLOSED, ""
        code = self.kf.code_for_state(where, customer)
        event = self._event(
            "session_status_change",
            account,
            customer,
            change_type=ENDED,
            old_servicer_userid=servicer,
            msg_code=code,
        )
        await self._post(account, event, notify=notify)
        return code

    async def member_writes(self, member: str, text: str) -> None:
        """Let a member write a text to the app."""
        await self.member_sends(member, "text", {"Content": text})

    async def member_sends(self, member: str, msgtype: str, payload: Json) -> None:
        """Let a member send a message of any type to the app; `payload` as the callback has it."""
        await self._app_callback(self.members.written(member, msgtype, payload))

    async def member_clicks(self, message: MemberMessage, label: str) -> None:
        """Let a member press a button of a card they see."""
        await self._app_callback(self.members.pressed(message, label))

    async def add_friend(
        self, customer: str, user: str, *, state: str = "", is_half: bool = False, notify: bool = True
    ) -> str:
        """Let a customer add a member of staff as a friend; returns the welcome code."""
        code = self.contacts.add(customer, user, state=state, is_half=is_half)
        change = "add_half_external_contact" if is_half else "add_external_contact"
        details = {"State": state} if state else {}
        await self._contact_event(change, customer, user, {**details, "WelcomeCode": code}, notify=notify)
        return code

    async def confirm_friend(self, customer: str, user: str, *, notify: bool = True) -> None:
        """Let the member confirm a half friendship."""
        self.contacts.friendships[user, customer].is_half = False
        await self._contact_event("add_external_contact", customer, user, {}, notify=notify)

    def append(self, *items: Json, account: str | None = None) -> None:
        """Log raw items as given; a missing msgid, send_time or open_kfid is filled in. No callback."""
        where = account or self.account
        for given in items:
            item = {"msgid": self.kf.next_id("in"), "send_time": int(self._clock()), **given}
            if item.get("msgtype") != "event":
                item.setdefault("open_kfid", where)
            if item.get("origin") == CUSTOMER and "external_userid" in item:
                self.kf.heard(where, item["external_userid"], item["send_time"])
            self.log.append(where, item)

    async def notify(self, account: str | None = None) -> None:
        """Send the wake-up callback of an account, with a fresh sync token."""
        where = account or self.account
        fields = {"Event": "kf_msg_or_event", "Token": self.log.issue_token(where), "OpenKfId": where}
        await self.callbacks.send(event_xml(self.corp_id, int(self._clock()), **fields))

    async def _post(self, account: str | None, item: Json, *, notify: bool) -> str:
        msgid = self.kf.next_id("in")
        self.append({"msgid": msgid, **item}, account=account)
        if notify:
            await self.notify(account)
        return msgid

    async def _staff_takes(self, customer: str, servicer: str, account: str | None) -> None:
        where = account or self.account
        session = self.kf.session(where, customer)
        change = {ServiceState.QUEUED: TAKEN, ServiceState.CLOSED: RETAKEN}.get(session.state)
        if change is None:
            return
        session.state, session.servicer = ServiceState.HUMAN, servicer
        code = self.kf.code_for_state(where, customer) if change == TAKEN else None
        event = self._event(
            "session_status_change",
            account,
            customer,
            change_type=change,
            new_servicer_userid=servicer,
            msg_code=code,
        )
        await self._post(account, event, notify=False)

    def _event(self, event_type: str, account: str | None, customer: str, **details: str | int | None) -> Json:
        facts = {name: value for name, value in details.items() if value is not None}
        head = {"event_type": event_type, "open_kfid": account or self.account, "external_userid": customer}
        return {"origin": SYSTEM, "msgtype": "event", "event": {**head, **facts}}

    async def _app_callback(self, fields: Json) -> None:
        agent = str(self.members.agent_id or 1)
        await self.callbacks.send(event_xml(self.corp_id, int(self._clock()), **fields, AgentID=agent))

    async def _contact_event(
        self, change: str, customer: str, user: str, details: dict[str, str], *, notify: bool
    ) -> None:
        if not notify:
            return
        head = {"FromUserName": "sys", "Event": "change_external_contact", "ChangeType": change}
        fields = {**head, "UserID": user, "ExternalUserID": customer, **details}
        await self.callbacks.send(event_xml(self.corp_id, int(self._clock()), **fields))
