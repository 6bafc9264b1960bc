"""Logging in and out."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bailiwick.errors import BadInput, IdentityError, StoreUnavailable
from bailiwick.server.pages.visiting import Console, Visit, form_of
from bailiwick.server.people import People
from bailiwick.server.problems import status_of, waits_s

# A path of ours: never another host, which `//` and `/\` would be to a browser.
_OURS = re.compile(r"/(?![/\\])[\w./?=&%-]{0,300}", re.ASCII).fullmatch


class Entrance:
    """The login page, and what becomes of a try."""

    def __init__(self, console: Console, people: People) -> None:
        self._console = console
        self._people = people

    async def page(self, request: Request) -> Response:
        """Ask for name and password."""
        wanted = request.query_params.get("next", "/")
        ended = request.query_params.get("ended") == "1"
        return self._console.shown("login.html", wanted=_local(wanted), ended=ended)

    async def enter(self, request: Request) -> Response:
        """Try a name and a password."""
        form = await form_of(request)
        name, wanted = str(form.get("name", "")).strip(), _local(str(form.get("next", "/")))
        password = str(form.get("password", ""))
        try:
            if not (name and password):
                raise BadInput("both the name and the password are needed", code="login_incomplete")
            entered = await self._people.log_in(name, password)
        except (IdentityError, BadInput, StoreUnavailable) as fault:
            status = status_of(fault)
            response = self._console.shown(
                "login.html", status, wanted=wanted, name=name, fault=fault
            )
            if (wait_s := waits_s(fault, status)) is not None:
                response.headers["retry-after"] = str(wait_s)
            return response
        response = RedirectResponse(wanted, 303)
        self._console.keep(response, entered.login)
        return response


async def leave(visit: Visit) -> Response:
    """Take the session from the browser."""
    response = RedirectResponse("/login", 303)
    visit.console.forget(response)
    return response


def _local(wanted: str) -> str:
    return wanted if _OURS(wanted) else "/"
