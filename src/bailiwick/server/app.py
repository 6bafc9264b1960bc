"""The ASGI application: what is served under which path.

/mcp                                     the MCP gateway
/v1/…                                    REST v1
/v1/token, /.well-known/oauth-…          tokens for agents, and where clients read of them
/metrics                                 counts, for Prometheus
/health/live, /health/ready              whether the process runs; whether it takes calls
everything else                          the pages, for people with a browser
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bailiwick.errors import BailiwickError
from bailiwick.gateway import BearerDoor, Gateway, lent
from bailiwick.ports import World
from bailiwick.runtime import Bailiwick
from bailiwick.server.admitting import Bearers, Leaving, bearer_of
from bailiwick.server.metrics import CONTENT_TYPE, Counting, Counts, RequestLog
from bailiwick.server.oauth import RESOURCE, Tokens
from bailiwick.server.pages import pages
from bailiwick.server.people import People
from bailiwick.server.problems import of_fault, problem
from bailiwick.server.rest import rest

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Beside:
    """Serves one path beside the router, through whose layers every call of a tool would go."""

    def __init__(self, route: Route, others: ASGIApp) -> None:
        self._route = route
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == self._route.path:
            scope["endpoint"] = self._route.endpoint
            await self._route.app(scope, receive, send)
        else:
            await self._others(scope, receive, send)


@asynccontextmanager
async def application(bailiwick: Bailiwick, url: str, counts: Counts) -> AsyncIterator[Leaving]:
    """The whole application over an open project, at its public address, until the block ends."""
    world = bailiwick.world
    door = BearerDoor(world, f"{url}/mcp")
    people = People(bailiwick.perform)
    gateway = Gateway(world, lambda asked: asked.scope["state"]["visitor"], pages=url)
    hosts, origins = _addresses(world, url)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def is_ready() -> BailiwickError | None:
        try:
            control = await world.store.control(world.settings.tenant)
            await world.bundle(world.settings.tenant, control.release)
        except BailiwickError as fault:
            return fault
        return None

    async def ready(_: Request) -> Response:
        if leaving.leaving:
            return problem(503, "draining", "this process is leaving, and takes nothing new")
        fault = await is_ready()
        return of_fault(fault, 503) if fault else JSONResponse({"status": "ready"})

    async def metrics(request: Request) -> Response:
        if not _is_for_all(world):
            try:
                await people.give(bearer_of(request.headers.raw), "whoami")
            except BailiwickError as fault:
                return of_fault(fault)
        able = not leaving.leaving and await is_ready() is None
        waiting = 0
        if able:
            waiting = len(await world.register.approvals(world.settings.tenant, ("open",)))
        return Response(counts.told(waiting=waiting, ready=able), media_type=CONTENT_TYPE)

    async with gateway.over_http(hosts, origins) as mcp, lent(world, pages=url) as gateways:
        gateways.append(gateway)
        bearers = Bearers(mcp, door, f"{url}{RESOURCE}/mcp")
        called = Route("/mcp", ServerErrorMiddleware(bearers, handler=_failed))
        routes = [
            called,
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", metrics),
            *Tokens(world, url, ("/mcp", "/v1")).routes(),
            *rest(world, people, url),
        ]
        # What no route here has is the pages', which tell programs of faults as problems too.
        shown, addresses = pages(world, people, url, hosts, lambda: leaving.leaving)
        app = Starlette(routes=routes, exception_handlers={405: _other, Exception: _failed})
        app.router.default = shown
        log = RequestLog(world.settings) if world.settings.serve.requests else None
        served = Counting(_Beside(called, app), [*routes, *addresses], counts, log)
        leaving = Leaving(served, gateways)
        try:
            yield leaving
        finally:
            if log is not None:
                await asyncio.to_thread(log.close)


def _is_for_all(world: World) -> bool:
    """Whether whoever reaches this process may read its counts: on loopback, before no proxy."""
    serve = world.settings.serve
    return serve.host in _LOOPBACK and serve.url is None and not serve.behind_proxy


async def _other(request: Request, fault: Exception) -> Response:
    allow = (fault.headers or {}).get("allow", "") if isinstance(fault, HTTPException) else ""
    return problem(
        405, "method_not_allowed", f"this address takes {allow}", headers={"allow": allow}
    )


async def _failed(request: Request, _: Exception) -> Response:
    return problem(500, "internal", "a fault here; nothing more is known of it")


def _addresses(world: World, url: str) -> tuple[list[str], list[str]]:
    """The `Host` and `Origin` headers that are ours: the public address, and loopback's names."""
    public = urlsplit(url)
    serve = world.settings.serve
    names = [f"{name}:*" for name in ("127.0.0.1", "localhost", "[::1]")]
    hosts = [public.netloc, *names] if serve.url else names
    if not serve.url and serve.host not in _LOOPBACK:
        hosts.append(f"{serve.host}:*")
    origins = [f"{public.scheme}://{public.netloc}", *(f"http://{name}" for name in names)]
    return hosts, origins
