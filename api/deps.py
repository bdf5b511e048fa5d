"""What routes are given, and who may use them."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from api.api_tokens import Scope
from api.client_address import is_direct, is_local
from api.console.sessions import ConsoleSession
from api.gates import Gates
from api.lifespan import Services

COOKIE = "kefu_console"
SECURE_COOKIE = "__Host-kefu_console"
"""Browsers take a cookie of this name only over TLS, from this very host, for all of its paths (RFC 6265bis)."""

CSRF_HEADER = "X-CSRF-Token"


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


async def get_services(request: Request) -> Services:
    """Return what the lifespan opened."""
    # Not a plain function: FastAPI would hop to a thread for it at every request.
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_gates(request: Request) -> Gates:
    """Return what decides who is let in."""
    gates: Gates = request.state.gates
    return gates


GatesDep = Annotated[Gates, Depends(get_gates)]

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


def require_scope(scope: Scope) -> Callable[..., Awaitable[None]]:
    """Make what lets in the bearer of API_TOKEN, or of a token with this scope; with neither, only this machine."""

    async def check(request: Request, services: ServicesDep, gates: GatesDep, bearer: Bearer) -> None:
        given = bearer.credentials.strip() if bearer else ""
        if await is_bearer(given, scope, services, gates):
            return
        is_configured = services.settings.service.api_token is not None or await gates.tokens.is_any(scope)
        if not is_configured and is_local(request):
            return
        raise _unauthorized(scope, is_configured=is_configured)

    return check


async def require_metrics(request: Request, services: ServicesDep, gates: GatesDep, bearer: Bearer) -> None:
    """Let in who asks from KEFU_METRICS_ALLOWED_IPS through no proxy, and bearers.

    Raises:
        HTTPException: 401.
    """
    if is_direct(request, services.settings.access.metrics_networks):
        return
    if not await is_bearer(bearer.credentials.strip() if bearer else "", "metrics:read", services, gates):
        raise _unauthorized("metrics:read", is_configured=True)


async def is_bearer(given: str, scope: Scope, services: Services, gates: Gates) -> bool:
    """Tell whether this opens the scope."""
    expected = services.settings.service.api_token
    if not given:
        return False
    if expected is not None and hmac.compare_digest(given.encode(), expected.get_secret_value().encode()):
        return True
    return await gates.tokens.admits(given, scope)


def _unauthorized(scope: Scope, *, is_configured: bool) -> HTTPException:
    detail = f"send the header Authorization: Bearer <API_TOKEN, or a token with the scope {scope}>"
    if not is_configured:
        detail = f"set API_TOKEN, or kefu token create --scope {scope}, to use this from another machine"
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})


def is_on_this_browsers_machine(request: Request) -> bool:
    """Tell whether a browser speaks without TLS to its own machine: through a tunnel, or because kefu runs there."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Neither a name nor an address, or not even a host.
        return False


def cookie_of(request: Request) -> tuple[str, str]:
    """Return the name of the console's cookie for this request, and its value."""
    name = SECURE_COOKIE if request.scope["scheme"] == "https" else COOKIE
    return name, request.cookies.get(name, "")


async def require_console(request: Request, gates: GatesDep) -> ConsoleSession:
    """Let in who is logged in.

    Raises:
        HTTPException: 401.
    """
    session = await gates.console.session(cookie_of(request)[1])
    if session is None:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "log in first: POST /console/login")
    return session


ConsoleDep = Annotated[ConsoleSession, Depends(require_console)]
"""Who is logged in; for routes that change nothing."""


async def require_our_page(request: Request) -> None:
    """Refuse what another site's page sends.

    Raises:
        HTTPException: 403.
    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "").lower()
    # A proxy may have ended TLS without a word; a page that came without TLS may be written by somebody on the way.
    ours = {f"{scheme}://{host}" for scheme in ("https", request.scope["scheme"])}
    is_foreign = origin is not None and origin.lower() not in ours
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "this is for pages of the same origin")


OurPage = Depends(require_our_page)


async def require_console_change(request: Request, session: ConsoleDep) -> ConsoleSession:
    """Let in who is logged in and sends along the token that only our pages know.

    Raises:
        HTTPException: 401, 403.
    """
    await require_our_page(request)
    if not session.is_csrf_token(request.headers.get(CSRF_HEADER, "")):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"send the header {CSRF_HEADER} with the session's csrf_token")
    return session


ConsoleChangeDep = Annotated[ConsoleSession, Depends(require_console_change)]
"""Who is logged in; for routes that change something."""
