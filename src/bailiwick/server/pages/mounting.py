"""The table of pages, and the application that serves them."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bailiwick.errors import BadInput
from bailiwick.ports import World
from bailiwick.server.pages import actions, approvals, stops
from bailiwick.server.pages.entering import Entrance, leave
from bailiwick.server.pages.events import Streams
from bailiwick.server.pages.faults import handled, of_fault
from bailiwick.server.pages.guarding import Guard
from bailiwick.server.pages.rendering import STATIC
from bailiwick.server.pages.visiting import Console, Handler, page
from bailiwick.server.people import People


class _Static(StaticFiles):
    """Files that change their address when they change, so that browsers keep them."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response


def pages(
    world: World,
    people: People,
    url: str,
    hosts: Sequence[str],
    leaving: Callable[[], bool] = lambda: False,
) -> tuple[ASGIApp, Sequence[Route]]:
    """The pages of an open project, at its public address and under the names in `hosts`.

    Gives the application, and its addresses. `leaving` says that the process takes nothing new.
    """
    console = Console(world, url, leaving)
    streams, entrance = Streams(world), Entrance(console, people)

    async def home(_: Request) -> Response:
        return RedirectResponse("/approvals", 303)

    async def refused(request: Request, code: str, message: str) -> Response:
        fault = BadInput(message, code=code, help="nothing was done")
        return await of_fault(console, request, fault)

    def visited(path: str, handler: Handler, method: str = "GET") -> Route:
        return Route(path, page(console, handler), methods=[method])

    routes = [
        Route("/", home),
        Route("/login", entrance.page, methods=["GET"]),
        Route("/login", entrance.enter, methods=["POST"]),
        visited("/logout", leave, "POST"),
        visited("/approvals", approvals.inbox),
        visited("/approvals/{id}", approvals.one),
        visited("/approvals/{id}/vote", approvals.vote, "POST"),
        visited("/actions", actions.listed),
        visited("/actions/{id}", actions.story),
        visited("/actions/{id}/receipts", actions.receipt),
        visited("/stops", stops.stops),
        visited("/stops", stops.stop, "POST"),
        visited("/stops/resume", stops.resume, "POST"),
        visited("/events", streams.events),
    ]
    files = Mount("/static", _Static(directory=STATIC))
    app = Starlette(routes=[*routes, files], exception_handlers=handled(console))
    return Guard(app, hosts, console.secure, refused), routes
