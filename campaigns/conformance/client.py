"""Our MCP client, as the program that the client suites start with the URL of their server.

It does for each scenario what Bailiwick does with an upstream: it takes what the server lists, and
calls each of the tools under the definition that it took. What a tool is called with is what the
suite names (`MCP_CONFORMANCE_CONTEXT`), or the smallest that its schema takes; a `schema` that a
tool asks for is the first one that was listed.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from bailiwick.execution.mcp import Upstreams, definitions_of
from bailiwick.execution.passage import Passage
from bailiwick.nouns import McpUpstream, ToolCall
from bailiwick.ports import Lost, NotSent

Protocol = Literal["2025-11-25", "auto"]

_SMALLEST: Mapping[str, Any] = {
    "string": "x",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "object": {},
    "array": [],
}
_SECONDS = 20.0


def _call(upstream: McpUpstream, tool: str, arguments: Mapping[str, Any], pin: str) -> ToolCall:
    return ToolCall(
        upstream=upstream,
        tool=tool,
        arguments=arguments,
        meta={},
        pin=pin,
        beside=(),
        credential="",
        secret="",
        timeout_s=_SECONDS,
        max_bytes=1 << 20,
    )


def _wanted(definitions: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The calls that the suite names, or one of each tool."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    if "toolCalls" in context:
        for each in context["toolCalls"]:
            yield each["name"], each.get("arguments") or {}
        return
    schemas = {name: each["inputSchema"] for name, each in definitions.items()}
    for name, schema in schemas.items():
        properties = schema.get("properties", {})
        arguments = {
            each: _SMALLEST.get(properties.get(each, {}).get("type"), "x")
            for each in schema.get("required", [])
        }
        if "schema" in arguments:
            arguments["schema"] = next(iter(schemas.values()))
        yield name, arguments


async def _open() -> bool:
    return True


async def _run(url: str, protocol: Protocol) -> None:
    upstream = McpUpstream(name="suite", url=url, protocol=protocol)
    offer = await definitions_of(_call(upstream, "", {}, ""), Path())
    upstreams = Upstreams(Path())
    definitions = {name: each for name, each in offer.definitions.items() if each is not None}
    for tool, arguments in _wanted(definitions):
        if tool not in offer.digests:
            continue
        call = _call(upstream, tool, arguments, offer.digests[tool])
        try:
            print(tool, await upstreams.ask(call, Passage(set(), _open)), flush=True)
        except (NotSent, Lost) as error:
            print(tool, type(error).__name__, *error.args, flush=True)
    await upstreams.close()


def main() -> None:
    """Do what the scenario needs."""
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION")
    # Where a scenario speaks the newer revision, we find that out as we do with any server.
    asyncio.run(_run(sys.argv[1], "auto" if version == "2026-07-28" else "2025-11-25"))


if __name__ == "__main__":
    main()
