"""The server: what a client asks, in either revision, and what is answered."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.types import ASGIApp

from bailiwick.act import act
from bailiwick.errors import BailiwickError
from bailiwick.gateway import asking, telling, waiting
from bailiwick.gateway.doors import BearerDoor, step_up
from bailiwick.gateway.offering import Offering
from bailiwick.gateway.tasks import Tasks, bearer_of, meta_of, takes_tasks
from bailiwick.nouns import Outcome
from bailiwick.ports import World
from bailiwick.values import shown

Context = ServerRequestContext[Any, Any]

_PAGE = 500
_BODY_BYTES = 4 * 1024 * 1024
_INSTRUCTIONS = (
    "Every call is decided by rules, and by people where the rules ask them. A call that waits for"
    " people is answered with the address where they decide: make the same call again later, with"
    " the same arguments, to get its one outcome. A no says why and what to do."
)


class Gateway:
    """The MCP server over one world. `door` is where its clients' tokens are shown."""

    def __init__(self, world: World, door: BearerDoor, *, pages: str) -> None:
        """`pages` is the address of the pages, where people decide."""
        self._world = world
        self._door = door
        self._approvals = f"{pages}/approvals/"
        self._offering = Offering()
        self._server: Server[Any] = Server(
            "bailiwick",
            version=version("bailiwick"),
            title="Bailiwick",
            instructions=_INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            get_tool_input_schema=self._no_mirrored_headers,
        )
        self._tasks = Tasks(world, door, self._approvals)
        self._tasks.add_to(self._server)
        # Our own telemetry tells of actions; the SDK's spans would tell of them twice.
        self._server.middleware.clear()

    @asynccontextmanager
    async def over_http(self, hosts: list[str], origins: list[str]) -> AsyncIterator[ASGIApp]:
        """Serve streamable HTTP until the block ends: an application for one path.

        Each request has the bearer's credential as `state.bearer`. Requests whose `Host` or
        `Origin` is not among those given are refused (DNS rebinding).
        """
        manager = StreamableHTTPSessionManager(
            self._server,
            security_settings=TransportSecuritySettings(
                enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
            ),
            max_request_body_size=_BODY_BYTES,
        )
        async with manager.run():
            yield manager.handle_request

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        world = self._world
        tenant = world.settings.tenant
        caller = await self._door.caller(bearer_of(ctx))
        control = await world.store.control(tenant)
        bundle = await world.bundle(tenant, control.release)
        tools = await self._offering.tools(bundle, control, caller)
        first = _offset(params)
        more = first + _PAGE < len(tools)
        return types.ListToolsResult(
            tools=list(tools[first : first + _PAGE]),
            next_cursor=str(first + _PAGE) if more else None,
            cache_scope="private",
            ttl_ms=0,
        )

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> Any:
        world = self._world
        try:
            control = await world.store.control(world.settings.tenant)
            bundle = await world.bundle(world.settings.tenant, control.release)
            tool = self._offering.named(bundle).get(params.name)
            if tool is None:
                raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {shown(params.name)}")
            asked = await asking.proposal(
                world,
                self._door,
                bearer_of(ctx),
                tool=tool.name,
                arguments=params.arguments or {},
                meta=meta_of(ctx),
            )
            outcome = await act(world, asked)
            if outcome.step == 2 and ctx.request is not None:
                caller = await self._door.caller(bearer_of(ctx))
                ctx.request.state.step_up = step_up(bundle, caller, tool.name, outcome)
            return await self._told(ctx, params, outcome)
        except BailiwickError as error:
            return telling.fault(error)

    async def _told(
        self, ctx: Context, params: types.CallToolRequestParams, outcome: Outcome
    ) -> types.CallToolResult | types.InputRequiredResult | dict[str, Any]:
        """Answer with what is known, after what time the client can be made to wait."""
        hold_s = self._world.settings.serve.hold_seconds
        if outcome.status == "parked" and takes_tasks(ctx):
            return await self._tasks.created(ctx, outcome)
        if outcome.status == "parked" and waiting.takes_elicitation(ctx):
            if waiting.answered(params) is None:
                return waiting.asks_for_people(outcome, self._approvals + outcome.action)
            outcome = await waiting.held(self._world, ctx, outcome, hold_s)
        elif outcome.status in ("parked", "running") and waiting.hears_progress(ctx):
            outcome = await waiting.held(self._world, ctx, outcome, hold_s)
        return telling.result(outcome, self._approvals)

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
