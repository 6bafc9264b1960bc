"""HTTP under the official client, and what a transport knows of the call that it carries.

The client is given a transport that never raises: it would cancel the task that holds the session.
What went wrong is kept with the call instead, and the client is told that the server failed. The
transport asks the call's fence before its first byte, follows no redirect, keeps no cookie, takes
no content coding and reads no more than it may. A GET is answered here, unless it takes up a broken
answer again: a server has no business to begin a conversation.
"""

import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextvars import ContextVar
from types import TracebackType
from typing import Self

import httpx2
import mcp_types
import msgspec
from mcp.client._transport import WriteStream
from mcp.shared.message import SessionMessage
from msgspec import Struct

from bailiwick.execution.mcp.abilities import as_capabilities
from bailiwick.execution.mcp.hearing import Hearing
from bailiwick.execution.passage import Passage
from bailiwick.nouns import ToolCall
from bailiwick.ports import Lost, NotSent
from bailiwick.values import shown

# Servers say something now and then in a stream that only tells of changes.
LISTEN_SECONDS = 120.0
_LISTENS = "subscriptions/listen"
TOO_LARGE = "result_too_large"
CONNECT_SECONDS = 5.0
CONNECTIONS = 32
IDLE_SECONDS = 2.0
MAX_LISTING_BYTES = 4 * 1024 * 1024
# What may be said in one call beside its answer.
MAX_SAID_BYTES = 8 * 1024 * 1024
# The client gives up a session over a longer one, and does not say why.
MAX_LINE_BYTES = 1024 * 1024
# The client takes a sixth of a millisecond for each, on the loop that everybody shares.
MAX_SAID_EVENTS = 2000


class Delivery:
    """A call on its way: its passage, and what the transport found out about it."""

    def __init__(self, call: ToolCall, passage: Passage, hearing: Hearing | None = None) -> None:
        self.call = call
        self.passage = passage
        self.hearing = hearing or Hearing(None, ())
        self.failure: NotSent | Lost | None = None
        self.status: int | None = None

    def gave_up(self, code: str, message: str) -> NotSent | Lost:
        """Say what the end of the attempt means: certainly not done, or unknown."""
        return (Lost if self.passage.begun else NotSent)(code, message)


# Set in the task that makes a request; the client hands it on to the task that sends it.
CURRENT: ContextVar[Delivery] = ContextVar("bailiwick_mcp_delivery")


# What is asked of a server for a proposal: each goes out once, past its fence.
CALLS = frozenset({"tools/call", "resources/read", "prompts/get", "completion/complete"})


class _Message(Struct):
    method: str = ""


def method_of(raw: bytes) -> str:
    """The method of a message; empty for an answer."""
    return msgspec.json.decode(raw, type=_Message).method


class Truthful:
    """Where the client's messages go: a call says what can be asked of who listens to it.

    The client says the same with every request of the revision without sessions.
    """

    def __init__(self, inner: WriteStream[SessionMessage]) -> None:
        self._inner = inner

    async def send(self, item: SessionMessage, /) -> None:
        """Send a message on. Raises what the transport raises."""
        message = item.message
        if isinstance(message, mcp_types.JSONRPCRequest) and message.method in CALLS:
            meta = (message.params or {}).get("_meta") or {}
            if mcp_types.CLIENT_CAPABILITIES_META_KEY in meta:
                able = as_capabilities(CURRENT.get().hearing.able)
                meta[mcp_types.CLIENT_CAPABILITIES_META_KEY] = able
        await self._inner.send(item)

    async def aclose(self) -> None:
        """End what is sent."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class FencedTransport(httpx2.AsyncBaseTransport):
    """Sends the client's requests; `failure` is the last one that was not about a call."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        limits = httpx2.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
        )
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits)
        self.failure: NotSent | Lost | None = None
        self.session_lost = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, or say as a server would that it failed."""
        delivery = CURRENT.get()
        if request.method == "GET":
            # What was too large once is not asked for again.
            too_large = delivery.failure is not None and delivery.failure.args[0] == TOO_LARGE
            if too_large or "last-event-id" not in request.headers:
                return httpx2.Response(405, request=request)
            delivery.hearing.polls()
        method = method_of(request.content) if request.method == "POST" else ""
        calls = method in CALLS
        try:
            patience_s = LISTEN_SECONDS if method == _LISTENS else delivery.call.timeout_s
            return await self._send(request, delivery, patience_s, calls=calls)
        except (NotSent, Lost) as error:
            if calls:
                delivery.failure = error
            self.failure = error
            return httpx2.Response(502, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _send(
        self, request: httpx2.Request, delivery: Delivery, patience_s: float, *, calls: bool
    ) -> httpx2.Response:
        passage = delivery.passage if calls else Passage(set(), _open)
        outgoing = httpx2.Request(
            request.method,
            request.url,
            headers={**request.headers, **_secret(delivery.call), "accept-encoding": "identity"},
            content=request.content,
            extensions={"trace": passage.watch, "timeout": _timeouts(patience_s)},
        )
        try:
            response = await self._inner.handle_async_request(outgoing)
        except (httpx2.TransportError, OSError) as error:
            passage.failed(error)
        passage.must_have_begun()
        if calls:
            delivery.status = response.status_code
        if 300 <= response.status_code < 400:
            await response.aclose()
            where = response.headers.get("location", "")
            raise Lost("provider_redirected", redirected(where))
        if response.status_code == 404 and "mcp-session-id" in request.headers:
            # By the protocol it did not look at the message; a new session is needed.
            self.session_lost = True
            await response.aclose()
            raise NotSent("session_lost", "the server does not know the session any more")
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise Lost("result_unreadable", "the answer has a content coding nobody asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        mine = calls or request.method == "GET"
        most = delivery.call.max_bytes if mine else MAX_LISTING_BYTES
        headers = {name: each for name, each in response.headers.items() if name != "set-cookie"}
        events = headers.get("content-type", "").startswith("text/event-stream")
        measure = Measure(most, events=events)
        bounded = _Bounded(response.stream, measure, self, delivery if mine else None)
        return httpx2.Response(response.status_code, headers=headers, stream=bounded)


class Measure:
    """How much of an answer has come, and whether that is too much.

    In a stream of events more may be said beside the answer, in so many events and lines of such a
    length.
    """

    def __init__(self, most: int, *, events: bool) -> None:
        """`most` is how many bytes the answer itself may have."""
        self._most = most + MAX_SAID_BYTES if events else most
        self._events = events
        self._size = self._line = self._said = 0

    def take(self, chunk: bytes) -> None:
        """Count the next bytes. Raises `Lost` once they are too many."""
        self._size += len(chunk)
        if self._events:
            self._said += chunk.count(b"\ndata:") + chunk.count(b"\rdata:")
            ended = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
            self._line = len(chunk) - ended - 1 if ended >= 0 else self._line + len(chunk)
        if self._line > MAX_LINE_BYTES:
            raise Lost(TOO_LARGE, f"the answer has a line of more than {MAX_LINE_BYTES} bytes")
        if self._size > self._most:
            raise Lost(TOO_LARGE, f"the answer is larger than {self._most} bytes")
        if self._said > MAX_SAID_EVENTS:
            raise Lost(TOO_LARGE, f"the answer has more than {MAX_SAID_EVENTS} events")


class _Bounded(httpx2.AsyncByteStream):
    """An answer that ends early, as if cut, when it is too large or breaks; and says so."""

    def __init__(
        self,
        inner: httpx2.AsyncByteStream,
        measure: Measure,
        transport: FencedTransport,
        delivery: Delivery | None,
    ) -> None:
        self._inner = inner
        self._measure = measure
        self._transport = transport
        self._delivery = delivery

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                self._measure.take(chunk)
                yield chunk
        except Lost as error:
            self._failed(error)
        except (httpx2.TransportError, OSError) as error:
            what = f"the answer was cut: `{type(error).__name__}`"
            self._failed(Lost("answer_lost", what))

    def _failed(self, error: Lost) -> None:
        self._transport.failure = error
        if self._delivery is not None:
            self._delivery.failure = error

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _open() -> bool:
    return True


def _secret(call: ToolCall) -> dict[str, str]:
    return {"authorization": call.secret} if call.secret else {}


def _timeouts(timeout_s: float) -> dict[str, float]:
    return {
        "connect": min(CONNECT_SECONDS, timeout_s),
        "pool": timeout_s,
        "read": timeout_s,
        "write": timeout_s,
    }


def redirected(location: str) -> str:
    """Say where a redirect leads, without its query; a private address is named as such."""
    try:
        target = httpx2.URL(location)
    except httpx2.InvalidURL:
        return "the server redirects, and redirects are not followed"
    where = target.host or "another path"
    try:
        address = ipaddress.ip_address(target.host)
        kind = "" if address.is_global else "the private address "
    except ValueError:
        kind = "the private address " if target.host == "localhost" else ""
    return f"the server redirects to {kind}`{shown(where)}`, and redirects are not followed"
