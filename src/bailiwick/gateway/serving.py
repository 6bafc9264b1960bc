"""The server: what a client asks, in either revision, and what is answered."""

import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Protocol, cast

import mcp_types as types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick.errors import BailiwickError
from bailiwick.gateway import telling, waiting
from bailiwick.gateway.calling import Answering, WireCall
from bailiwick.gateway.hearing import asking_first
from bailiwick.gateway.listening import ChangingServer, Subscriptions
from bailiwick.gateway.mirroring import check_mirrored
from bailiwick.gateway.offering import described, is_tool
from bailiwick.gateway.offers import Offers, as_error
from bailiwick.gateway.plain import Plain
from bailiwick.gateway.resuming import ResumableSessions
from bailiwick.gateway.tasks import Tasks, Who
from bailiwick.nouns import Caller, Outcome, Tool
from bailiwick.ports import World
from bailiwick.values import JSON, shown

Context = ServerRequestContext[Any, Any]

_PAGE = 500
# What a request names to hear of a call while it runs.
_HEARD = (b"progressToken", b"io.modelcontextprotocol/logLevel", b"subscriptions/listen")
# What the key that seals a client's state is derived for, so that every replica opens it.
_STATE = b"mcp request state"
_BODY_BYTES = 4 * 1024 * 1024
_INSTRUCTIONS = (
    "Every call is decided by rules, and by people where the rules ask them. A call that waits for"
    " people is answered with the address where they decide: make the same call again later, with"
    " the same arguments, to get its one outcome. A no says why and what to do."
)


class Reads(Protocol):
    """Lines of text from a client."""

    def __aiter__(self) -> AsyncIterator[str]: ...


class Writes(Protocol):
    """Where lines of text to a client go."""

    async def write(self, text: str) -> object: ...

    async def flush(self) -> object: ...


class _Streaming:
    """Answers by a stream of events only what needs one: it takes the SDK twice the work.

    A request of the newer revision needs a stream only if it asks to hear of progress or logs.
    """

    def __init__(self, who: Who, streams: ASGIApp, answers: ASGIApp) -> None:
        self._who = who
        self._streams = streams
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # White space around a value is none of it (RFC 9110, 5.5); the HTTP parser leaves some.
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        scope["user"] = _principal(await self._who(Request(scope)).caller())
        revision = dict(scope["headers"]).get(b"mcp-protocol-version", b"").decode("latin-1")
        if scope["method"] != "POST" or revision not in MODERN_PROTOCOL_VERSIONS:
            await self._streams(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        streams = message.get("more_body", False) or any(each in body for each in _HEARD)
        read = [message]

        async def again() -> Message:
            return read.pop() if read else await receive()

        await (self._streams if streams else self._answers)(scope, again, send)


class Gateway:
    """The MCP server over one world, for whoever `who` says that a request is from."""

    def __init__(self, world: World, who: Who, *, pages: str) -> None:
        """`who` is given the HTTP request, if there is one.

        `pages` is the address of the pages where people decide; empty if there are none.
        """
        self._world = world
        self._who = who
        self._approvals = f"{pages}/approvals/" if pages else ""
        self._tasks = Tasks(world, who, self._approvals)
        self._answering = Answering(world, self._tasks, self._approvals)
        self.under_way = self._answering.under_way
        self._server: Server[Any] = ChangingServer(
            "bailiwick",
            version=version("bailiwick"),
            title="Bailiwick",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            get_tool_input_schema=self._checked_later,
        )
        self._tasks.add_to(self._server)
        self._answering.levels.add_to(self._server)
        offers = Offers(world, who, self._usable, self._read, self._approvals)
        offers.add_to(self._server)
        self._subscriptions = Subscriptions(world, who, offers, self._told_of, self.under_way)
        self._subscriptions.add_to(self._server)
        # Our own telemetry tells of actions; the SDK's spans would tell of them twice.
        sealing = RequestStateSecurity(
            keys=[hmac.digest(world.keys.secret_key("equality"), _STATE, "sha256")],
            bind_principal=lambda ctx: who(ctx.request).principal,
        )
        self._server.middleware[:] = [
            RequestStateBoundary(sealing, default_audience="bailiwick"),
            asking_first,
            self._subscriptions.noting,
        ]

    @asynccontextmanager
    async def over_http(self, hosts: list[str], origins: list[str]) -> AsyncIterator[ASGIApp]:
        """Serve streamable HTTP until the block ends: an application for one path.

        Requests whose `Host` or `Origin` is not among those given are refused (DNS rebinding).
        """
        security = TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
        )
        streams = ResumableSessions(
            self._server, security_settings=security, max_request_body_size=_BODY_BYTES
        )
        answers = StreamableHTTPSessionManager(
            self._server,
            json_response=True,
            security_settings=security,
            max_request_body_size=_BODY_BYTES,
        )
        async with self._subscriptions, streams.run(), answers.run():
            plain = Plain(self._server, self._answering, self._who, hosts=hosts)
            yield plain.before(
                _Streaming(self._who, streams.handle_request, answers.handle_request)
            )

    async def over_pipes(self, read: Reads | None = None, write: Writes | None = None) -> None:
        """Serve one client, a message a line, until it leaves; by default over our own pipes."""
        # The SDK's types ask for files; lines and `write` are all that it uses.
        pipes = stdio_server(cast("Any", read), cast("Any", write))
        async with self._subscriptions, pipes as (incoming, outgoing):
            options = self._server.create_initialization_options()
            await self._server.run(incoming, outgoing, options)

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        usable = await self._usable(await self._who(ctx.request).caller())
        tools = [described(tool) for tool in usable if is_tool(tool)]
        first = _offset(params)
        more = first + _PAGE < len(tools)
        return types.ListToolsResult(
            tools=tools[first : first + _PAGE],
            next_cursor=str(first + _PAGE) if more else None,
            cache_scope="private",
            ttl_ms=0,
        )

    async def _told_of(self, caller: Caller) -> JSON:
        """The tools that a client is shown."""
        return [
            described(tool).model_dump(by_alias=True, mode="json", exclude_none=True)
            for tool in await self._usable(caller)
            if is_tool(tool)
        ]

    async def _usable(self, caller: Caller) -> Sequence[Tool]:
        """What a caller could ever use."""
        world = self._world
        tenant = world.settings.tenant
        control = await world.store.control(tenant)
        bundle = await world.bundle(tenant, control.release)
        return await self._answering.offering.usable(bundle, control, caller)

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> Any:
        try:
            tool = await self._answering.named(params.name)
        except BailiwickError as error:
            return telling.fault(error)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {shown(params.name)}")
        if ctx.request is not None and ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            check_mirrored(tool, params.arguments or {}, ctx.request.headers)
        again = waiting.was_shown(params)
        return await self._answering.answer(
            self._call(ctx, tool, params.arguments or {}, again=again)
        )

    async def _read(self, ctx: Context, tool: Tool, arguments: Mapping[str, JSON]) -> Outcome:
        """Read what a server offers beside its tools."""
        try:
            return await self._answering.outcome(self._call(ctx, tool, arguments))
        except BailiwickError as error:
            raise as_error(error) from error

    def _call(
        self, ctx: Context, tool: Tool, arguments: Mapping[str, JSON], *, again: bool = False
    ) -> WireCall:
        return WireCall(
            tool,
            arguments,
            meta=waiting.meta_of(ctx),
            visitor=self._who(ctx.request),
            able=waiting.able_of(ctx),
            again=again,
            ctx=ctx,
        )

    def _checked_later(self, name: str) -> Mapping[str, Any] | None:
        """Headers that mirror arguments are checked by the release's schema, with the call."""
        return None


def _principal(caller: Caller) -> AuthenticatedUser:
    """Who a session of the older revision belongs to: it answers to nobody else."""
    return AuthenticatedUser(
        AccessToken(token="", client_id=caller.agent, scopes=[], subject=caller.subject)
    )


def _offset(params: types.PaginatedRequestParams | None) -> int:
    cursor = params.cursor if params is not None else None
    if cursor is None:
        return 0
    if not cursor.isdecimal() or len(cursor) > 9:
        raise MCPError(types.INVALID_PARAMS, "the cursor is not one of ours")
    return int(cursor)
