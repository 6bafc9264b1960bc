"""What an MCP server gives passes through the spine: it is decided, kept, and told whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from bailiwick import cases
from bailiwick.catalog import Pin, path_of, pins_text
from bailiwick.execution.mcp import definitions_of
from bailiwick.nouns import Grant, McpUpstream, ToolCall
from bailiwick.operations import found
from bailiwick.testing import write_project
from bailiwick.values import digest
from tests.postgres import Server
from tests.s09_execute.mcp_desk import Notes
from tests.s09_execute.mcp_passing import serving
from tests.s09_execute.test_mcp_hearing import Ear, listening
from tests.spine.house import (
    LIMITS,
    PEOPLE,
    SETTINGS,
    House,
    copied,
    given_a_database,
    opened,
    storing_in,
)

AGENT = """\
owner: support
tools_allowlist: ["wide.*"]
max_tool_calls: 100000
"""
RULES = """\
@id("wide.private")
forbid (principal, action == Action::"wide.resources", resource)
when { context.input.uri like "note://private/*" };
"""
LAW = {"effect": "write", "key_retention_s": "none", "settles_within_s": 0, "gated": True}
TOOLS = [
    {"name": "wide.chatty", "upstream": "wide", "tool": "chatty", "effect": "read"},
    {"name": "wide.blocks", "upstream": "wide", "tool": "blocks", "effect": "read"},
    {"name": "wide.plain", "upstream": "wide", "tool": "plain", "effect": "read"},
    {"name": "wide.wrong", "upstream": "wide", "tool": "wrong", "effect": "read"},
    {"name": "wide.half", "upstream": "wide", "tool": "wrong", **LAW, "gated": False}
    | {"reader": {"tool": "wide.plain"}, "expect": "after.text == 'tea'"},
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    with serving(tmp_path_factory.mktemp("wide")) as desk:
        yield desk


@pytest.fixture(scope="module")
def built(kind: Server | None, wide: Notes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def build() -> Path:
        upstream = wide.over_http("wide")
        offered = (await definitions_of(looking_at(upstream), Path.cwd())).definitions
        pins = {
            name: Pin(sha256=digest(each), definition=each)
            for name, each in offered.items()
            if each is not None
        }
        declared = {
            "upstreams": [
                {
                    "name": "wide",
                    "url": upstream.url,
                    "owner": "support",
                    "offers": {"resources": {"data_classes": ["notes"]}, "prompts": {}},
                }
            ],
            "tools": TOOLS,
        }
        files = {
            "bailiwick.yaml": SETTINGS,
            "limits.yaml": LIMITS,
            "agents/helper.yaml": AGENT,
            "tools/wide.yaml": json.dumps(declared),
            "policies/wide.cedar": RULES,
            path_of("wide"): pins_text("wide", pins),
        }
        folder = write_project(tmp_path_factory.mktemp("wide") / "project", files)
        given_a_database(folder)
        await found(folder, PEOPLE)
        return folder

    with storing_in(kind, keep=True):
        return asyncio.run(build())


def looking_at(upstream: McpUpstream) -> ToolCall:
    return ToolCall(
        upstream=upstream,
        tool="",
        arguments={},
        meta={},
        pin="",
        beside=(),
        credential="",
        secret="",
        timeout_s=60.0,
        max_bytes=0,
    )


@pytest.fixture
async def house(built: Path, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(copied(built, tmp_path / "project")) as house:
        yield house


@pytest.mark.claim("mcp.content-whole")
async def test_what_was_said_is_told_at_once_and_again_from_the_store(house: House) -> None:
    helper = await house.clerk(agent="helper")
    for tool, status in (("blocks", "done"), ("plain", "done"), ("wrong", "failed")):
        first = await helper.act(f"wide.{tool}", {}, key=f"k-{tool}")
        assert (first.status, first.content is None) == (status, False), first
        again = await helper.act(f"wide.{tool}", {}, key=f"k-{tool}")
        assert again.earlier
        assert again.content == first.content
        assert first.message in again.message
        assert cases.content_of(again) == first.content
    assert "no such note" in first.message
    half = await helper.act("wide.half", {})
    assert (half.status, half.code) == ("unknown", "tool_error")
    told = cases.content_of(half)
    assert (told.is_error, told.structured) == (True, {"code": 7})
    assert [each["type"] for each in told.blocks] == ["text", "image"]
    assert msgspec.json.decode(msgspec.json.encode(half))["content"]["is_error"]


@pytest.mark.claim("mcp.offers-are-read-as-tools")
async def test_a_resource_is_granted_judged_recorded_and_its_data_carried(
    house: House, wide: Notes
) -> None:
    wide.forget()
    helper = await house.clerk(agent="helper", run="run-notes")
    read = await helper.act("wide.resources", {"uri": "note://1"})
    assert read.status == "done", read
    assert isinstance(read.result, dict)
    assert await house.kinds(read.action) == ["concluded"]
    row = await house.world.shelf.run("default", "run-notes")
    assert row is not None
    assert row.classes == {"notes"}
    denied = await helper.act("wide.resources", {"uri": "note://private/1"})
    assert (denied.code, denied.details["rules"]) == ("denied", ["wide.private"])
    sly = await helper.act("wide.resources", {"uri": "note://1/../private/1"})
    assert (sly.status, sly.code) == ("refused", "arguments_invalid")
    narrow = await house.bailiwick.session(
        "helper",
        subject="sue",
        run="run-narrow",
        grants=[Grant(tools=("wide.resources",), resources=("Resource:note://1",))],
    )
    assert (await narrow.act("wide.resources", {"uri": "note://1"})).status == "done"
    assert (await narrow.act("wide.resources", {"uri": "note://2"})).code == "resource_not_granted"
    assert (await narrow.act("wide.prompts", {"name": "ask"})).code == "tool_not_granted"
    prompt = await helper.act("wide.prompts", {"name": "ask", "arguments": {"who": "Ada"}})
    assert prompt.status == "done"
    assert [each["read"] for each in wide.journal] == ["note://1", "note://1"]


@pytest.mark.claim("mcp.heard-while-it-runs")
async def test_who_listens_around_act_hears_the_call(house: House) -> None:
    helper = await house.clerk(agent="helper")
    with listening(Ear()) as ear:
        outcome = await helper.act("wide.chatty", {"text": "2"})
    assert outcome.status == "done"
    assert [progress for progress, _, _ in ear.progressed] == [0.0, 1.0]
    assert len(ear.logged) == 2
