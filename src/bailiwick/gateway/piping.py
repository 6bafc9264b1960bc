"""MCP over pipes, for clients that speak nothing else: `bailiwick mcp --stdio`.

The process that the client starts may be one of several, and an SQLite file has one owner. So the
owner serves the others: whoever comes second proves the agent's key on a socket beside the
database and from then on hands lines to and fro. If nobody owns the project, the process that was
started does, for as long as its client stays.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec

from bailiwick import identity
from bailiwick.config import Settings
from bailiwick.errors import BailiwickError, ControlError, StoreFenced
from bailiwick.gateway.doors import KeyHolder
from bailiwick.gateway.serving import Gateway
from bailiwick.operations.channel import described, listen, socket_name, text_of
from bailiwick.ports import World
from bailiwick.runtime import Bailiwick
from bailiwick.values import JSON, canonical, parse
from bailiwick.wiring import agent_key_file

_MAX_LINE = 4 * 1024 * 1024


async def speak(settings: Settings, agent: str, subject: str) -> None:
    """Serve the client at our own pipes until it leaves, as the owner or through him.

    Without a server there are no pages: people decide at the command line.

    Raises `IdentityError` for an agent whose key does not stand, `ControlError` (`owner_silent`)
    if the owner serves no pipes, and what opening a project raises.
    """
    try:
        async with Bailiwick.open(settings) as bailiwick:
            visitor = KeyHolder(bailiwick.world, agent, subject)
            await visitor.caller()
            async with lent(bailiwick.world, pages=""):
                await Gateway(bailiwick.world, lambda _: visitor, pages="").over_pipes()
    except StoreFenced as fault:
        if fault.code != "store_owned":
            raise
        await _through_the_owner(settings, agent, subject)


@asynccontextmanager
async def lent(world: World, pages: str) -> AsyncIterator[list[Gateway]]:
    """Serve other processes' pipes beside the database; the gateways that are in use are given."""
    seen, serving = identity.SeenAssertions(), list[Gateway]()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = _Lines(reader, writer)
        try:
            await lines.write(_line({"nonce": world.tokens.nonce}))
            visitor = await _proved(world, seen, await reader.readline())
            await lines.write(_line({"served": True}))
            gateway = Gateway(world, lambda _: visitor, pages=pages)
            serving.append(gateway)
            try:
                await gateway.over_pipes(lines, lines)
            finally:
                serving.remove(gateway)
        except BailiwickError as fault:
            await lines.write(_line({"fault": described(fault)}))
        except (ConnectionError, ValueError):
            pass  # a client that left, or spoke too long a line, gets no answer
        finally:
            writer.close()

    server = await listen(_socket(world.settings), converse, _MAX_LINE)
    try:
        yield serving
    finally:
        server.close()


async def _proved(world: World, seen: identity.SeenAssertions, line: bytes) -> KeyHolder:
    """Who is on the other end of the socket: it has signed our challenge with the agent's key."""
    told = parse(line, max_bytes=_MAX_LINE)
    control = await world.store.control(world.settings.tenant)
    assertion = text_of(told, "assertion")
    agent, _ = identity.prover(world, control, assertion, seen, now_us=world.now_us())
    visitor = KeyHolder(world, agent, text_of(told, "subject"))
    await visitor.caller()
    return visitor


async def _through_the_owner(settings: Settings, agent: str, subject: str) -> None:
    key = identity.read_agent_key(agent_key_file(settings, agent))
    try:
        with socket_name(_socket(settings)) as name:
            reader, writer = await asyncio.open_unix_connection(name, limit=_MAX_LINE)
    except OSError as error:
        raise ControlError(
            "the process that owns the database serves no other's pipes",
            code="owner_silent",
            help="end it, or run the project by `bailiwick up`",
        ) from error
    try:
        challenge = await _told(reader)
        assertion = identity.make_assertion(
            key,
            agent,
            tenant=settings.tenant,
            nonce=str(challenge["nonce"]),
            now_us=time.time_ns() // 1000,
            random=os.urandom,
        )
        writer.write(_line({"assertion": assertion, "subject": subject}).encode())
        await _told(reader)
        await _copied(reader, writer)
    finally:
        writer.close()


async def _told(reader: asyncio.StreamReader) -> Mapping[str, JSON]:
    told = cast("Mapping[str, JSON]", msgspec.json.decode(await reader.readline() or b"{}"))
    fault = told.get("fault")
    if isinstance(fault, Mapping):
        raise ControlError(str(fault["message"]), code=str(fault["code"]), help=str(fault["help"]))
    return told


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand what comes on our standard input to the owner, and what he says to our output."""
    loop = asyncio.get_running_loop()
    own = asyncio.StreamReader(limit=_MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(own), os.fdopen(0, "rb", 0))

    async def there() -> None:
        while data := await own.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def back() -> None:
        while data := await reader.read(65536):
            await asyncio.to_thread(_write_all, data)

    both = [asyncio.create_task(there()), asyncio.create_task(back())]
    # When the owner has said his last, there is nobody left to read what the client says.
    await asyncio.wait((both[1],))
    both[0].cancel()
    await asyncio.gather(*both, return_exceptions=True)


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


class _Lines:
    """A socket as the lines of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def __aiter__(self) -> AsyncIterator[str]:
        while line := await self._reader.readline():
            yield line.decode("utf-8", "replace")

    async def write(self, text: str) -> None:
        """Take a line."""
        self._writer.write(text.encode())

    async def flush(self) -> None:
        """Have it sent."""
        await self._writer.drain()


def _line(document: Mapping[str, JSON]) -> str:
    return canonical(document).decode() + "\n"


def _socket(settings: Settings) -> Path:
    return settings.data / "mcp.sock"
