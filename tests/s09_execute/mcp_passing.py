"""What the tests of what passes through share: the server of `mcp_wide.py`, and its tools."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bailiwick.catalog.forms import complete
from bailiwick.catalog.mcp_offers import Kind, offer_declarations
from bailiwick.execution import execute
from bailiwick.nouns import EffectReport, McpUpstream, Tool
from bailiwick.values import JSON
from tests.s09_execute.bench import Bench, action, free_port, mcp_tool
from tests.s09_execute.mcp_desk import WIDE, Notes
from tests.s09_execute.test_mcp import pins

PINS: dict[str, str] = {}


@contextmanager
def serving(folder: Path) -> Iterator[Notes]:
    """The server over HTTP, until the block ends; its folder serves those over pipes too."""
    desk = Notes(folder, free_port(), WIDE)
    desk.start()
    try:
        yield desk
    finally:
        desk.stop()


async def tool_of(at: Bench, upstream: McpUpstream, name: str, **members: Any) -> Tool:
    """One of its tools, under the pin of what it offers."""
    if not PINS:
        PINS.update(await pins(upstream))
    return at.add(mcp_tool(upstream, name, PINS[name], **{"timeout_s": 20.0, **members}))


async def run(at: Bench, tool: Tool, id: str = "act-1", **arguments: JSON) -> EffectReport:
    """Carry out a call whose intent is written."""
    asked = action(tool, deadline_s=60, id=id)
    return await execute(at.world, at.bundle, asked, tool, arguments, before={}, epoch=7)


def wire(report: EffectReport) -> Mapping[str, Any]:
    """The result of a call as a server gave it, made again of what was kept of it."""
    content = report.content
    assert content is not None
    return {
        "content": [dict(each) for each in content.blocks],
        **({"structuredContent": content.structured} if content.is_structured else {}),
        **({"isError": True} if content.is_error else {}),
        **({"_meta": content.meta} if content.meta else {}),
    }


def whole_of(desk: Notes) -> Mapping[str, Any]:
    """What its tool `blocks` said last."""
    found: Mapping[str, Any] = desk.journal[-1]["said"]
    return found


def offered(at: Bench, upstream: McpUpstream, kind: Kind, **members: Any) -> Tool:
    """The tool that reads what it offers beside its tools."""
    shared = {"owner": "ops", **members}
    (declared,) = offer_declarations((kind,), upstream, shared, None, "tools/wide.yaml")
    return at.add(complete(declared))
