"""Two proxies before several servers: a plain one, and one that keeps a session where it began."""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

SESSION = "mcp-session-id"
_HOP = {"host", "content-length", "connection", "transfer-encoding", "accept-encoding"}


class Proxy:
    """Hands each request to the next server, or to the one that has its session.

    A server that cannot be reached is passed over; an answer that breaks is the client's to see.
    """

    def __init__(self, servers: Sequence[str], *, affine: bool) -> None:
        self._servers = list(servers)
        self._affine = affine
        self._turn = count()
        self._homes: dict[str, str] = {}
        self._client = httpx2.AsyncClient(timeout=60)

    @asynccontextmanager
    async def living(self, _: Starlette) -> AsyncIterator[None]:
        """Close its connections at the end."""
        async with self._client:
            yield

    async def forward(self, request: Request) -> Response:
        """Forward one request and stream the answer back."""
        home = self._homes.get(request.headers.get(SESSION, ""))
        if self._affine and home is not None:
            order = [home]
        else:
            first = next(self._turn) % len(self._servers)
            order = self._servers[first:] + self._servers[:first]
        body = await request.body()
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP]
        for server in order:
            asked = self._client.build_request(
                request.method, f"{server}{request.url.path}", headers=headers, content=body
            )
            try:
                answer = await self._client.send(asked, stream=True)
            except httpx2.ConnectError:
                continue
            except httpx2.TransportError:
                return Response(status_code=502)
            if session := answer.headers.get(SESSION):
                self._homes[session] = server
            kept = {k: v for k, v in answer.headers.items() if k not in _HOP}
            return StreamingResponse(_streamed(answer), answer.status_code, kept)
        return Response(status_code=404 if home else 503)


async def _streamed(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()


@contextmanager
def proxied(servers: Sequence[str], *, affine: bool) -> Iterator[str]:
    """A proxy before the servers, on a free port of loopback, until the block ends."""
    proxy = Proxy(servers, affine=affine)
    routes = [Route("/{path:path}", proxy.forward, methods=["GET", "POST", "DELETE"])]
    app = Starlette(routes=routes, lifespan=proxy.living)
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, loop="asyncio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        threading.Event().wait(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(5)
