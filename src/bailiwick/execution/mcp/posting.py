"""A tool's call in the revision without sessions (2026-07-28): one POST, and what answers it.

The official client keeps a session's machinery for every request, most of which such a call does
not need: it goes out from here at a fraction of the cost. Whatever needs more (older revisions,
pipes, lists, a call to which somebody listens) is the official client's. The rules are those of
`wire`: the fence is asked with the connection open and before the first byte, no redirect is
followed, no cookie kept, no content coding taken, no more read than may be, and nothing sent twice.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from itertools import count
from typing import Any

import aiohttp
import mcp_types
import msgspec
from aiohttp.connector import Connection
from mcp.shared.inbound import (
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)
from msgspec import UNSET, Struct, UnsetType

from bailiwick.execution.mcp.definitions import Definition
from bailiwick.execution.mcp.wire import (
    CONNECT_SECONDS,
    CONNECTIONS,
    CURRENT,
    IDLE_SECONDS,
    Delivery,
    Measure,
    redirected,
)
from bailiwick.nouns import ToolAnswer, ToolCall
from bailiwick.ports import Lost, NotSent
from bailiwick.values import shown

_Mirrored = Mapping[tuple[str, ...], str]

_CALL = "tools/call"
_CLIENT = {"name": "bailiwick", "version": "1"}
_JSON, _EVENTS = "application/json", "text/event-stream"
_PLAIN = {
    "accept": f"{_JSON}, {_EVENTS}",
    "accept-encoding": "identity",
    "content-type": _JSON,
}
# As the official client reads an answer of 400 or more that says nothing of its own.
_NOT_FOUND = (mcp_types.METHOD_NOT_FOUND, "Not Found")
_FAILED = (mcp_types.INTERNAL_ERROR, "Server returned an error response")


class _Error(Struct):
    code: int
    message: str


class _Reply(Struct):
    """What may come back: a result, an error, or word of something else on the way."""

    id: str | int | None = None
    result: dict[str, Any] | UnsetType = UNSET
    error: _Error | UnsetType = UNSET


_replies = msgspec.json.Decoder(_Reply)


class _Fenced(aiohttp.ClientRequest):
    """A request that asks its call's fence once it has a connection."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        passage = CURRENT.get().passage
        await passage.through()
        try:
            return await super().send(conn)
        finally:
            passage.settle()


class Posts:
    """The calls to one address, over connections that are kept for a moment."""

    def __init__(self, url: str, revision: str, tls: ssl.SSLContext) -> None:
        """Make none yet. It belongs to the event loop that is running."""
        self._url = url
        self._numbers = count(1)
        # By the tool and its pin: the headers of each call, and which arguments go out as more.
        self._routed: dict[tuple[str, str], tuple[dict[str, str], _Mirrored]] = {}
        self._plain = {**_PLAIN, "mcp-protocol-version": revision, "mcp-method": _CALL}
        self._envelope = {
            mcp_types.PROTOCOL_VERSION_META_KEY: revision,
            mcp_types.CLIENT_INFO_META_KEY: _CLIENT,
            # Nobody listens, so nothing can be answered.
            mcp_types.CLIENT_CAPABILITIES_META_KEY: {},
        }
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=CONNECTIONS, keepalive_timeout=IDLE_SECONDS, ssl=tls
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Fenced,
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(
        self, delivery: Delivery, definition: Definition | None, more: Mapping[str, Any]
    ) -> Mapping[str, Any] | ToolAnswer:
        """Send a call, or continue it with `more`: its result, or a JSON-RPC error.

        Raises `NotSent`, or `Lost` once its first byte may have left.
        """
        call = delivery.call
        number = next(self._numbers)
        meta = {**call.meta, **self._envelope}
        params = {"name": call.tool, "arguments": call.arguments, **more, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": number, "method": _CALL, "params": params}
        try:
            async with self._http.post(
                self._url,
                data=msgspec.json.encode(body),
                headers=self._headers(call, definition),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(sock_connect=min(CONNECT_SECONDS, call.timeout_s)),
            ) as response:
                delivery.passage.must_have_begun()
                delivery.status = response.status
                message = await _reply(response, number, call.max_bytes)
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(delivery, error) from error
        if message.error is not UNSET:
            said = message.error
            return ToolAnswer(text=said.message, error_code=said.code, status=delivery.status)
        assert message.result is not UNSET
        return message.result

    def _headers(self, call: ToolCall, definition: Definition | None) -> dict[str, str]:
        known = self._routed.get((call.tool, call.pin))
        if known is None:
            named = {**self._plain, "mcp-name": encode_header_value(call.tool)}
            known = self._routed[call.tool, call.pin] = (named, _mirrored(definition))
        headers = dict(known[0])
        if call.secret:
            headers["authorization"] = call.secret
        if known[1]:
            headers |= mcp_param_headers(known[1], call.arguments)
        return headers


def _mirrored(definition: Definition | None) -> _Mirrored:
    """The arguments that go out as headers too, by the tool's definition (SEP-2243)."""
    schema = (definition or {}).get("inputSchema")
    return {} if find_invalid_x_mcp_header(schema) else x_mcp_header_map(schema)


async def _reply(response: aiohttp.ClientResponse, number: int, max_bytes: int) -> _Reply:
    """Read the answer to the request of this number. Raises `Lost`."""
    status, kind = response.status, response.content_type
    if 300 <= status < 400:
        raise Lost("provider_redirected", redirected(response.headers.get("location", "")))
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Lost("result_unreadable", "the answer has a content coding nobody asked for")
    if status < 400 and kind == _EVENTS:
        async for event in _events(response, Measure(max_bytes, events=True)):
            message = _decoded(event)
            if message is not None and message.id == number and _says(message):
                return message
        raise Lost("answer_lost", "the answer's stream ended without a result")
    said = _decoded(
        b"".join([chunk async for chunk in _chunks(response, Measure(max_bytes, events=False))])
    )
    if status >= 400:
        # A request that was refused before it was read has no number.
        if said is not None and said.error is not UNSET:
            return said
        return _Reply(error=_Error(*(_NOT_FOUND if status == 404 else _FAILED)))
    if said is None or said.id != number or not _says(said) or kind != _JSON:
        raise Lost("answer_lost", "the answer is not as the protocol has it")
    return said


def _says(message: _Reply) -> bool:
    return (message.result is UNSET) != (message.error is UNSET)


def _decoded(raw: bytes) -> _Reply | None:
    try:
        return _replies.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def _chunks(response: aiohttp.ClientResponse, measure: Measure) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `Lost` once it is more than it may be."""
    async for chunk in response.content.iter_any():
        measure.take(chunk)
        yield chunk


async def _events(response: aiohttp.ClientResponse, measure: Measure) -> AsyncIterator[bytes]:
    """The data of each event (HTML, 9.2.6). What has another type than `message` is no message."""
    rest, data, kind = list[bytes](), list[bytes](), b""
    async for chunk in _chunks(response, measure):
        rest.append(chunk)
        if b"\n" not in chunk and b"\r" not in chunk:
            # A line that comes in many pieces is put together once.
            continue
        lines = b"".join(rest).splitlines(keepends=True)
        # The last line goes on, unless its end is here; after CR an LF may follow.
        rest = [] if lines[-1].endswith(b"\n") else [lines.pop()]
        for line in lines:
            name, _, value = line.rstrip(b"\r\n").partition(b":")
            value = value.removeprefix(b" ")
            if name == b"data":
                data.append(value)
            elif name == b"event":
                kind = value
            elif not line.strip(b"\r\n"):
                if data and kind in (b"", b"message"):
                    yield b"\n".join(data)
                data, kind = [], b""


def _broken(delivery: Delivery, error: Exception) -> NotSent | Lost:
    what = f"`{type(error).__name__}`"
    if not delivery.passage.begun:
        detail = shown(str(error))
        return NotSent("provider_unreachable", f"the request did not leave: {what}: {detail}")
    return Lost("answer_lost", f"the request may have arrived: {what}")
