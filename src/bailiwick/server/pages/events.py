"""What tells an open page that it is out of date: server-sent events (WHATWG HTML, 9.2).

An event says only that something has changed; the page then asks for itself anew, as whoever
looks. Marks are read from the store about once a second, whichever process changed it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from bailiwick.errors import BailiwickError
from bailiwick.ports import World
from bailiwick.server.pages.visiting import Visit, is_session
from bailiwick.server.problems import problem

_LOOK_S = 0.8  # streams are gone within the second that the server waits for them
_CHECK_EVERY = 15
_STREAMS = 500
# So many actions in flight are shown, and looked at.
FLYING = 100


async def mark_of(world: World, action: str = "", *, flying: bool = False) -> str:
    """What changes when the page of an action, or the inbox, is out of date.

    With `flying` that of what is in flight, too.
    """
    tenant = world.settings.tenant
    seen: list[object] = [await world.store.epoch(tenant)]
    if action:
        row = await world.store.action(tenant, action)
        asked = await world.shelf.approval(tenant, action) if row is not None else None
        seen += [row and (row.version, row.state, row.updated_at_us)]
        open_ones = [asked] if asked is not None else []
    else:
        open_ones = list(await world.register.approvals(tenant, ("open",)))
    if flying:
        rows = await world.register.actions(tenant, ("intended",), FLYING, None)
        seen.append([row.id for row in rows])
    seen += [
        (each.action, each.request_digest, each.state, len(each.votes), each.escalated)
        for each in open_ones
    ]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


class Streams:
    """The streams of one process. All that look at the same lists share one look a second."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open = 0
        self._looked: dict[bool, tuple[float, str]] = {}
        self._looking = asyncio.Lock()

    async def events(self, visit: Visit) -> Response:
        """A stream that says when what the visitor looks at has changed."""
        if self._open >= _STREAMS:
            return problem(503, "streams_full", "too many pages are open; reload to look anew")
        asked = visit.request.query_params
        action, flying = asked.get("action", "")[:200], asked.get("of") == "stops"
        return StreamingResponse(
            self._stream(visit, action, flying),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    async def _stream(self, visit: Visit, action: str, flying: bool) -> AsyncIterator[str]:
        self._open += 1
        try:
            yield "retry: 2000\n\n"
            told, looks = "", 0
            while not visit.console.leaving():
                mark = await self._mark(action, flying)
                if mark != told or looks % _CHECK_EVERY == 0:
                    # Nobody is told anything after their session has ended.
                    await visit.ask("whoami")
                    told = mark
                    yield f"event: mark\ndata: {mark}\n\n"
                looks += 1
                await self._wait(action)
        except BailiwickError as fault:
            if is_session(fault):
                yield "event: ended\ndata: -\n\n"
        finally:
            self._open -= 1

    async def _wait(self, action: str) -> None:
        if action:
            await self._world.store.changed(action, _LOOK_S)
            await asyncio.sleep(0.1)  # a busy action is not looked at without a breath
        else:
            await asyncio.sleep(_LOOK_S)

    async def _mark(self, action: str, flying: bool) -> str:
        if action:
            return await mark_of(self._world, action)
        async with self._looking:
            now_s = asyncio.get_running_loop().time()
            looked = self._looked.get(flying)
            if looked is None or now_s - looked[0] >= _LOOK_S / 2:
                looked = now_s, await mark_of(self._world, flying=flying)
                self._looked[flying] = looked
            return looked[1]
