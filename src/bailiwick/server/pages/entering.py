"""Logging in and out."""

import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity import LogIn
from bailiwick.identity.jose import decode
from bailiwick.operations import perform
from bailiwick.server.pages.visiting import Console, Object, Visit, form_of

# A path of ours: never another host, which `//` and `/\` would be to a browser.
_OURS = re.compile(r"/(?![/\\])[\w./?=&%-]{0,300}", re.ASCII).fullmatch
_NO = {"password_wrong": 401, "account_waiting": 429, "person_disabled": 403}


class Entrance:
    """The login page, and what becomes of a try."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def page(self, request: Request) -> Response:
        """Ask for name and password."""
        wanted = request.query_params.get("next", "/")
        ended = request.query_params.get("ended") == "1"
        return self._console.shown("login.html", wanted=_local(wanted), ended=ended)

    async def enter(self, request: Request) -> Response:
        """Try a name and a password."""
        form = await form_of(request)
        name, wanted = str(form.get("name", "")).strip(), _local(str(form.get("next", "/")))
        parameters: Object = {"name": name, "password": str(form.get("password", ""))}
        try:
            if not (name and parameters["password"]):
                raise BadInput("both the name and the password are needed", code="login_incomplete")
            answer = await perform(
                self._console.world, {"command": "login", "parameters": parameters}
            )
        except (IdentityError, BadInput) as fault:
            response = self._console.shown(
                "login.html", _NO.get(fault.code, 422), wanted=wanted, name=name, fault=fault
            )
            wait_s = fault.details.get("wait_s")
            if isinstance(wait_s, int):
                response.headers["retry-after"] = str(wait_s)
            return response
        assert isinstance(answer, dict)
        key = Ed25519PrivateKey.from_private_bytes(decode(str(answer["key"])))
        response = RedirectResponse(wanted, 303)
        self._console.keep(response, LogIn(str(answer["statement"]), key))
        return response


async def leave(visit: Visit) -> Response:
    """Take the session from the browser."""
    response = RedirectResponse("/login", 303)
    visit.console.forget(response)
    return response


def _local(wanted: str) -> str:
    return wanted if _OURS(wanted) else "/"
