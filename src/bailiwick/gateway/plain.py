"""A tool's call of 2026-07-28 that needs no stream, answered without the SDK's machinery.

That is what nearly every request is. The SDK makes a session, a connection, a context and a chain
of handlers for each, which is several times the work of reading it. Here a request is taken that
is plain in every respect: its headers stand once each and agree with its body, its body is small
and has the members that every call has, its client hears of nothing while it runs, and the tool's
server asks nothing. What is not certainly so goes to the SDK as it came; no answer but a result is
given here, so the SDK says every no of the protocol. The two ways share everything between.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import mcp_types as types
import msgspec
from mcp.server.lowlevel import Server
from mcp_types import methods
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick.errors import BailiwickError
from bailiwick.gateway import telling
from bailiwick.gateway.calling import Answering, Told, WireCall
from bailiwick.gateway.hearing import may_ask
from bailiwick.gateway.mirroring import is_mirrored
from bailiwick.gateway.tasks import Who

_REVISION = "2026-07-28"
_METHOD: Literal["tools/call"] = "tools/call"
_MOST_BYTES = 256 * 1024
_JSON = ("application/json", "application/*", "*/*")
# What a request names to hear of its call while it runs.
_HEARD = ("progressToken", "io.modelcontextprotocol/logLevel")
_CODED = "=?base64?"

_encode = json.JSONEncoder(separators=(",", ":")).encode


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    meta: dict[str, Any] = msgspec.field(name="_meta")
    arguments: dict[str, Any] | None = None


class _CallMessage(msgspec.Struct, forbid_unknown_fields=True):
    """What every call is made of. A member more, such as a state, is for the SDK to understand."""

    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/call"]
    params: _Params


# What it reads, `json` reads alike; what only `json` takes (NaN, half a surrogate pair, another
# encoding) it refuses, and so leaves it to the SDK.
_read = msgspec.json.Decoder(_CallMessage).decode


class Plain:
    """Answers plain calls, and hands everything else to the SDK's application."""

    def __init__(
        self, server: Server[Any], answering: Answering, who: Who, *, hosts: Sequence[str]
    ) -> None:
        """`hosts` are the `Host` headers that are ours; `name:*` is one with any port."""
        self._answering = answering
        self._who = who
        self._hosts = frozenset(hosts)
        self._any_port = tuple(each[:-1] for each in hosts if each.endswith(":*"))
        self._named = {types.SERVER_INFO_META_KEY: server.server_info_stamp}

    def before(self, sdk: ASGIApp) -> ASGIApp:
        """The application that has the SDK's for what is not plain."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            name = self._name_in(scope)
            if name is None:
                await sdk(scope, receive, send)
                return
            read = await _body(receive)
            message = _message(read, name)
            answer = await self._answer(scope, message) if message else None
            if message is None or answer is None:
                await sdk(scope, _again(read, receive), send)
                return
            body = _encode({"jsonrpc": "2.0", "id": message.id, **answer}).encode()
            headers = [
                (b"content-length", str(len(body)).encode()),
                (b"content-type", b"application/json"),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return app

    def _name_in(self, scope: Scope) -> str | None:
        """The tool that a call's headers name, if they are as they have to be, and no more."""
        given: Sequence[tuple[bytes, bytes]] = scope["headers"]
        headers = {name: value.decode("latin-1") for name, value in given}
        said = headers.get
        name = said(b"mcp-name", "")
        plain = (
            scope["method"] == "POST"
            and said(b"mcp-method") == _METHOD
            and said(b"mcp-protocol-version") == _REVISION
            and name != ""
            and not name.startswith(_CODED)
            and said(b"content-type", "").lower().startswith("application/json")
            and _takes_json(said(b"accept", ""))
            and b"origin" not in headers
            and self._is_ours(said(b"host", ""))
            and len(headers) == len(given)
        )
        return name if plain else None

    def _is_ours(self, host: str) -> bool:
        return host in self._hosts or host.startswith(self._any_port)

    async def _answer(self, scope: Scope, message: _CallMessage) -> dict[str, Any] | None:
        """What the call is answered, as a member of a JSON-RPC message; None if the SDK has to."""
        asked = message.params
        try:
            tool = await self._answering.named(asked.name)
        except BailiwickError as fault:
            return {"result": self._shaped(telling.fault(fault))}
        if tool is None or may_ask(tool) or is_mirrored(tool):
            return None
        call = WireCall(
            tool,
            asked.arguments or {},
            meta=asked.meta,
            visitor=self._who(Request(scope)),
            able=asked.meta[types.CLIENT_CAPABILITIES_META_KEY],
        )
        told = await self._answering.answer(call)
        try:
            return {"result": self._shaped(told)}
        except ValueError:  # pydantic's; told as the SDK tells it
            said = "Handler returned an invalid result"
            return {"error": {"code": types.INTERNAL_ERROR, "message": said}}

    def _shaped(self, told: Told) -> dict[str, Any]:
        """A result as it is sent: what the revision has, and who says it."""
        if not isinstance(told, dict):
            told = told.model_dump(by_alias=True, mode="json", exclude_none=True)
        # What an extension made has a shape of its own.
        if told["resultType"] in types.CORE_RESULT_TYPES:
            told = methods.serialize_server_result(_METHOD, _REVISION, told)
        meta = told.get("_meta") or {}
        return {**told, "_meta": {**meta, **self._named}}


@lru_cache(maxsize=64)
def _takes_json(accept: str) -> bool:
    return any(each.partition(";")[0].strip().lower() in _JSON for each in accept.split(","))


async def _body(receive: Receive) -> list[Message]:
    """What comes of a request until its body is whole, or larger than a plain one is."""
    read, size = [await receive()], 0
    while read[-1].get("more_body", False) and size <= _MOST_BYTES:
        size += len(read[-1].get("body", b""))
        read.append(await receive())
    return read


def _message(read: Sequence[Message], name: str) -> _CallMessage | None:
    """The call of the tool that the headers name, if a request is one and no more."""
    last = read[-1]
    body = b"".join(each.get("body", b"") for each in read)
    if last["type"] != "http.request" or last.get("more_body", False) or len(body) > _MOST_BYTES:
        return None
    try:
        message = _read(body)
        asked = message.params
        if asked.name != name or any(each in asked.meta for each in _HEARD):
            return None
        if asked.meta.get(types.PROTOCOL_VERSION_META_KEY) != _REVISION:
            return None
        methods.validate_client_request(
            _METHOD,
            _REVISION,
            {"name": asked.name, "arguments": asked.arguments, "_meta": asked.meta},
        )
    except (ValueError, RecursionError):  # of both libraries, what they could not take
        return None
    return message


def _again(read: Sequence[Message], receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A request from its beginning, part of which has been read."""
    rest = iter(read)

    async def again() -> Message:
        message = next(rest, None)
        return await receive() if message is None else message

    return again
