"""Resources, prompts and completion: what upstreams offer beside tools, as one server's.

What is read is an action like any other, of the tool by which the catalogue reads it; what is
listed is no action, and is what the upstreams of this caller's tools list. A prompt is known by its
upstream's name and its own (`keeps_names` leaves the prefix out); a resource by its URI. What two
upstreams claim is nobody's: it is left out, so that none can stand in for another. An upstream that
cannot be asked has nothing to list, and the others do.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate

from bailiwick import execution
from bailiwick.act import act
from bailiwick.errors import BailiwickError
from bailiwick.gateway import asking, telling
from bailiwick.gateway.offering import Offering, page_of
from bailiwick.gateway.tasks import Who, meta_of
from bailiwick.nouns import Listing, McpBinding, Outcome, Tool
from bailiwick.ports import World
from bailiwick.values import JSON, shown

Context = ServerRequestContext[Any, Any]
R = TypeVar("R", bound=types.Result)

# Outside the range that JSON-RPC and MCP keep for themselves.
REFUSED, PENDING = 1, 2
_LIVES_MS = 10_000


class Listed(NamedTuple):
    """An entry of an upstream's list: the tool that reads it, the name we give it, and itself."""

    tool: Tool
    name: str
    entry: Mapping[str, JSON]


class Reading:
    """The methods for resources, prompts and completion over one world."""

    def __init__(self, world: World, who: Who, offering: Offering, approvals: str) -> None:
        self._world = world
        self._who = who
        self._offering = offering
        self._approvals = approvals

    def add_to(self, server: Server[Any]) -> None:
        """Serve the methods."""
        paged = types.PaginatedRequestParams
        server.add_request_handler("resources/list", paged, self._resources)
        server.add_request_handler("resources/templates/list", paged, self._templates)
        server.add_request_handler("prompts/list", paged, self._prompts)
        read, got = types.ReadResourceRequestParams, types.GetPromptRequestParams
        server.add_request_handler("resources/read", read, self._read)
        server.add_request_handler("prompts/get", got, self._get)
        completed = types.CompleteRequestParams
        server.add_request_handler("completion/complete", completed, self._complete)

    async def _resources(self, ctx: Context, params: types.PaginatedRequestParams) -> Any:
        listed = await self._all(ctx, "resources/read", "resources/list", "uri")
        return _list(
            types.ListResourcesResult, "resources", [each.entry for each in listed], params
        )

    async def _templates(self, ctx: Context, params: types.PaginatedRequestParams) -> Any:
        listed = await self._all(ctx, "resources/read", "resources/templates/list", "uriTemplate")
        entries = [each.entry for each in listed]
        return _list(types.ListResourceTemplatesResult, "resourceTemplates", entries, params)

    async def _prompts(self, ctx: Context, params: types.PaginatedRequestParams) -> Any:
        listed = await self._all(ctx, "prompts/get", "prompts/list", "name")
        named = [{**each.entry, "name": each.name} for each in listed]
        entries = sorted(named, key=lambda each: str(each["name"]))
        return _list(types.ListPromptsResult, "prompts", entries, params)

    async def _read(self, ctx: Context, params: types.ReadResourceRequestParams) -> Any:
        uri = str(params.uri)
        tool = await self._resource(ctx, uri)
        outcome = await self._act(ctx, tool, {"uri": uri})
        return self._told(types.ReadResourceResult, outcome, {"uri": uri})

    async def _get(self, ctx: Context, params: types.GetPromptRequestParams) -> Any:
        found = await self._prompt(ctx, params.name)
        arguments: dict[str, JSON] = {"name": str(found.entry["name"])}
        if params.arguments is not None:
            arguments["arguments"] = dict(params.arguments)
        outcome = await self._act(ctx, found.tool, arguments)
        return self._told(types.GetPromptResult, outcome, {"name": params.name})

    async def _complete(self, ctx: Context, params: types.CompleteRequestParams) -> Any:
        asked = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        asked.pop("_meta", None)
        ref = asked["ref"]
        if ref["type"] == "ref/prompt":
            found = await self._prompt(ctx, ref["name"])
            reads, ref["name"] = found.tool, found.entry["name"]
        else:
            reads = await self._resource(ctx, ref["uri"])
        upstream = _upstream(reads)
        for tool in await self._tools(ctx, "completion/complete"):
            if _upstream(tool) == upstream:
                outcome = await self._act(ctx, tool, asked)
                return self._told(types.CompleteResult, outcome, {"ref": params.ref.type})
        return types.CompleteResult(completion=types.Completion(values=[]))

    async def _act(self, ctx: Context, tool: Tool, arguments: Mapping[str, JSON]) -> Outcome:
        try:
            visitor = self._who(ctx.request)
            asked = await asking.proposal(
                self._world, visitor, tool=tool.name, arguments=arguments, meta=meta_of(ctx)
            )
            return await act(self._world, asked)
        except BailiwickError as error:
            raise MCPError(REFUSED, error.message, {"code": error.code}) from error

    def _told(self, kind: type[R], outcome: Outcome, asked: Mapping[str, JSON]) -> R:
        """The result; every no is a JSON-RPC error with the outcome as its data."""
        if outcome.status == "done" and isinstance(outcome.result, Mapping):
            theirs = outcome.result.get("_meta")
            meta = telling.meta_beside(theirs if isinstance(theirs, Mapping) else {}, outcome)
            return kind.model_validate({**outcome.result, "_meta": meta}, by_name=False)
        status = {**asked, **telling.as_status(outcome, self._approvals)}
        message = outcome.message or outcome.status
        if outcome.status in ("parked", "running"):
            url = str(status.get("approval_url", ""))
            raise MCPError(PENDING, telling.waiting_words(outcome.action, url), status)
        if outcome.code == "provider_refused":
            raise MCPError(types.INVALID_PARAMS, message, status)
        raise MCPError(REFUSED, message, status)

    async def _prompt(self, ctx: Context, name: str) -> Listed:
        for each in await self._all(ctx, "prompts/get", "prompts/list", "name"):
            if each.name == name:
                return each
        raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {shown(name)}")

    async def _resource(self, ctx: Context, uri: str) -> Tool:
        """The tool that reads a resource: of the one upstream that lists it or its template."""
        tools = await self._tools(ctx, "resources/read")
        if len(tools) == 1:
            return tools[0]
        for each in await self._all(ctx, "resources/read", "resources/list", "uri"):
            if each.entry["uri"] == uri:
                return each.tool
        templates = await self._all(
            ctx, "resources/read", "resources/templates/list", "uriTemplate"
        )
        fitting = {each.tool.name: each.tool for each in templates if _fits(each.name, uri)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        raise MCPError(types.INVALID_PARAMS, f"Unknown resource: {shown(uri)}", {"uri": uri})

    async def _all(self, ctx: Context, method: str, what: Listing, by: str) -> Sequence[Listed]:
        """What the caller's upstreams list, by upstream; nothing that two of them claim."""
        tools = await self._tools(ctx, method)
        each_of = await asyncio.gather(*(self._of(tool, what, by) for tool in tools))
        every = [each for listed in each_of for each in listed]
        claimed = Counter(each.name for each in every)
        return [each for each in every if claimed[each.name] == 1]

    async def _of(self, tool: Tool, what: Listing, by: str) -> Sequence[Listed]:
        try:
            entries = await execution.listed(self._world, tool, what)
        except BailiwickError:
            return ()
        prefix = _prefix(tool) if what == "prompts/list" else ""
        return [Listed(tool, prefix + str(each[by]), each) for each in entries]

    async def _tools(self, ctx: Context, method: str) -> Sequence[Tool]:
        """The tools of the caller that read by a method, in the order of their upstreams."""
        world = self._world
        caller = await self._who(ctx.request).caller()
        control = await world.store.control(world.settings.tenant)
        bundle = await world.bundle(world.settings.tenant, control.release)
        usable = await self._offering.usable(bundle, control, caller)
        return [
            tool
            for tool in usable
            if isinstance(tool.binding, McpBinding) and tool.binding.method == method
        ]


def _list(
    kind: type[R],
    name: str,
    entries: Sequence[Mapping[str, JSON]],
    params: types.PaginatedRequestParams,
) -> R:
    page, cursor = page_of(entries, params)
    told: dict[str, Any] = {name: page, "ttlMs": _LIVES_MS, "cacheScope": "private"}
    # As its type, which adds and leaves out what the client's revision has beside.
    return kind.model_validate({**told, "nextCursor": cursor} if cursor else told, by_name=False)


def _upstream(tool: Tool) -> str:
    assert isinstance(tool.binding, McpBinding)
    return tool.binding.upstream.name


def _prefix(tool: Tool) -> str:
    assert isinstance(tool.binding, McpBinding)
    upstream = tool.binding.upstream
    return "" if upstream.keeps_names else f"{upstream.name}_"


def _fits(template: str, uri: str) -> bool:
    try:
        return UriTemplate.parse(template).match(uri) is not None
    except InvalidUriTemplate:
        return False
