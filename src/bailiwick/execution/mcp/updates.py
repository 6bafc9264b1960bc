"""Which resources of a server changed, as it says, for as long as somebody wants to know.

In 2026-07-28 one stream (`subscriptions/listen`) has all that is wanted; in 2025-11-25 each is
subscribed to, and heard where the server has a way to speak first: over pipes, not over HTTP, where
no stream is kept open. A server only says that a resource changed, so how often is all that is
kept. When its stream broke and is there again, all may have changed.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count

import mcp_types
from mcp import Client, MCPError
from mcp.client.subscriptions import SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

_WANTED_S = 60.0
_AGAIN_S = 10.0
_OPEN_S = 5.0
_sessions = count(1)


class Updates:
    """The resources of one session that somebody wants to hear of."""

    def __init__(self) -> None:
        self.session = next(_sessions)
        self._counts: dict[str, int] = {}
        self._wanted_s: dict[str, float] = {}
        self._listened_s = 0.0
        self._listens_to = frozenset[str]()
        self._listening: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()

    def heard(self, uri: str) -> None:
        """The server says that a resource changed."""
        if uri in self._counts:
            self._counts[uri] += 1

    async def of(self, client: Client, uris: Iterable[str]) -> Mapping[str, int]:
        """How often each has changed since it was first asked for in this session."""
        now_s = asyncio.get_running_loop().time()
        asked = list(uris)
        fresh = [uri for uri in asked if uri not in self._counts]
        for uri in asked:
            self._wanted_s[uri] = now_s
            self._counts.setdefault(uri, 0)
        gone = [uri for uri, at_s in self._wanted_s.items() if now_s - at_s > _WANTED_S]
        for uri in gone:
            del self._wanted_s[uri], self._counts[uri]
        async with self._one:
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                await self._listen(client, now_s)
            else:
                await _subscribe(client, fresh, gone)
        return {uri: self._counts[uri] for uri in asked}

    def end(self) -> None:
        """Listen no more."""
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self, client: Client, now_s: float) -> None:
        """Have one stream that is about all of them; the next one is open before the last ends."""
        wanted, before = frozenset(self._counts), self._listening
        lost = before is not None and before.done()
        if before is not None and wanted == self._listens_to and not lost:
            return
        if lost and now_s - self._listened_s < _AGAIN_S:
            return
        self._listened_s, listened_to, self._listens_to = now_s, self._listens_to, wanted
        opened = asyncio.Event()
        self._listening = asyncio.create_task(_listening(client, wanted, opened))
        self._listening.add_done_callback(lambda task: task.cancelled() or task.exception())
        opening = asyncio.create_task(opened.wait())
        try:
            either = (opening, self._listening)
            await asyncio.wait(either, timeout=_OPEN_S, return_when="FIRST_COMPLETED")
        finally:
            opening.cancel()
            if before is not None:
                before.cancel()
        if lost:
            for uri in listened_to:
                self.heard(uri)


async def _listening(client: Client, uris: frozenset[str], opened: asyncio.Event) -> None:
    # What comes is heard by the session, which also hears what has no stream.
    with suppress(MCPError, SubscriptionLost, TimeoutError):
        async with client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=sorted(uris),
        ) as events:
            opened.set()
            async for _ in events:
                pass


async def _subscribe(client: Client, fresh: Iterable[str], gone: Iterable[str]) -> None:
    for uri in fresh:
        params = mcp_types.SubscribeRequestParams(uri=uri)
        with suppress(MCPError):
            await client.session.send_request(
                mcp_types.SubscribeRequest(params=params), mcp_types.EmptyResult
            )
    for uri in gone:
        ended = mcp_types.UnsubscribeRequestParams(uri=uri)
        with suppress(MCPError):
            await client.session.send_request(
                mcp_types.UnsubscribeRequest(params=ended), mcp_types.EmptyResult
            )
