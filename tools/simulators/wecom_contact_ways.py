"""Tags of the corp, and the QR codes by which customers become friends of the staff."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.simulators.wecom_outbound import Json, RefusedError

USERS_AT_MOST = 100
PAGE_AT_MOST = 1000
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
"""A PNG of one dot."""


@dataclass(slots=True, kw_only=True)
class Way:
    """One 「联系我」 way."""

    config_id: str
    made: int
    settings: Json
    """As it was made or last changed."""

    @property
    def users(self) -> list[str]:
        """Whom it leads to."""
        return list(self.settings.get("user") or [])

    @property
    def state(self) -> str:
        """What comes back with everybody who uses it."""
        return str(self.settings.get("state") or "")


@dataclass(slots=True)
class ContactWays:
    """The ways of one corp."""

    next_id: Callable[[str], str]
    clock: Callable[[], float]
    base: Callable[[], str]
    """Where the simulator listens: pictures are served there."""
    ways: dict[str, Way] = field(default_factory=dict)
    unknown_users: set[str] = field(default_factory=set)
    """Members the corp does not have; everybody else exists."""

    def add(self, body: Json) -> Json:
        """`externalcontact/add_contact_way`."""
        if body.get("type") not in {1, 2} or body.get("scene") not in {1, 2}:
            raise RefusedError(40058, "invalid type or scene")
        self._check(body, kind=body["type"])
        way = Way(config_id=self.next_id("way"), made=int(self.clock()), settings=dict(body))
        self.ways[way.config_id] = way
        answer: Json = {"config_id": way.config_id}
        return answer | ({"qr_code": self._picture(way)} if body["scene"] == 2 else {})

    def get(self, body: Json) -> Json:
        """`externalcontact/get_contact_way`."""
        way = self._way(body)
        return {"contact_way": {**way.settings, "config_id": way.config_id, "qr_code": self._picture(way)}}

    def list(self, body: Json) -> Json:
        """`externalcontact/list_contact_way`."""
        limit = int(body.get("limit", 100))
        if not 1 <= limit <= PAGE_AT_MOST:
            raise RefusedError(40058, "invalid limit")
        since = int(body.get("start_time", self.clock() - 90 * 86400))
        found = [way.config_id for way in self.ways.values() if way.made >= since]
        start = int(body.get("cursor") or 0)
        answer: Json = {"contact_way": [{"config_id": each} for each in found[start : start + limit]]}
        return answer | ({"next_cursor": str(start + limit)} if len(found) > start + limit else {})

    def update(self, body: Json) -> Json:
        """`externalcontact/update_contact_way`."""
        way = self._way(body)
        settings = {**way.settings, **{name: value for name, value in body.items() if name != "config_id"}}
        self._check(settings, kind=way.settings["type"])
        way.settings = settings
        return {}

    def delete(self, body: Json) -> Json:
        """`externalcontact/del_contact_way`."""
        del self.ways[self._way(body).config_id]
        return {}

    def _way(self, body: Json) -> Way:
        way = self.ways.get(str(body.get("config_id") or ""))
        if way is None:
            raise RefusedError(40058, "invalid config_id")
        return way

    def _check(self, settings: Json, *, kind: int) -> None:
        users = settings.get("user")
        if not isinstance(users, list) or not 1 <= len(users) <= USERS_AT_MOST or (kind == 1 and len(users) != 1):
            raise RefusedError(40058, "invalid user list")
        for name in ("remark", "state"):
            if len(str(settings.get(name) or "")) > 30:
                raise RefusedError(40058, f"{name} exceeds 30 characters")
        if unknown := self.unknown_users.intersection(users):
            raise RefusedError(60111, f"userid not found: {min(unknown)}")

    def _picture(self, way: Way) -> str:
        return f"{self.base()}/qr/{way.config_id}.png"


@dataclass(slots=True)
class CorpTags:
    """The tags of one corp."""

    next_id: Callable[[str], str]
    clock: Callable[[], float]
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Group name → tag name → tag id."""

    @property
    def names(self) -> dict[str, str]:
        """Tag id → name."""
        return {tag_id: name for tags in self.groups.values() for name, tag_id in tags.items()}

    def list(self, body: Json) -> Json:
        """`externalcontact/get_corp_tag_list`."""
        wanted = set(body.get("tag_id") or [])
        groups = [self._group(name) for name in self.groups]
        if wanted:
            for group in groups:
                group["tag"] = [tag for tag in group["tag"] if tag["id"] in wanted]
        return {"tag_group": [group for group in groups if group["tag"]]}

    def add(self, body: Json) -> Json:
        """`externalcontact/add_corp_tag`."""
        group, tags = body.get("group_name"), body.get("tag")
        if not isinstance(group, str) or not 0 < len(group) <= 30 or not isinstance(tags, list) or not tags:
            raise RefusedError(40058, "invalid group_name or tag")
        names = [str(tag.get("name") or "") for tag in tags]
        if any(not 0 < len(name) <= 30 for name in names):
            raise RefusedError(40058, "invalid tag name")
        known = self.groups.get(group, {})
        if any(name in known for name in names) or len(set(names)) < len(names):
            raise RefusedError(40071, "tag name already exists")
        self.groups.setdefault(group, {}).update({name: self.next_id("tag") for name in names})
        made = self._group(group)
        made["tag"] = [tag for tag in made["tag"] if tag["name"] in names]
        return {"tag_group": made}

    def delete(self, group: str, name: str) -> None:
        """Let an administrator delete a tag in the console."""
        del self.groups[group][name]

    def _group(self, name: str) -> Json:
        now = int(self.clock())
        tags = [
            {"id": tag_id, "name": tag, "create_time": now, "order": order}
            for order, (tag, tag_id) in enumerate(self.groups[name].items())
        ]
        return {"group_id": f"group-{name}", "group_name": name, "create_time": now, "order": 0, "tag": tags}
