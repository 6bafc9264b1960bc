"""A visit: who looks, what they ask, and what they are shown."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bailiwick import identity
from bailiwick.errors import BadInput, BailiwickError, IdentityError
from bailiwick.identity import LogIn
from bailiwick.nouns import Role
from bailiwick.operations import perform
from bailiwick.ports import World
from bailiwick.server.pages.rendering import environment
from bailiwick.server.pages.sealing import Seal
from bailiwick.values import JSON

Object = Mapping[str, JSON]
Handler = Callable[["Visit"], Awaitable[Response]]

_NOTHING: Object = MappingProxyType({})
_FORM_BYTES = 64 * 1024
_SESSION_S = identity.MAX_SECONDS


class Console:
    """What all visits share: the world, the seal of the cookies, the templates."""

    def __init__(self, world: World, url: str, leaving: Callable[[], bool]) -> None:
        """`url` is the public address; `leaving` says that the process takes nothing new."""
        self.world = world
        self.leaving = leaving
        self.secure = url.startswith("https:")
        self.seal = Seal(world.keys, world.settings.tenant, world.random)
        # A name with this prefix is taken from https alone, and from no other host (RFC 6265bis).
        self.cookie = f"__Host-{self.seal.name}" if self.secure else self.seal.name
        self._templates = environment()

    def login_of(self, request: Request) -> LogIn | None:
        """The session in the request's cookie; whether it holds, `perform` says."""
        cookie = request.cookies.get(self.cookie)
        return self.seal.opened(cookie) if cookie else None

    def shown(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page; without a visit it has no one's name on it."""
        known = {
            "visit": None,
            "stops": (),
            "now_us": self.world.now_us(),
            "refresh": "",
            "quiet": False,
            "here": "",
            **values,
        }
        return HTMLResponse(self._templates.get_template(template).render(known), status)

    def keep(self, response: Response, login: LogIn) -> None:
        """Give the browser a session."""
        self._set(response, self.seal.closed(login), _SESSION_S)

    def forget(self, response: Response) -> None:
        """Take a session from the browser."""
        self._set(response, "", 0)

    def _set(self, response: Response, value: str, seconds: int) -> None:
        response.set_cookie(
            self.cookie,
            value,
            max_age=seconds,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )


class Visit:
    """One request by somebody who is logged in; `form` is what they sent."""

    def __init__(
        self, console: Console, request: Request, login: LogIn, account: Object, form: Object
    ) -> None:
        self.console = console
        self.request = request
        self.login = login
        self.form = form
        self.name = str(account["name"])
        self.roles = cast("Sequence[Role]", account["roles"])
        self.queues = cast("Sequence[str]", account["queues"])

    def may(self, command: str) -> bool:
        """Whether to offer a command; whether it is allowed, `perform` says again."""
        return identity.allowed(self.roles, command)

    async def ask(self, command: str, **parameters: JSON) -> Any:
        """Have a command carried out as this person. Raises what it raises."""
        return await asked(self.console, self.login, command, parameters)

    async def shown(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page with their name on it, and with what is stopped."""
        stops = await self.ask("stops list")
        here = looked_at(self.request)
        return self.console.shown(template, status, visit=self, stops=stops, here=here, **values)

    @property
    def token(self) -> str:
        """What their forms carry."""
        return self.console.seal.form_token(self.login)

    def text(self, name: str) -> str:
        """A field of the form, or of the address; empty if there is none."""
        return str(self.form.get(name, ""))

    @property
    def whole(self) -> bool:
        """Whether they asked that nothing be cut."""
        return self.request.query_params.get("whole") == "1"


async def asked(console: Console, login: LogIn, command: str, parameters: Object = _NOTHING) -> Any:
    """The answer to a command of somebody who is logged in."""
    session = login.statement
    given: Object = {"command": command, "session": session, "parameters": parameters}
    return await perform(console.world, given)


def page(console: Console, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a handler: whoever is not logged in is sent to do so first."""

    async def endpoint(request: Request) -> Response:
        login = console.login_of(request)
        if login is None:
            return to_login(console, request, ended=console.cookie in request.cookies)
        try:
            account = await asked(console, login, "whoami")
        except IdentityError:
            return to_login(console, request, ended=True)
        form = await form_of(request)
        visit = Visit(console, request, login, account, form)
        request.state.visit = visit
        if request.method == "POST" and not console.seal.is_form_token(login, visit.text("token")):
            raise BadInput(
                "the form is not one that this session was given",
                code="form_foreign",
                help="open the page again and repeat what you did; nothing was done",
            )
        return await handler(visit)

    return endpoint


def to_login(console: Console, request: Request, *, ended: bool) -> Response:
    """Send somebody to log in, and back afterwards to what they looked at."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = request.url.path + query if request.method == "GET" else looked_at(request)
    words = "&ended=1" if ended else ""
    response = RedirectResponse(f"/login?next={quote(wanted, safe='/')}{words}", 303)
    console.forget(response)
    return response


def looked_at(request: Request) -> str:
    """The page that a form stood on: the address of a vote is its request's, and so on."""
    path = request.url.path
    return "/" if path == "/logout" else path.removesuffix("/vote").removesuffix("/resume")


async def form_of(request: Request) -> dict[str, JSON]:
    """The fields of a form; a body that is too long, or none of ours, is `BadInput`."""
    if request.method != "POST":
        return {}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise BadInput(
                f"the form has more than {_FORM_BYTES} bytes",
                code="form_too_large",
                help="say it in fewer words",
            )
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50)
        return {name: value.replace("\r\n", "\n") for name, value in pairs}
    except ValueError:
        raise BadInput("the form cannot be read", code="form_invalid") from None


def is_session(fault: BailiwickError) -> bool:
    """Whether a fault says that the session does not hold any more."""
    return isinstance(fault, IdentityError) and (
        fault.code.startswith("session_") or fault.code in ("person_unknown", "person_disabled")
    )
