"""The server: what a client asks, in either revision, and what is answered."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Any, Protocol, cast

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick.act import act
from bailiwick.errors import BailiwickError, StoreUnavailable
from bailiwick.gateway import asking, telling, waiting
from bailiwick.gateway.doors import step_up
from bailiwick.gateway.hearing import ClientListener, LogLevels, asking_first
from bailiwick.gateway.listening import ChangingServer, Subscriptions
from bailiwick.gateway.offering import Offering, described, is_tool
from bailiwick.gateway.offers import Offers, as_error
from bailiwick.gateway.resuming import ResumableSessions
from bailiwick.gateway.tasks import Tasks, Who, meta_of, takes_tasks
from bailiwick.nouns import Caller, Outcome, Tool
from bailiwick.ports import LISTENER, World
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


class _Plainly:
    """Answers what needs no stream of events without one, which takes the SDK half of the work.

    A request of the newer revision needs a stream only if it asks to hear of progress or logs.
    """

    def __init__(self, streams: ASGIApp, answers: ASGIApp) -> None:
        self._streams = streams
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
    """The MCP server over one world, for whoever `who` says that a request is from.

    Once `leaving` is set it takes no new call; `quiet` is set while none is under way.
    """

    def __init__(self, world: World, who: Who, *, pages: str) -> None:
        """`who` is given the HTTP request, if there is one.

        `pages` is the address of the pages where people decide; empty if there are none.
        """
        self._world = world
        self._who = who
        self._approvals = f"{pages}/approvals/" if pages else ""
        self.leaving = False
        self.quiet = asyncio.Event()
        self.quiet.set()
        self._under_way = 0
        self._offering = Offering()
        self._server: Server[Any] = ChangingServer(
            "bailiwick",
            version=version("bailiwick"),
            title="Bailiwick",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            get_tool_input_schema=self._no_mirrored_headers,
        )
        self._tasks = Tasks(world, who, self._approvals)
        self._tasks.add_to(self._server)
        self._levels = LogLevels()
        self._levels.add_to(self._server)
        offers = Offers(world, who, self._usable, self._read, self._approvals)
        offers.add_to(self._server)
        self._subscriptions = Subscriptions(world, who, offers, self._told_of, self._leaves)
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

        Requests whose `Host` or
        `Origin` is not among those given are refused (DNS rebinding).
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
            yield _Plainly(streams.handle_request, answers.handle_request)

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
        return await self._offering.usable(bundle, control, caller)

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> Any:
        world = self._world
        try:
            with self._carrying():
                control = await world.store.control(world.settings.tenant)
                bundle = await world.bundle(world.settings.tenant, control.release)
                tool = self._offering.named(bundle).get(params.name)
                if tool is None or not is_tool(tool):
                    raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {shown(params.name)}")
                outcome = await self._act(ctx, tool, params.arguments or {})
                return await self._told(ctx, params, outcome)
        except BailiwickError as error:
            return telling.fault(error)

    async def _read(self, ctx: Context, tool: Tool, arguments: Mapping[str, JSON]) -> Outcome:
        """Read what a server offers beside its tools."""
        try:
            with self._carrying():
                return await self._act(ctx, tool, arguments)
        except BailiwickError as error:
            raise as_error(error) from error

    async def _act(self, ctx: Context, tool: Tool, arguments: Mapping[str, JSON]) -> Outcome:
        visitor = self._who(ctx.request)
        asked = await asking.proposal(
            self._world, visitor, tool=tool.name, arguments=arguments, meta=meta_of(ctx)
        )
        repeats = tool.effect == "read"
        client = ClientListener(ctx, self._levels.of(ctx), repeats=repeats)
        listens = LISTENER.set(client if client.hears else None)
        try:
            outcome = await act(self._world, asked)
        finally:
            LISTENER.reset(listens)
        client.asks_first(outcome)
        if outcome.step == 2 and ctx.request is not None:
            world = self._world
            control = await world.store.control(world.settings.tenant)
            bundle = await world.bundle(world.settings.tenant, control.release)
            caller = await visitor.caller()
            ctx.request.state.step_up = step_up(bundle, caller, tool.name, outcome)
        return outcome

    @contextmanager
    def _carrying(self) -> Iterator[None]:
        """A call is under way. Raises `StoreUnavailable` (`draining`) when we leave."""
        if self.leaving:
            raise StoreUnavailable(
                "this process is leaving, and takes nothing new",
                code="draining",
                help="make the same call again: it is done once, whoever answers",
            )
        self._under_way += 1
        self.quiet.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self.quiet.set()

    async def _told(
        self, ctx: Context, params: types.CallToolRequestParams, outcome: Outcome
    ) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any]:
        """Answer with what is known, after what time the client can be made to wait."""
        if outcome.status == "parked" and takes_tasks(ctx):
            return await self._tasks.created(ctx, outcome)
        if outcome.status == "parked" and self._approvals and waiting.takes_elicitation(ctx):
            if waiting.answered(params) is None:
                return waiting.asks_for_people(outcome, self._approvals + outcome.action)
            outcome = await waiting.held(self._world, ctx, outcome, self._leaves)
        elif outcome.status in ("parked", "running") and waiting.hears_progress(ctx):
            outcome = await waiting.held(self._world, ctx, outcome, self._leaves)
        return telling.result(outcome, self._approvals)

    def _leaves(self) -> bool:
        return self.leaving

    def _no_mirrored_headers(self, name: str) -> Mapping[str, Any] | None:
        """No argument is mirrored in a header here: nothing goes by headers but the routing."""
        return None


def _offset(params: types.PaginatedRequestParams | None) -> int:
    cursor = params.cursor if params is not None else None
    if cursor is None:
        return 0
    if not cursor.isdecimal() or len(cursor) > 9:
        raise MCPError(types.INVALID_PARAMS, "the cursor is not one of ours")
    return int(cursor)
