"""The ASGI application: what is served under which path.

/mcp                                     the MCP gateway
/.well-known/oauth-protected-resource    where its clients get tokens (RFC 9728)
/health/live, /health/ready              whether the process runs; whether it takes calls
everything else                          the pages, for people with a browser
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bailiwick.errors import BailiwickError
from bailiwick.gateway import BearerDoor, Gateway, lent
from bailiwick.ports import World
from bailiwick.server.admitting import Bearers, Leaving
from bailiwick.server.pages import pages
from bailiwick.server.problems import of_fault, problem

_METADATA = "/.well-known/oauth-protected-resource"


class _Endpoint:
    """An ASGI application as the endpoint of a route: Starlette wraps plain functions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@asynccontextmanager
async def application(world: World, url: str) -> AsyncIterator[Leaving]:
    """The whole application over an open project, at its public address, until the block ends."""
    door = BearerDoor(world, f"{url}/mcp")
    gateway = Gateway(world, lambda asked: asked.state.visitor, pages=url)
    hosts, origins = _addresses(world, url)

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if leaving.leaving:
            return problem(503, "draining", "this process is leaving, and takes nothing new")
        try:
            control = await world.store.control(world.settings.tenant)
            await world.bundle(world.settings.tenant, control.release)
        except BailiwickError as fault:
            return of_fault(fault, 503)
        return JSONResponse({"status": "ready"})

    async def metadata(_: Request) -> Response:
        return JSONResponse(
            {
                "resource": door.address,
                "authorization_servers": [url],
                "bearer_methods_supported": ["header"],
                "authorization_details_types_supported": ["bailiwick_tool"],
                "resource_name": "Bailiwick",
            }
        )

    async with gateway.over_http(hosts, origins) as mcp, lent(world, pages=url) as gateways:
        gateways.append(gateway)
        routes = [
            Route("/mcp", _Endpoint(Bearers(mcp, door, f"{url}{_METADATA}/mcp"))),
            Route(_METADATA, metadata),
            Route(f"{_METADATA}/mcp", metadata),
            Route("/health/live", live),
            Route("/health/ready", ready),
        ]
        app = Starlette(routes=routes)
        # What no route has is the pages', which tell programs of faults as problems too.
        app.router.default = pages(world, url, hosts, lambda: leaving.leaving)
        leaving = Leaving(app, gateways)
        yield leaving


def _addresses(world: World, url: str) -> tuple[list[str], list[str]]:
    """The `Host` and `Origin` headers that are ours: the public address, and loopback's names."""
    public = urlsplit(url)
    serve = world.settings.serve
    names = [f"{name}:*" for name in ("127.0.0.1", "localhost", "[::1]")]
    hosts = [public.netloc, *names] if serve.url else names
    if not serve.url and serve.host not in ("127.0.0.1", "localhost", "::1"):
        hosts.append(f"{serve.host}:*")
    origins = [f"{public.scheme}://{public.netloc}", *(f"http://{name}" for name in names)]
    return hosts, origins
