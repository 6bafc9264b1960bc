"""What MCP servers offer beside tools, through us: resources, prompts, completion.

A client names a resource by its address, and a prompt by its name after that of its upstream
(`keeps_names` leaves that out). Which upstream has it, its lists
say; what two of them list is neither shown nor read, since which is meant could not be told. A
read is a call of the tool that the catalogue has for it (`<upstream>.resources` and so on), decided
and recorded as every call.

An answer is for its caller alone and old at once, as the SDK has it by default: rules may change.
It has no place for a status, so a no is a JSON-RPC error whose `data` has what a tool's
answer has as structured content.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from bailiwick import execution
from bailiwick.errors import BailiwickError, ExecutionError
from bailiwick.gateway import telling
from bailiwick.gateway.doors import Visitor
from bailiwick.nouns import Caller, Listing, McpBinding, McpMethod, Outcome, Tool
from bailiwick.ports import World
from bailiwick.values import JSON, shown

Context = ServerRequestContext[Any, Any]
Carry = Callable[[Context, Tool, Mapping[str, JSON]], Awaitable[Outcome]]
R = TypeVar("R", bound=types.Result)

# The error of a no. The protocol leaves it to applications; it reads as HTTP's.
REFUSED = 403
_NO_RESOURCE = -32002  # 2025-11-25; later it is invalid params
_READ_BY: Mapping[Listing, McpMethod] = {
    "resources/list": "resources/read",
    "resources/templates/list": "resources/read",
    "prompts/list": "prompts/get",
}
_GOES_BY: Mapping[Listing, str] = {
    "resources/list": "uri",
    "resources/templates/list": "uriTemplate",
    "prompts/list": "name",
}
# What refuses an address or a name itself, rather than who asks for it.
_NOT_THERE = ("provider_refused", "arguments_invalid")


class Listed(NamedTuple):
    """An entry of a list, the tool by which its upstream is read, and the name we give it."""

    tool: Tool
    entry: Mapping[str, JSON]
    name: str


class Offers:
    """The methods beside tools. `usable` gives a caller's tools, `carry` what a call came to."""

    def __init__(
        self,
        world: World,
        who: Callable[[Any], Visitor],
        usable: Callable[[Caller], Awaitable[Sequence[Tool]]],
        carry: Carry,
        approvals: str,
    ) -> None:
        self._world = world
        self._who = who
        self._usable = usable
        self._carry = carry
        self._approvals = approvals

    def add_to(self, server: Server[Any]) -> None:
        """Serve the methods."""
        page = types.PaginatedRequestParams
        server.add_request_handler("resources/list", page, self._resources)
        server.add_request_handler("resources/templates/list", page, self._templates)
        server.add_request_handler("resources/read", types.ReadResourceRequestParams, self._read)
        server.add_request_handler("prompts/list", page, self._prompts)
        server.add_request_handler("prompts/get", types.GetPromptRequestParams, self._prompt)
        server.add_request_handler("completion/complete", types.CompleteRequestParams, self._fill)

    async def _resources(self, ctx: Context, _: Any) -> types.ListResourcesResult:
        found = await self._list(await self._caller(ctx), "resources/list")
        return types.ListResourcesResult.model_validate(
            {"resources": _entries(found, "uri")}, by_name=False
        )

    async def _templates(self, ctx: Context, _: Any) -> types.ListResourceTemplatesResult:
        found = await self._list(await self._caller(ctx), "resources/templates/list")
        return types.ListResourceTemplatesResult.model_validate(
            {"resourceTemplates": _entries(found, "uriTemplate")}, by_name=False
        )

    async def _prompts(self, ctx: Context, _: Any) -> types.ListPromptsResult:
        found = await self._list(await self._caller(ctx), "prompts/list")
        return types.ListPromptsResult.model_validate(
            {"prompts": _entries(found, "name")}, by_name=False
        )

    async def _read(
        self, ctx: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        tool = await self.reader_of(await self._caller(ctx), uri)
        if tool is None:
            raise no_resource(ctx, uri, {})
        outcome = await self._carry(ctx, tool, {"uri": uri})
        if outcome.code in _NOT_THERE:
            raise no_resource(ctx, uri, telling.as_status(outcome, self._approvals))
        return self._told(types.ReadResourceResult, outcome)

    async def _prompt(
        self, ctx: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        listed = await self._has(await self._caller(ctx), "prompts/list", params.name)
        if listed is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {shown(params.name)}")
        arguments: dict[str, JSON] = {"name": listed.entry["name"]}
        if params.arguments:
            arguments["arguments"] = dict(params.arguments)
        return self._told(types.GetPromptResult, await self._carry(ctx, listed.tool, arguments))

    async def _fill(
        self, ctx: Context, params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        caller = await self._caller(ctx)
        if isinstance(params.ref, types.PromptReference):
            listed = await self._has(caller, "prompts/list", params.ref.name)
        else:
            listed = await self._has(caller, "resources/templates/list", params.ref.uri)
        upstream = _upstream(listed.tool) if listed else ""
        usable = await self._tools(caller, "completion/complete")
        tool = next((each for each in usable if _upstream(each) == upstream), None)
        if tool is None or listed is None:
            raise MCPError(types.INVALID_PARAMS, "nothing here completes what `ref` names")
        asked = params.model_dump(by_alias=True, mode="json", exclude_none=True)
        if isinstance(params.ref, types.PromptReference):
            asked["ref"]["name"] = listed.entry["name"]
        arguments: dict[str, JSON] = {
            name: asked[name] for name in ("ref", "argument", "context") if name in asked
        }
        return self._told(types.CompleteResult, await self._carry(ctx, tool, arguments))

    async def reader_of(self, caller: Caller, uri: str) -> Tool | None:
        """The tool that reads an address: whose upstream lists it, or has the one template."""
        if (listed := await self._has(caller, "resources/list", uri)) is not None:
            return listed.tool
        templates = await self._list(caller, "resources/templates/list")
        matching = {
            each.tool.name: each.tool
            for each in templates
            if matches(str(each.entry["uriTemplate"]), uri)
        }
        return matching.popitem()[1] if len(matching) == 1 else None

    async def seen(self, caller: Caller, what: Listing) -> list[Mapping[str, JSON]]:
        """What a caller is shown of a list."""
        return _entries(await self._list(caller, what), _GOES_BY[what])

    async def _caller(self, ctx: Context) -> Caller:
        return await self._who(ctx.request).caller()

    async def _has(self, caller: Caller, what: Listing, name: str) -> Listed | None:
        return next((each for each in await self._list(caller, what) if each.name == name), None)

    async def _tools(self, caller: Caller, method: McpMethod) -> list[Tool]:
        return [
            tool
            for tool in await self._usable(caller)
            if isinstance(tool.binding, McpBinding) and tool.binding.method == method
        ]

    async def _list(self, caller: Caller, what: Listing) -> list[Listed]:
        """What the upstreams list that the caller may read; who does not answer is left out."""

        async def ask(tool: Tool) -> list[Listed]:
            try:
                entries = await execution.listed(self._world, tool, what)
            except ExecutionError:
                return []
            prefix = _prefix(tool) if what == "prompts/list" else ""
            return [Listed(tool, each, f"{prefix}{each[by]}") for each in entries]

        by = _GOES_BY[what]
        tools = await self._tools(caller, _READ_BY[what])
        found = [each for some in await asyncio.gather(*map(ask, tools)) for each in some]
        named = Counter(each.name for each in found)
        return [each for each in found if named[each.name] == 1]

    def _told(self, kind: type[R], outcome: Outcome) -> R:
        if outcome.status != "done" or not isinstance(outcome.result, Mapping):
            status = telling.as_status(outcome, self._approvals)
            raise refused(outcome.message or outcome.status, status)
        theirs = outcome.result.get("_meta", {})
        assert isinstance(theirs, Mapping)
        meta = telling.meta_beside(theirs, outcome)
        return kind.model_validate({**outcome.result, "_meta": meta}, by_name=False)


def as_error(error: BailiwickError) -> MCPError:
    """A fault where only an error can say it."""
    return refused(error.message, {"status": "refused", "code": error.code, "help": error.help})


def refused(message: str, status: Mapping[str, JSON]) -> MCPError:
    """A no, with what a tool's answer would have as structured content."""
    return MCPError(REFUSED, message, dict(status))


def no_resource(ctx: Context, uri: str, status: Mapping[str, JSON]) -> MCPError:
    """There is none of this address, as far as this caller can see."""
    modern = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    code = types.INVALID_PARAMS if modern else _NO_RESOURCE
    return MCPError(code, "Resource not found", {**status, "uri": uri})


def _entries(found: Sequence[Listed], by: str) -> list[Mapping[str, JSON]]:
    return [{**each.entry, by: each.name} for each in found]


def _prefix(tool: Tool) -> str:
    assert isinstance(tool.binding, McpBinding)
    upstream = tool.binding.upstream
    return "" if upstream.keeps_names else f"{upstream.name}_"


def _upstream(tool: Tool) -> str:
    assert isinstance(tool.binding, McpBinding)
    return tool.binding.upstream.name


def matches(template: str, uri: str) -> bool:
    """Whether an address can be made of a template (RFC 6570); a template that is none has none."""
    try:
        return UriTemplate.parse(template).match(uri) is not None
    except InvalidUriTemplate:
        return False
