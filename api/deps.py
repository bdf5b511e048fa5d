"""What routes are given."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Annotated

from fastapi import Depends, HTTPException, Request, status

from api.lifespan import Services


async def get_services(request: Request) -> Services:
    """Return what the lifespan opened."""
    # Not a plain function: FastAPI would hop to a thread for it at every request.
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


def require_api_token(request: Request, services: ServicesDep) -> None:
    """Let the bearer of API_TOKEN in; with no token configured, only clients on this machine.

    Raises:
        HTTPException: 401.
    """
    expected = services.settings.service.api_token
    if expected is None:
        if _is_loopback(request):
            return
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "set API_TOKEN to use this from another machine")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = expected.get_secret_value().encode()
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), known):
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "send the header Authorization: Bearer <API_TOKEN>",
            {"WWW-Authenticate": "Bearer"},
        )


def _is_loopback(request: Request) -> bool:
    # A proxy on this machine makes everybody look local; it leaves its mark, and then nobody counts as local.
    if any(name in request.headers for name in ("x-forwarded-for", "forwarded", "x-real-ip")):
        return False
    host = request.client.host if request.client else ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


ApiToken = Depends(require_api_token)
