"""客户联系 as far as the bot uses it: friends, their welcome codes, remarks and tags, messages staff confirm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tools.simulators.wecom_contact_ways import ContactWays, CorpTags
from tools.simulators.wecom_outbound import Json, RefusedError
from tools.simulators.wecom_outreach import GroupMessages
from tools.simulators.wecom_state import SHORT_CODE_SECONDS, KfState


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """A welcome message that reached a new friend."""

    customer: str
    user: str
    text: str
    attachments: tuple[Json, ...]
    at: float


@dataclass(slots=True, kw_only=True)
class Friendship:
    """A customer and the member of staff they added."""

    user: str
    customer: str
    since: int
    state: str = ""
    is_half: bool = False
    """The member has not confirmed yet: reading and tagging give 84061."""
    remark: str = ""
    tags: set[str] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class _WelcomeCode:
    friendship: Friendship
    born: float
    is_used: bool = False


class Contacts:
    """Friends of the staff."""

    def __init__(self, *, kf: KfState, clock: Callable[[], float]) -> None:
        self.base = ""
        """Where the simulator listens, without a trailing slash; known once it does."""
        self.tags = CorpTags(kf.next_id, clock)
        self.ways = ContactWays(kf.next_id, clock, lambda: self.base)
        self.friendships: dict[tuple[str, str], Friendship] = {}
        """(userid, external_userid) → friendship."""
        self.messages = GroupMessages(next_id=kf.next_id, clock=clock, friendships=self.friendships)
        self.welcomes: list[Welcome] = []
        self._kf = kf
        self._clock = clock
        self._codes: dict[str, _WelcomeCode] = {}

    def add(self, customer: str, user: str, *, state: str, is_half: bool) -> str:
        """Make them friends; returns the welcome code."""
        self._kf.customer(customer)
        friendship = Friendship(user=user, customer=customer, since=int(self._clock()), state=state, is_half=is_half)
        self.friendships[user, customer] = friendship
        code = self._kf.next_id("WELCOME")
        self._codes[code] = _WelcomeCode(friendship=friendship, born=self._clock())
        return code

    def routes(self) -> dict[str, tuple[str, Callable[[Json], Json]]]:
        """Every call with its method and who answers it."""
        return {
            "externalcontact/get": ("GET", self.get),
            "externalcontact/remark": ("POST", self.remark),
            "externalcontact/mark_tag": ("POST", self.mark_tag),
            "externalcontact/send_welcome_msg": ("POST", self.send_welcome),
            "externalcontact/get_corp_tag_list": ("POST", self.tags.list),
            "externalcontact/add_corp_tag": ("POST", self.tags.add),
            "externalcontact/add_contact_way": ("POST", self.ways.add),
            "externalcontact/get_contact_way": ("POST", self.ways.get),
            "externalcontact/list_contact_way": ("POST", self.ways.list),
            "externalcontact/update_contact_way": ("POST", self.ways.update),
            "externalcontact/del_contact_way": ("POST", self.ways.delete),
            **self.messages.routes(),
        }

    def tags_of(self, customer: str, user: str) -> set[str]:
        """The names of the tags a friend has."""
        names = self.tags.names
        return {names[tag] for tag in self.friendships[user, customer].tags}

    def get(self, query: Json) -> Json:
        """`externalcontact/get`."""
        customer = self._kf.check_customer(query.get("external_userid"))
        friendships = [each for (_, who), each in self.friendships.items() if who == customer and not each.is_half]
        if not friendships:
            raise RefusedError(84061, "not external contact")
        known = self._kf.customers[customer]
        contact = {"external_userid": customer, "name": known.nickname, "avatar": known.avatar, "type": 1, "gender": 0}
        names = self.tags.names
        return {"external_contact": contact, "follow_user": [_follow_user(each, names) for each in friendships]}

    def send_welcome(self, body: Json) -> Json:
        """`externalcontact/send_welcome_msg`."""
        given = body.get("welcome_code")
        if not given:
            raise RefusedError(41049, "missing welcome_code")
        text, attachments = (body.get("text") or {}).get("content", ""), tuple(body.get("attachments") or ())
        if not text and not attachments:
            raise RefusedError(40058, "text and attachments are both empty")
        if len(text.encode()) > 4000 or len(attachments) > 9:
            raise RefusedError(45002, "content size out of limit")
        code = self._codes.get(given)
        if code is None or (not code.is_used and self._clock() - code.born > SHORT_CODE_SECONDS):
            raise RefusedError(41050, "invalid welcome_code")
        if code.is_used:
            raise RefusedError(41051, "welcome msg already sent")
        code.is_used = True
        who = code.friendship
        self.welcomes.append(
            Welcome(customer=who.customer, user=who.user, text=text, attachments=attachments, at=self._clock())
        )
        return {}

    def remark(self, body: Json) -> Json:
        """`externalcontact/remark`."""
        remark = str(body.get("remark") or "")
        if len(remark) > 20:
            raise RefusedError(40058, "remark exceeds 20 characters")
        self._friendship(body).remark = remark
        return {}

    def mark_tag(self, body: Json) -> Json:
        """`externalcontact/mark_tag`."""
        added, removed = body.get("add_tag") or [], body.get("remove_tag") or []
        if not added and not removed:
            raise RefusedError(40058, "add_tag and remove_tag are both empty")
        tags = self._friendship(body).tags
        if unknown := {*added, *removed} - self.tags.names.keys():
            raise RefusedError(40068, f"invalid tagid: {min(unknown)}")
        tags.update(added)
        tags.difference_update(removed)
        return {}

    def _friendship(self, body: Json) -> Friendship:
        customer = self._kf.check_customer(body.get("external_userid"))
        friendship = self.friendships.get((str(body.get("userid")), customer))
        if friendship is None or friendship.is_half:
            raise RefusedError(84061, "not external contact")
        return friendship


def _follow_user(friendship: Friendship, names: dict[str, str]) -> Json:
    return {
        "userid": friendship.user,
        "remark": friendship.remark,
        "createtime": friendship.since,
        "state": friendship.state,
        "add_way": 1,
        "tags": [{"tag_id": tag, "tag_name": names[tag], "type": 1} for tag in sorted(friendship.tags & names.keys())],
    }
