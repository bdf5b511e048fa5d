"""The HTTP face of the WeCom simulator: `/cgi-bin/…`, always 200 with an errcode."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tools.simulators.wecom_contact_ways import PICTURE
from tools.simulators.wecom_contacts import Contacts
from tools.simulators.wecom_faults import Faults, Tokens
from tools.simulators.wecom_log import MessageLog
from tools.simulators.wecom_media import MediaStore
from tools.simulators.wecom_members import Members
from tools.simulators.wecom_native import NativeKnowledge
from tools.simulators.wecom_outbound import Json, RefusedError
from tools.simulators.wecom_state import KfState, Sent, ServiceState

Handler = Callable[[Json], Json]

WEBHOOK = "webhook/send"
"""Opened by the key in its query, not by a token."""
FILES = {"media/upload": "POST", "media/get": "GET"}
"""Forms in, bytes out."""


class WecomApi:
    """Routes calls to the rules, after token and planned faults."""

    def __init__(
        self,
        *,
        kf: KfState,
        log: MessageLog,
        contacts: Contacts,
        members: Members,
        native: NativeKnowledge,
        media: MediaStore,
        tokens: Tokens,
        faults: Faults,
        undelivered: Callable[[Sent, int], None],
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self.calls: Counter[str] = Counter()
        """Requests by path, refused ones included."""
        self.most_at_once: Counter[str] = Counter()
        """The highest number of simultaneous requests by path."""
        self.drop: Callable[[Request], Awaitable[None]] | None = None
        """How to reset a connection; the server's business."""
        self._running: Counter[str] = Counter()
        self._kf = kf
        self._contacts = contacts
        self._log = log
        self._tokens = tokens
        self._faults = faults
        self._undelivered = undelivered
        self._changed = changed
        self._clock = clock
        self._members = members
        self._media = media
        self._routes: dict[str, tuple[str, Handler]] = {
            "gettoken": ("GET", tokens.issue),
            "getcallbackip": ("GET", lambda _: {"ip_list": ["127.0.0.1"]}),
            "kf/sync_msg": ("POST", self._sync),
            "kf/send_msg": ("POST", self._send),
            "kf/send_msg_on_event": ("POST", lambda body: {"msgid": kf.send_on_event(body).msgid}),
            "kf/service_state/get": ("POST", self._service_state),
            "kf/service_state/trans": ("POST", kf.move),
            "kf/account/list": ("POST", self._accounts),
            "kf/customer/batchget": ("POST", self._customers),
            "kf/servicer/list": ("GET", self._servicers),
            "kf/add_contact_way": ("POST", self._link),
            **contacts.routes(),
            **native.routes(),
            "message/send": ("POST", self._send_to_members),
            "message/update_template_card": ("POST", members.update_card),
        }

    def app(self) -> Starlette:
        """The ASGI app."""
        calls = Route("/cgi-bin/{path:path}", self._endpoint, methods=["GET", "POST"])
        return Starlette(routes=[calls, Route("/qr/{config_id}.png", self._qr_code)])

    async def _qr_code(self, request: Request) -> Response:
        is_known = request.path_params["config_id"] in self._contacts.ways.ways
        return Response(PICTURE, media_type="image/png") if is_known else Response(status_code=404)

    async def _endpoint(self, request: Request) -> Response:
        path = request.path_params["path"]
        if path not in self._routes and path not in {WEBHOOK, *FILES}:
            return Response(status_code=404)
        raw = await request.body()
        self.calls[path] += 1
        self._running[path] += 1
        self.most_at_once[path] = max(self.most_at_once[path], self._running[path])
        self._changed()
        try:
            if delay := self._faults.latency.get(path, 0.0):
                await asyncio.sleep(delay)
            answer = self._answer(path, request, raw)
            answer.headers["Date"] = formatdate(self._clock(), usegmt=True)
            if self._faults.take_reset(path):
                assert self.drop is not None, "set before the server starts"
                await self.drop(request)
            return answer
        finally:
            self._running[path] -= 1
            self._changed()

    def _answer(self, path: str, request: Request, raw: bytes) -> Response:
        planned = self._faults.take_failure(path)
        if planned is not None:
            code, status = planned
            return JSONResponse(_refusal(code, "planned failure"), status_code=status)
        try:
            result = self._call(path, request, raw)
        except RefusedError as refusal:
            return JSONResponse(_refusal(refusal.code, refusal.message))
        if isinstance(result, Response):
            return result
        return JSONResponse({"errcode": 0, "errmsg": "ok", **result})

    def _call(self, path: str, request: Request, raw: bytes) -> Json | Response:
        if path == WEBHOOK:
            return self._members.post(request.query_params.get("key", ""), _json_object(raw))
        if path != "gettoken":
            self._tokens.check(request.query_params.get("access_token"), path.partition("/")[0])
        if path in FILES:
            return self._file(path, request, raw)
        method, handler = self._routes[path]
        if request.method != method:
            raise RefusedError(40058, f"require {method} method")
        return handler(dict(request.query_params) if method == "GET" else _json_object(raw))

    def _file(self, path: str, request: Request, raw: bytes) -> Json | Response:
        if request.method != FILES[path]:
            raise RefusedError(40058, f"require {FILES[path]} method")
        query = request.query_params
        if path == "media/get":
            return self._media.download(query.get("media_id"))
        return self._media.upload(query.get("type", ""), request.headers.get("content-type", ""), raw)

    def _sync(self, body: Json) -> Json:
        if not body.get("open_kfid"):
            raise RefusedError(40058, "open_kfid is missing")
        return self._log.page(self._kf.check_account(body["open_kfid"]), body)

    def _send(self, body: Json) -> Json:
        self._media.check(body)
        will_fail = self._faults.peek_undelivered()
        sent = self._kf.send(body, is_delivered=not will_fail)
        if will_fail:
            self._undelivered(sent, self._faults.take_undelivered())
        return {"msgid": sent.msgid}

    def _send_to_members(self, body: Json) -> Json:
        self._media.check(body)
        return self._members.send(body)

    def _service_state(self, body: Json) -> Json:
        account = self._kf.check_account(body.get("open_kfid"))
        session = self._kf.session(account, self._kf.check_customer(body.get("external_userid")))
        answer: Json = {"service_state": int(session.state)}
        if session.state is ServiceState.HUMAN:
            answer["servicer_userid"] = session.servicer
        return answer

    def _accounts(self, body: Json) -> Json:
        offset, limit = int(body.get("offset", 0)), int(body.get("limit", 100))
        if not 1 <= limit <= 100:
            raise RefusedError(40058, "limit must be 1 to 100")
        rows = [
            {"open_kfid": account, "name": name, "avatar": "", "manage_privilege": account not in self._kf.unmanaged}
            for account, name in self._kf.accounts.items()
        ]
        return {"account_list": rows[offset : offset + limit]}

    def _customers(self, body: Json) -> Json:
        asked = body.get("external_userid_list")
        if not isinstance(asked, list) or not 1 <= len(asked) <= 100:
            raise RefusedError(40058, "external_userid_list must have 1 to 100 items")
        known = [who for who in asked if self._kf.is_reachable(who)]
        with_context = body.get("need_enter_session_context") == 1
        return {
            "customer_list": [self._profile(who, with_context=with_context) for who in known],
            "invalid_external_userid": [who for who in asked if who not in known],
        }

    def _profile(self, customer: str, *, with_context: bool) -> Json:
        known = self._kf.customer(customer)
        profile: Json = {
            "external_userid": customer,
            "nickname": known.nickname,
            "avatar": known.avatar,
            "gender": 0,
        }
        if with_context:
            profile["enter_session_context"] = self._kf.enter_context(customer)
        return profile

    def _link(self, body: Json) -> Json:
        account, scene = self._kf.check_account(body.get("open_kfid")), str(body.get("scene") or "")
        if not re.fullmatch(r"[0-9A-Za-z_-]{0,32}", scene):
            raise RefusedError(40058, "invalid scene")
        return {"url": f"https://work.weixin.qq.com/kf/{account}" + (f"?enc_scene=ENC{scene}" if scene else "")}

    def _servicers(self, query: Json) -> Json:
        self._kf.check_account(query.get("open_kfid"))
        return {
            "servicer_list": [
                {"userid": userid, "status": 0 if is_receiving else 1}
                for userid, is_receiving in self._kf.servicers.items()
            ]
        }


def _json_object(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise RefusedError(40058, "Warning: wrong json format.") from error
    if not isinstance(body, dict):
        raise RefusedError(40058, "Warning: wrong json format.")
    return body


def _refusal(code: int, message: str) -> Json:
    help_url = f"https://open.work.weixin.qq.com/devtool/query?e={code}"
    return {"errcode": code, "errmsg": f"{message}, hint: [simulator], from ip: 127.0.0.1, more info at {help_url}"}
