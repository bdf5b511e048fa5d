"""`/console`: logging in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from api.client_address import client_address
from api.console.passwords import LONGEST
from api.console.sessions import LIFETIME, ConsoleSession, LockedLogin, WrongLogin
from api.console.users import ADMIN
from api.deps import (
    CSRF_HEADER,
    ConsoleChangeDep,
    ConsoleDep,
    GatesDep,
    OurPage,
    Problem,
    cookie_of,
    is_on_this_browsers_machine,
)

router = APIRouter(tags=["console"], prefix="/console")

Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "Nobody is logged in, or name and password are wrong"},
    403: {"model": Problem, "description": "Sent by a page of another site, without its token, or without TLS"},
    429: {"model": Problem, "description": "Too many wrong attempts; Retry-After says how long to wait"},
}
BODY_PROBLEMS: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "Larger than 1 MiB"},
}


class Login(BaseModel):
    """Who wants in."""

    name: Text = Field(default=ADMIN, min_length=1, max_length=64)
    password: Text = Field(min_length=1, max_length=LONGEST)


class LoggedIn(BaseModel):
    """Who is in, until when at most, and what their page sends along with every change."""

    name: str
    expires_at: datetime
    csrf_token: str = Field(description=f"goes into the header {CSRF_HEADER}")


@router.post("/login", dependencies=[OurPage], responses=PROBLEMS | BODY_PROBLEMS)
async def log_in(body: Login, request: Request, response: Response, gates: GatesDep) -> LoggedIn:
    """Open a session, in a cookie that scripts and other sites do not see."""
    is_secure = request.scope["scheme"] == "https"
    if not is_secure and not is_on_this_browsers_machine(request):
        raise HTTPException(403, "log in over https, or through a tunnel to 127.0.0.1: the password would be readable")
    name, old = cookie_of(request)
    outcome = await gates.console.log_in(body.name, body.password, client_address(request), replaces=old)
    match outcome:
        case LockedLogin():
            wait = {"Retry-After": str(outcome.seconds)}
            raise HTTPException(429, "too many wrong attempts, wait a while", wait)
        case WrongLogin():
            raise HTTPException(401, "name or password is wrong")
        case ConsoleSession():
            response.set_cookie(
                name,
                outcome.session_id,
                max_age=int(LIFETIME.total_seconds()),
                secure=is_secure,
                httponly=True,
                samesite="strict",
            )
            return _shown(outcome)


@router.post("/logout", status_code=204, responses=PROBLEMS)
async def log_out(request: Request, response: Response, session: ConsoleChangeDep, gates: GatesDep) -> None:
    """End the session."""
    await gates.console.log_out(session)
    response.delete_cookie(
        cookie_of(request)[0], secure=request.scope["scheme"] == "https", httponly=True, samesite="strict"
    )


@router.get("/session", responses={code: PROBLEMS[code] for code in (401, 429)})
async def who(session: ConsoleDep) -> LoggedIn:
    """Tell who is logged in."""
    return _shown(session)


def _shown(session: ConsoleSession) -> LoggedIn:
    return LoggedIn(name=session.name, expires_at=session.expires_at, csrf_token=session.csrf_token)
