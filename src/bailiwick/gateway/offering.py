"""The tools that a client is shown: what its capability could ever do, and nothing else.

A tool is shown if the capability and the agent's manifest name it, and the rules do not forbid it
whatever is asked: where `who-can` proves a no, there is nothing to offer. The annotations are what
people classified, not what a server says of itself; they only ever tighten the protocol's defaults
for reads.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import mcp_types as types

from bailiwick import identity, policy
from bailiwick.nouns import Caller, McpBinding, Tool
from bailiwick.ports import Bundle, ControlState
from bailiwick.values import JSON

_KEPT = 256
# What an answer says instead of the tool's result while it has none (see `telling`).
_STATUS: Mapping[str, JSON] = {
    "type": "object",
    "required": ["status", "action"],
    "properties": {"status": {"type": "string"}, "action": {"type": "string"}},
}


class Offering:
    """What is offered, by release: wire names, and for each agent the tools it could ever use."""

    def __init__(self) -> None:
        self._named: OrderedDict[str, Mapping[str, Tool]] = OrderedDict()
        self._possible: OrderedDict[tuple[str, object, str], frozenset[str]] = OrderedDict()

    def named(self, bundle: Bundle) -> Mapping[str, Tool]:
        """The release's tools by the names that clients know."""
        release = bundle.release.digest
        if release not in self._named:
            tools = bundle.catalogue.tools.values()
            self._named[release] = {tool.wire_name: tool for tool in tools}
            if len(self._named) > _KEPT:
                self._named.popitem(last=False)
        return self._named[release]

    async def usable(self, bundle: Bundle, control: ControlState, caller: Caller) -> Sequence[Tool]:
        """What a caller could ever use, in the order of the names that clients know."""
        possible = await self._could_use(bundle, control, caller.agent)
        granted = [
            tool
            for tool in self.named(bundle).values()
            if tool.name in possible
            and any(
                identity.tool_granted(grant.tools, tool.name) for grant in caller.capability.grants
            )
        ]
        return sorted(granted, key=lambda each: each.wire_name)

    async def _could_use(self, bundle: Bundle, control: ControlState, agent: str) -> frozenset[str]:
        key = (bundle.release.digest, control.modes, agent)
        if key not in self._possible:
            # It asks the rules about many cases: not on the loop, on which calls wait.
            self._possible[key] = await asyncio.to_thread(_possible, bundle, control, agent)
            if len(self._possible) > _KEPT:
                self._possible.popitem(last=False)
        return self._possible[key]


def _possible(bundle: Bundle, control: ControlState, agent: str) -> frozenset[str]:
    """The tools of an agent's manifest that the rules do not forbid for every request."""
    manifest = bundle.manifests.get(agent)
    if manifest is None:
        return frozenset()
    listed = [
        name for name in bundle.catalogue.tools if identity.tool_granted(manifest.tools, name)
    ]
    book = bundle.policies
    assert isinstance(book, policy.RuleBook)
    return frozenset(
        name
        for name in listed
        if any(
            answer.can != "no"
            for answer in policy.who_can(book, name, settings=control.modes)
            if answer.agent == agent
        )
    )


def is_tool(tool: Tool) -> bool:
    """Whether clients know it as a tool: what a server offers beside has methods of its own."""
    return not isinstance(tool.binding, McpBinding) or tool.binding.method == "tools/call"


def described(tool: Tool) -> types.Tool:
    """A tool as a client is told of it."""
    shown: dict[str, Any] = {
        "name": tool.wire_name,
        "description": tool.description,
        "inputSchema": dict(tool.schema),
        "annotations": _annotations(tool),
    }
    if tool.title:
        shown["title"] = tool.title
    if tool.output_schema is not None:
        shown["outputSchema"] = {"type": "object", "anyOf": [tool.output_schema, _STATUS]}
    return types.Tool.model_validate(shown, by_name=False)


def _annotations(tool: Tool) -> dict[str, JSON]:
    reads = tool.effect == "read"
    return {
        "readOnlyHint": reads,
        "destructiveHint": not reads and ("destructive" in tool.traits or tool.reverser is None),
        "idempotentHint": reads or tool.effect_key is not None,
        "openWorldHint": True,
    }
