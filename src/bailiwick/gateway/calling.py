"""A call of a tool, from what a client asked for to what it is told, whichever way it came by."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.context import ServerRequestContext

from bailiwick.act import act
from bailiwick.errors import BailiwickError, StoreUnavailable
from bailiwick.gateway import asking, telling, waiting
from bailiwick.gateway.doors import Visitor, step_up
from bailiwick.gateway.hearing import ClientListener, LogLevels
from bailiwick.gateway.offering import Offering, is_tool
from bailiwick.gateway.tasks import Tasks, takes_tasks
from bailiwick.nouns import Outcome, Tool
from bailiwick.ports import LISTENER, World
from bailiwick.values import JSON

Told = types.InputRequiredResult | dict[str, Any]


class WireCall(NamedTuple):
    """A tool that is known, with what its client says.

    `meta` is what it says beside the arguments, `able` the capabilities that it declared with this
    call (2026-07-28). `again` says that it was shown where people decide, and asks once more.
    Without `ctx` it hears nothing until the call has been answered.
    """

    tool: Tool
    arguments: Mapping[str, JSON]
    meta: Mapping[str, JSON]
    visitor: Visitor
    able: Mapping[str, JSON]
    again: bool = False
    ctx: ServerRequestContext[Any, Any] | None = None


class UnderWay:
    """What is under way, as blocks. Once `leaving` is set none begins; `quiet` while there is none.

    Entering raises `StoreUnavailable` (`draining`) once we leave.
    """

    def __init__(self) -> None:
        self.leaving = False
        self.quiet = asyncio.Event()
        self.quiet.set()
        self._many = 0

    def __enter__(self) -> None:
        if self.leaving:
            raise StoreUnavailable(
                "this process is leaving, and takes nothing new",
                code="draining",
                help="make the same call again: it is done once, whoever answers",
            )
        if not self._many:
            self.quiet.clear()
        self._many += 1

    def __exit__(self, *_: object) -> None:
        self._many -= 1
        if not self._many:
            self.quiet.set()


class Answering:
    """Answers calls over one world. `approvals` is the address where people decide, if any."""

    def __init__(self, world: World, tasks: Tasks, approvals: str) -> None:
        self.under_way = UnderWay()
        self.offering = Offering()
        self.levels = LogLevels()
        self._world = world
        self._tasks = tasks
        self._approvals = approvals

    async def named(self, name: str) -> Tool | None:
        """The tool that clients know by a name. Raises `BailiwickError` where no release is."""
        world = self._world
        control = await world.store.control(world.settings.tenant)
        bundle = await world.bundle(world.settings.tenant, control.release)
        tool = self.offering.named(bundle).get(name)
        return tool if tool is not None and is_tool(tool) else None

    async def answer(self, call: WireCall) -> Told:
        """What a client is told of its call; a fault is told, too.

        Raises `ClientIsAsked` and `MCPError` only for a call that has a `ctx`.
        """
        try:
            with self.under_way:
                return await self._told(call, await self._act(call))
        except BailiwickError as error:
            return telling.fault(error)

    async def outcome(self, call: WireCall) -> Outcome:
        """What became of a call. Raises `BailiwickError`."""
        with self.under_way:
            return await self._act(call)

    async def _act(self, call: WireCall) -> Outcome:
        tool, world = call.tool, self._world
        asked = await asking.proposal(
            world, call.visitor, tool=tool.name, arguments=call.arguments, meta=call.meta
        )
        if call.ctx is None:
            outcome = await act(world, asked)
        else:
            client = ClientListener(call.ctx, self.levels.of(call.ctx), tool)
            listens = LISTENER.set(client if client.hears else None)
            try:
                outcome = await act(world, asked)
            finally:
                LISTENER.reset(listens)
            client.asks_first(outcome)
        if outcome.step == 2:
            control = await world.store.control(world.settings.tenant)
            bundle = await world.bundle(world.settings.tenant, control.release)
            caller = await call.visitor.caller()
            call.visitor.would_need(step_up(bundle, caller, tool.name, outcome))
        return outcome

    async def _told(self, call: WireCall, outcome: Outcome) -> Told:
        """Answer with what is known, after what time the client can be made to wait."""
        shows = False
        if outcome.status == "parked":
            if takes_tasks(call.able):
                return await self._tasks.created(call.able, outcome)
            shows = bool(self._approvals) and waiting.takes_addresses(call.able)
            if shows and not call.again:
                return waiting.asks_for_people(outcome, self._approvals + outcome.action)
        if call.ctx is not None and (shows or waiting.hears_progress(call.ctx)):
            outcome = await waiting.held(self._world, call.ctx, outcome, self.under_way)
        return telling.result(outcome, self._approvals)
