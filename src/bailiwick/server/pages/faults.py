"""A fault as a page: what went wrong, its code, and what to do next."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bailiwick.errors import BailiwickError, LedgerError, StoreError
from bailiwick.server.pages.visiting import Console, is_session, to_login
from bailiwick.server.problems import problem

Answer = Callable[[Request, Exception], Awaitable[Response]]

_STATUS: Mapping[str, int] = {
    "action_unknown": 404,
    "approval_unknown": 404,
    "not_found": 404,
    "approval_closed": 409,
    "approval_moved": 409,
    "form_foreign": 403,
    "form_too_large": 413,
    "host_unknown": 421,
    "not_allowed": 403,
    "not_sequenced": 503,
    "payload_missing": 410,
    "request_changed": 409,
    "request_foreign": 403,
}


def status_of(fault: BailiwickError) -> int:
    """The HTTP status that tells of a fault."""
    if fault.code in _STATUS:
        return _STATUS[fault.code]
    if isinstance(fault, StoreError):
        return 503
    return 500 if isinstance(fault, LedgerError) else 422


def handled(console: Console) -> Mapping[Any, Answer]:
    """What is answered to each kind of fault."""

    async def fault(request: Request, raised: Exception) -> Response:
        assert isinstance(raised, BailiwickError)
        if is_session(raised):
            return to_login(console, request, ended=True)
        status = status_of(raised)
        return await told(console, request, status, raised.code, raised.message, help=raised.help)

    async def http(request: Request, raised: Exception) -> Response:
        assert isinstance(raised, HTTPException)
        if raised.status_code == 404:
            return await missing(console, request)
        return await told(
            console, request, raised.status_code, "method_unknown", "this cannot be done here"
        )

    async def unknown(request: Request, _: Exception) -> Response:
        return await told(
            console,
            request,
            500,
            "internal_error",
            "something went wrong in the server",
            help="nothing is known to have been done; look before you repeat it",
        )

    return {BailiwickError: fault, HTTPException: http, 500: unknown}


async def missing(console: Console, request: Request) -> Response:
    """There is nothing at an address: a page for people, a problem document for programs."""
    message = "there is nothing at this address"
    if "text/html" not in request.headers.get("accept", ""):
        return problem(404, "not_found", message)
    return await told(console, request, 404, "not_found", message)


async def told(
    console: Console,
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    help: str = "",
) -> Response:
    """The page that tells of a fault. It reads nothing: the store may be what is at fault."""
    response = console.shown(
        "fault.html",
        status,
        visit=getattr(request.state, "visit", None),
        number=status,
        code=code,
        message=message,
        help=help,
        title=_TITLES.get(status, "Something went wrong"),
    )
    if status == 503:
        response.headers["retry-after"] = "1"
    return response


_TITLES: Mapping[int, str] = {
    403: "Not allowed",
    404: "Not found",
    409: "It has changed",
    410: "No longer there",
    413: "Too long",
    421: "Not under this name",
    422: "That cannot be done",
    503: "Not just now",
}
