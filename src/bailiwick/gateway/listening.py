"""Clients that are told when what they see has changed, in either revision.

2025-11-25   who has listed something hears once that list is another (`list_changed`), in the
             session's own stream; `resources/subscribe` names what else it wants to hear of
2026-07-28   `subscriptions/listen`: a stream of what it names, until either side ends it

A client hears that its own list changed, by comparing what it would be shown with what it was shown
last; what others see is never looked at. To subscribe to a resource is to read it: a call that is
decided and recorded, and made again before an update is told once the rules may have changed. An
update that the resource's upstream tells of goes to those subscribers alone.

What waits for a client is bounded by what it named. Who does not read is dropped, as is who is no
longer let in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Literal, Self

import mcp_types as types
import msgspec
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    SUBSCRIPTION_ID_META_KEY,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from bailiwick import cases, execution, identity
from bailiwick.act import act
from bailiwick.cancelling import cancel
from bailiwick.errors import BailiwickError, ExecutionError, IdentityError
from bailiwick.gateway import telling
from bailiwick.gateway.doors import Visitor
from bailiwick.gateway.hearing import session_of
from bailiwick.gateway.offers import Offers, no_resource, refused
from bailiwick.gateway.waiting import Leaves
from bailiwick.nouns import Caller, Listing, Outcome, Tool
from bailiwick.ports import ControlState, World
from bailiwick.values import JSON, digest

Context = ServerRequestContext[Any, Any]
What = Literal["tools/list"] | Listing
Who = Callable[[Any], Visitor]

_LOOK_S = 1.0
# A server is asked for its lists less often: they are ten seconds old by themselves.
_LISTS_EVERY = 3
_SLOW_S = 10.0
_MOST = 1024
_MOST_OF_ONE = 64
_MOST_RESOURCES = 100
_RUN = "subscriptions"
_REASON = "a subscription to its updates"
_EVENTS: Mapping[What, ServerEvent] = {
    "tools/list": ToolsListChanged(),
    "prompts/list": PromptsListChanged(),
    "resources/list": ResourcesListChanged(),
    "resources/templates/list": ResourcesListChanged(),
}
_FULL = "too many subscriptions; end one, or ask again later"


class ChangingServer(Server[Any]):
    """A server that says in 2025-11-25, too, that its lists change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """What a handshake says of it."""
        changes = NotificationOptions(
            prompts_changed=True, resources_changed=True, tools_changed=True
        )
        return super().create_initialization_options(
            notification_options or changes, experimental_capabilities, extensions
        )


class Subscriber:
    """A client that is told of changes: of which, what it was shown last, and what is due."""

    def __init__(self, ctx: Context, visitor: Visitor, caller: Caller) -> None:
        self.visitor = visitor
        self.caller = caller
        self.shown: dict[What, str] = {}
        # What it may hear of, with the tool that reads it and the epoch in which it was read.
        self.resources: dict[str, tuple[str, int]] = {}
        self.is_newer = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        self._ctx = ctx
        self._due: dict[ServerEvent, None] = {}
        self._wake = asyncio.Event()
        self.over = False

    def tell(self, event: ServerEvent) -> None:
        """Have it told soon, once however often it happens before."""
        if self.over:
            return
        self._due[event] = None
        self._wake.set()

    def end(self) -> None:
        """Tell what is due, and no more."""
        self.over = True
        self._wake.set()

    async def told(self) -> None:
        """Tell what is due, as it comes. Raises `TimeoutError` for a client that does not read."""
        ctx = self._ctx
        meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id} if self.is_newer else {}
        related = ctx.request_id if self.is_newer else None
        while self._due or not self.over:
            while self._due:
                event = next(iter(self._due))
                del self._due[event]
                async with asyncio.timeout(_SLOW_S):
                    await ctx.session.send_notification(event_to_notification(event, meta), related)
            self._wake.clear()
            if not self.over:
                await self._wake.wait()


class Subscriptions:
    """Everybody who is told, over one world; it looks while there is anybody."""

    def __init__(
        self,
        world: World,
        who: Who,
        offers: Offers,
        tools: Callable[[Caller], Awaitable[JSON]],
        process: Leaves,
    ) -> None:
        """`tools` gives a caller's tools as it is told of them."""
        self._world = world
        self._who = who
        self._offers = offers
        self._tools = tools
        self._process = process
        self._all: dict[object, Subscriber] = {}
        self._epoch = -1
        self._counts: dict[tuple[str, str], tuple[JSON, JSON]] = {}
        # What callers would be shown, by what they may, until the next look.
        self._seen: dict[tuple[What, str, bytes], str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    def add_to(self, server: Server[Any]) -> None:
        """Serve the methods of both revisions."""
        listen, subscribe = types.SubscriptionsListenRequestParams, types.SubscribeRequestParams
        server.add_request_handler("subscriptions/listen", listen, self._listen)
        server.add_request_handler("resources/subscribe", subscribe, self._subscribe)
        server.add_request_handler(
            "resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look and tell no more."""
        for task in (*self._telling, *([self._looking] if self._looking else [])):
            task.cancel()

    async def noting(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Keep what a client of 2025-11-25 is shown: it hears when that changes (a middleware)."""
        what: Any = ctx.method
        if what in _EVENTS and ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            subscriber = await self._in_session(ctx)
            if subscriber is not None:
                subscriber.shown[what] = await self._fingerprint_of(subscriber.caller, what)
        return await call_next(ctx)

    async def _listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        wanted = params.notifications
        caller = await self._who(ctx.request).caller()
        subscriber = self._new(ctx, object(), caller)
        if subscriber is None:
            raise MCPError(types.INTERNAL_ERROR, _FULL)
        meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        try:
            for what in _wanted(wanted):
                subscriber.shown[what] = await self._fingerprint_of(subscriber.caller, what)
            for uri in list(wanted.resource_subscriptions or ())[:_MOST_RESOURCES]:
                with suppress(MCPError):
                    await self._add(ctx, subscriber, str(uri))
            honored = wanted.model_copy(
                update={"resource_subscriptions": list(subscriber.resources) or None}
            )
            told = types.SubscriptionsAcknowledgedNotificationParams(
                notifications=honored, _meta=meta
            )
            await ctx.session.send_notification(
                types.SubscriptionsAcknowledgedNotification(params=told), ctx.request_id
            )
            await subscriber.told()
        except TimeoutError:
            raise MCPError(types.INTERNAL_ERROR, "the client does not read") from None
        finally:
            self._drop(subscriber)
        return types.SubscriptionsListenResult(_meta=meta)

    async def _subscribe(
        self, ctx: Context, params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        subscriber = await self._in_session(ctx)
        if subscriber is None or len(subscriber.resources) >= _MOST_RESOURCES:
            raise MCPError(types.INTERNAL_ERROR, _FULL)
        await self._add(ctx, subscriber, str(params.uri))
        return types.EmptyResult()

    async def _unsubscribe(
        self, ctx: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        caller = await self._who(ctx.request).caller()
        if await self._offers.reader_of(caller, str(params.uri)) is None:
            raise no_resource(ctx, str(params.uri), {})
        if (subscriber := await self._in_session(ctx)) is not None:
            subscriber.resources.pop(str(params.uri), None)
        return types.EmptyResult()

    async def _add(self, ctx: Context, subscriber: Subscriber, uri: str) -> None:
        """Let a client hear of a resource that it may read. Raises `MCPError`."""
        tool = await self._offers.reader_of(subscriber.caller, uri)
        if tool is None:
            raise no_resource(ctx, uri, {})
        try:
            control = await self._world.store.control(self._world.settings.tenant)
            outcome = await self._read(subscriber, tool, uri)
            # What it says from now on is told; what it said before, to who was here before.
            await self._tell_of_server(tool, [uri])
        except BailiwickError as fault:
            raise refused(fault.message, {"status": "refused", "code": fault.code}) from fault
        if outcome.status != "done":
            raise refused(outcome.message or outcome.status, telling.as_status(outcome, ""))
        subscriber.resources[uri] = tool.name, control.epoch

    async def _read(self, subscriber: Subscriber, tool: Tool, uri: str) -> Outcome:
        """Whether it may hear of a resource is whether it may read it, now, and asking nobody."""
        asked = cases.propose(
            tool.name,
            {"uri": uri},
            await subscriber.visitor.credential(_RUN),
            tenant=self._world.settings.tenant,
            reason=_REASON,
            max_bytes=self._world.settings.max_argument_bytes,
        )
        outcome = await act(self._world, asked)
        if outcome.status == "parked":
            who = subscriber.caller
            await cancel(
                self._world, outcome.action, agent=who.agent, subject=who.subject, within=who
            )
        return outcome

    async def _in_session(self, ctx: Context) -> Subscriber | None:
        """The client of a session of 2025-11-25; None if there are too many."""
        key, caller = session_of(ctx), await self._who(ctx.request).caller()
        known = self._all.get(key)
        if known is not None:
            known.visitor = self._who(ctx.request)
            return known
        subscriber = self._new(ctx, key, caller)
        if subscriber is not None:
            task = asyncio.create_task(self._tell(subscriber))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
            # The SDK names this place for what ends with a connection, and shows no way to it.
            ctx.session._connection.exit_stack.callback(self._drop, subscriber)
        return subscriber

    def _new(self, ctx: Context, key: object, caller: Caller) -> Subscriber | None:
        theirs = sum(
            (each.caller.agent, each.caller.subject) == (caller.agent, caller.subject)
            for each in self._all.values()
        )
        if len(self._all) >= _MOST or theirs >= _MOST_OF_ONE or self._process.leaving:
            return None
        subscriber = self._all[key] = Subscriber(ctx, self._who(ctx.request), caller)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return subscriber

    async def _tell(self, subscriber: Subscriber) -> None:
        with suppress(TimeoutError):
            await subscriber.told()
        self._drop(subscriber)

    def _drop(self, subscriber: Subscriber) -> None:
        subscriber.end()
        for key in [key for key, each in self._all.items() if each is subscriber]:
            del self._all[key]

    async def _look(self) -> None:
        """Look until nobody listens any more."""
        servers = asyncio.create_task(self._look_at_servers())
        try:
            while self._all:
                await asyncio.sleep(_LOOK_S)
                if self._process.leaving:
                    for each in list(self._all.values()):
                        each.end()
                    return
                # While the store is away nobody is told anything.
                with suppress(BailiwickError):
                    await self._look_at_control()
        finally:
            servers.cancel()

    async def _look_at_control(self) -> None:
        """Who is still let in, and what tools each has."""
        control = await self._world.store.control(self._world.settings.tenant)
        now_us = await self._world.store.now_us()
        moved = control.epoch != self._epoch
        for each in list(self._all.values()):
            if moved or now_us >= each.caller.capability.expires_at_us:
                await self._renew(each, control, now_us)
        if moved:
            self._seen.clear()
            await self._tell_of_lists(lambda what: what == "tools/list")
            self._epoch = control.epoch

    async def _look_at_servers(self) -> None:
        """What upstreams list beside tools, and what they say of their resources."""
        for turn in count():
            await asyncio.sleep(_LOOK_S)
            with suppress(BailiwickError):
                await self._tell_of_resources()
                if turn % _LISTS_EVERY == 0:
                    self._seen.clear()
                    await self._tell_of_lists(lambda what: what != "tools/list")

    async def _renew(self, subscriber: Subscriber, control: ControlState, now_us: int) -> None:
        """Who is not let in any more hears nothing more."""
        try:
            credential = await subscriber.visitor.credential(_RUN)
            subscriber.caller = identity.check_credential(self._world, control, credential, now_us)
        except IdentityError:
            self._drop(subscriber)

    async def _tell_of_lists(self, is_meant: Callable[[What], bool]) -> None:
        """Tell whose lists are others than before; whoever sees the same is looked at once."""
        for each in list(self._all.values()):
            for what in filter(is_meant, list(each.shown)):
                now = await self._fingerprint_of(each.caller, what)
                if each.shown[what] != now:
                    each.shown[what] = now
                    each.tell(_EVENTS[what])

    async def _fingerprint_of(self, caller: Caller, what: What) -> str:
        key = what, caller.agent, msgspec.json.encode(caller.capability.grants)
        if key not in self._seen:
            see = self._tools if what == "tools/list" else partial(self._offers.seen, what=what)
            self._seen[key] = digest(await see(caller))
        return self._seen[key]

    async def _tell_of_resources(self) -> None:
        """Ask each upstream what changed, and tell those who may still read it."""
        control = await self._world.store.control(self._world.settings.tenant)
        bundle = await self._world.bundle(self._world.settings.tenant, control.release)
        wanted: dict[str, tuple[Tool, set[str]]] = {}
        for each in list(self._all.values()):
            for uri, (name, _) in list(each.resources.items()):
                tool = bundle.catalogue.tools.get(name)
                if tool is None:
                    self._lost(each, uri)
                else:
                    wanted.setdefault(name, (tool, set()))[1].add(uri)
        await asyncio.gather(
            *(self._tell_of_server(tool, sorted(uris)) for tool, uris in wanted.values())
        )
        kept = {(name, uri) for name, (_, uris) in wanted.items() for uri in uris}
        self._counts = {key: each for key, each in self._counts.items() if key in kept}

    async def _tell_of_server(self, tool: Tool, uris: Sequence[str]) -> None:
        with suppress(ExecutionError):
            for uri in await self._changed(tool, uris):
                await self._tell_of(tool, uri)

    async def _changed(self, tool: Tool, uris: Sequence[str]) -> list[str]:
        """Which resources have changed since they were last asked for. Raises `ExecutionError`."""
        session, counts = await execution.updates(self._world, tool, uris)
        changed = []
        for uri in uris:
            now, before = (session, counts[uri]), self._counts.get((tool.name, uri))
            self._counts[tool.name, uri] = now
            if before is not None and before != now:
                changed.append(uri)
        return changed

    async def _tell_of(self, tool: Tool, uri: str) -> None:
        epoch = (await self._world.store.control(self._world.settings.tenant)).epoch
        for each in list(self._all.values()):
            known = each.resources.get(uri)
            if known is None or known[0] != tool.name:
                continue
            if known[1] != epoch:
                if (await self._read(each, tool, uri)).status != "done":
                    self._lost(each, uri)
                    continue
                each.resources[uri] = tool.name, epoch
            each.tell(ResourceUpdated(uri))

    def _lost(self, subscriber: Subscriber, uri: str) -> None:
        """A client may not hear of a resource any more."""
        subscriber.resources.pop(uri, None)
        # A stream that would be silent is ended: who begins another hears what it may.
        if subscriber.is_newer:
            self._drop(subscriber)


def _wanted(asked: types.SubscriptionFilter) -> list[What]:
    found: list[What] = []
    if asked.tools_list_changed:
        found.append("tools/list")
    if asked.prompts_list_changed:
        found.append("prompts/list")
    if asked.resources_list_changed:
        found += ["resources/list", "resources/templates/list"]
    return found
