"""The PostgreSQL server of the tests, and a way to it that is cut in the middle of a commit."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bailiwick.testing.postgres import PostgresServer as Server
from bailiwick.testing.postgres import serving

__all__ = ["Server", "cutting", "serving"]

COMMIT = re.compile(rb"\0commit;?\0")  # as a statement of the protocol, not as a part of one


@asynccontextmanager
async def cutting(
    server: Server,
    *,
    before: bool,
    for_good: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> AsyncIterator[tuple[int, list[int]]]:
    """A way to the server that is cut at the first COMMIT: before the server hears it, or after.

    Gives the port, and a list that gets an entry when it has happened. `for_good` lets nobody
    through afterwards; `meanwhile` is done before anybody is.
    """
    cuts: list[int] = []

    async def carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sends: bool
    ) -> None:
        while data := await reader.read(65536):
            if sends and COMMIT.search(data) and not cuts:
                cuts.append(1)
                meanwhile()
                if not before:
                    writer.write(data)
                    await asyncio.sleep(0.3)  # the server has done it, and nobody hears of it
                break
            if not sends and cuts == [1] and not before:
                continue
            writer.write(data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if cuts and for_good:
            writer.transport.abort()
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", server.port)
        ways = (carry(reader, to_writer, True), carry(to_reader, writer, False))
        tasks = [asyncio.create_task(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        cuts[:] = [2] if cuts else []
        for each in (writer, to_writer):
            each.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close

    door = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield door.sockets[0].getsockname()[1], cuts
    finally:
        door.close()
        await asyncio.sleep(0.1)
