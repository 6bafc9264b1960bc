"""What sessions of 2025-11-25 were told, kept for a while: who lost its connection hears the rest.

A client takes up a stream again by the id of the last event that it read (MCP, transports,
resumability). Each session has events of its own, and sees no other's. What is kept is bounded, for
a session and for all together: whoever was told nothing for the longest time loses his first, and
asks for his outcome by making the same call again.
"""

import asyncio
from collections import OrderedDict, deque
from contextlib import suppress
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

RETRY_MS = 1000
_SILENCE_S = 60.0
_SESSION_EVENTS = 256
_SESSION_BYTES = 2 * 1024 * 1024
_BYTES = 64 * 1024 * 1024
_SESSIONS = 10_000
_ANSWERS = (types.JSONRPCResponse, types.JSONRPCError)


class _Event(NamedTuple):
    number: int
    stream: str
    message: types.JSONRPCMessage | None
    size: int

    def answers(self, stream: str) -> bool:
        """Whether it is what ends a stream: its request's answer."""
        return self.stream == stream and isinstance(self.message, _ANSWERS)


class Kept:
    """What all sessions were told, as far as it is kept."""

    def __init__(self, most_bytes: int = _BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sessions: OrderedDict[SessionEvents, None] = OrderedDict()

    def grew(self, session: "SessionEvents", by: int) -> None:
        """A session keeps so many bytes more, or less; some of another's may have to go for it."""
        self._bytes += by
        self._sessions[session] = None
        self._sessions.move_to_end(session)
        while self._bytes > self._most_bytes or len(self._sessions) > _SESSIONS:
            oldest, _ = self._sessions.popitem(last=False)
            self._bytes -= oldest.forget()


class SessionEvents(EventStore):
    """What one session was told, by the SDK's interface."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._events: deque[_Event] = deque()
        self._count = 0
        self._bytes = 0
        self._wake = asyncio.Event()

    async def store_event(self, stream_id: str, message: types.JSONRPCMessage | None) -> str:
        """Keep an event of a stream, and give its id; None begins a stream."""
        before = self._bytes
        self._count += 1
        size = len(message.model_dump_json(by_alias=True)) if message is not None else 0
        self._events.append(_Event(self._count, stream_id, message, size))
        self._bytes += size
        while len(self._events) > _SESSION_EVENTS or self._bytes > _SESSION_BYTES:
            self._bytes -= self._events.popleft().size
        self._kept.grew(self, self._bytes - before)
        self._woken()
        return str(self._count)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Tell what came after in the same stream, and what comes, up to its answer.

        The SDK would go on with the stream itself, and lose what comes while it gets to it; so it
        is given none. After a while of silence the stream ends, and the client comes again.
        """
        kept = list(self._events)
        last = next((each for each in kept if str(each.number) == last_event_id), None)
        if last is None or any(each.answers(last.stream) for each in kept[: kept.index(last) + 1]):
            return None
        told = last.number
        with suppress(TimeoutError):
            while self._events:
                wake = self._wake
                for each in [each for each in self._events if each.number > told]:
                    told = each.number
                    if each.stream == last.stream and each.message is not None:
                        await send_callback(EventMessage(each.message, str(told)))
                    if each.answers(last.stream):
                        return None
                async with asyncio.timeout(_SILENCE_S):
                    await wake.wait()
        return None

    def forget(self) -> int:
        """Keep nothing of it any more; how many bytes that was."""
        freed, self._bytes = self._bytes, 0
        self._events.clear()
        self._woken()
        return freed

    def _woken(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()


class ResumableSessions(StreamableHTTPSessionManager):
    """The SDK's sessions, each with events of its own: it has one store for all, by stream alone.

    `event_store` is read once for each session that begins.
    """

    def __init__(self, app: Server[Any], *, retry_ms: int = RETRY_MS, **settings: Any) -> None:
        """`retry_ms` is after which time a client is asked to come again."""
        self._kept = Kept()
        super().__init__(app, retry_interval=retry_ms, **settings)

    @property
    def event_store(self) -> SessionEvents:
        """Where the events of one more session are kept."""
        return SessionEvents(self._kept)

    @event_store.setter
    def event_store(self, _: object) -> None:
        """The SDK's own is not used."""
