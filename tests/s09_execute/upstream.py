"""An outside system with faults: real sockets on the loopback interface, one behaviour a path.

A behaviour is told the request and writes what it likes. `Upstream.on` gives a path its behaviours
in order; the last one stays. `effects` counts what the system has really done.
"""

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Behaviour = Callable[["Upstream", "Arrival", asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Arrival:
    """A request that arrived whole."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> object:
        return json.loads(self.body)


@dataclass
class Upstream:
    """The system: what arrived, what it did, and how it behaves."""

    port: int = 0
    connections: int = 0
    effects: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    open: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self, path: str, *behaviours: Behaviour) -> None:
        self.behaviours[path] = list(behaviours)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.open[task] = writer
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                start, *lines = head.decode("latin-1").strip().split("\r\n")
                pairs = (line.partition(":") for line in lines)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, target, _ = start.split(" ")
                arrival = Arrival(method, target, headers, body)
                self.arrivals.append(arrival)
                self.arrived.set()
                await self._next(target)(self, arrival, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            del self.open[task]

    async def end(self) -> None:
        """Whoever is still connected is cut off."""
        self.ended.set()
        for writer in self.open.values():
            writer.transport.abort()
        await asyncio.gather(*self.open)

    def _next(self, target: str) -> Behaviour:
        waiting = self.behaviours[target.partition("?")[0]]
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]


def answer(
    status: int = 200,
    body: object = None,
    *,
    acts: bool = False,
    raw: bytes | None = None,
    **headers: str,
) -> Behaviour:
    """Answers, after doing the effect if it `acts`. Header names are written with underscores."""
    content = raw if raw is not None else (b"" if body is None else json.dumps(body).encode())

    async def behave(upstream: Upstream, _: Arrival, writer: asyncio.StreamWriter) -> None:
        upstream.effects += acts
        lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(content)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    return behave


def reset(*, acts: bool = False, after: bytes = b"") -> Behaviour:
    """Resets the connection (RST), after the effect if it `acts` and after some bytes."""

    async def behave(upstream: Upstream, _: Arrival, writer: asyncio.StreamWriter) -> None:
        upstream.effects += acts
        writer.write(after)
        await writer.drain()
        if after:
            await asyncio.sleep(0.02)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    return behave


def close(*, acts: bool = False) -> Behaviour:
    """Ends the connection in good order, without an answer."""

    async def behave(upstream: Upstream, _: Arrival, writer: asyncio.StreamWriter) -> None:
        upstream.effects += acts
        writer.close()

    return behave


def silence(seconds: float, *, acts: bool = False) -> Behaviour:
    """Says nothing for a time and then hangs up."""

    async def behave(upstream: Upstream, _: Arrival, writer: asyncio.StreamWriter) -> None:
        upstream.effects += acts
        try:
            await asyncio.wait_for(upstream.ended.wait(), seconds)
        except TimeoutError:
            writer.close()

    return behave


def drip(pause_s: float) -> Behaviour:
    """Answers one byte at a time, for ever."""

    async def behave(_: Upstream, __: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(pause_s)

    return behave


def endless() -> Behaviour:
    """Answers without end, in chunks."""

    async def behave(_: Upstream, __: Arrival, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    return behave


def bomb(megabytes: int) -> Behaviour:
    """Answers with a small gzip body that unpacks to many megabytes."""
    packed = gzip.compress(b'"' + b"a" * megabytes * 1024 * 1024 + b'"')
    return answer(200, raw=packed, Content_Encoding="gzip", Content_Type="application/json")


def under_key(then: Behaviour) -> Behaviour:
    """Honours the idempotency key: does the effect once, answers 201, or behaves as told at first.

    The first request with a key acts and then behaves as `then` says; each later one is replayed.
    """
    seen: set[str] = set()

    async def behave(upstream: Upstream, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        key = arrival.headers["idempotency-key"]
        if key in seen:
            await answer(201, {"id": "re_1", "replayed": True})(upstream, arrival, writer)
            return
        seen.add(key)
        upstream.effects += 1
        await then(upstream, arrival, writer)

    return behave


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """A system that runs until the end of the block."""
    system = Upstream()
    server = await asyncio.start_server(system.serve, "127.0.0.1", 0)
    system.port = server.sockets[0].getsockname()[1]
    try:
        yield system
    finally:
        server.close()
        await system.end()
