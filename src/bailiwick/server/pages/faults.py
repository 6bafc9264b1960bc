"""A fault as a page: what went wrong, its code, and what to do next."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bailiwick.errors import BailiwickError
from bailiwick.server.pages.visiting import Console, is_session, to_login
from bailiwick.server.problems import problem, status_of, waits_s

Answer = Callable[[Request, Exception], Awaitable[Response]]


def handled(console: Console) -> Mapping[Any, Answer]:
    """What is answered to each kind of fault."""

    async def fault(request: Request, raised: Exception) -> Response:
        assert isinstance(raised, BailiwickError)
        if is_session(raised):
            return to_login(console, request, ended=True)
        return await of_fault(console, request, raised)

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


async def of_fault(console: Console, request: Request, fault: BailiwickError) -> Response:
    """The page that tells of a fault, with its status, and after what time to come again."""
    status = status_of(fault)
    response = await told(console, request, status, fault.code, fault.message, help=fault.help)
    if (wait_s := waits_s(fault, status)) is not None:
        response.headers["retry-after"] = str(wait_s)
    return response


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
    return console.shown(
        "fault.html",
        status,
        visit=getattr(request.state, "visit", None),
        number=status,
        code=code,
        message=message,
        help=help,
        title=_TITLES.get(status, "Something went wrong"),
    )


_TITLES: Mapping[int, str] = {
    403: "Not allowed",
    404: "Not found",
    409: "Not as things stand",
    413: "Too long",
    421: "Not under this name",
    422: "That cannot be done",
    429: "Too often",
    503: "Not just now",
}
