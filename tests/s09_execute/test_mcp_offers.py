"""Resources, prompts and completion of real servers, read as tools, and what is listed of them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bailiwick.errors import ExecutionError
from bailiwick.execution import listed
from bailiwick.nouns import McpUpstream
from tests.s09_execute.bench import Bench, bench, free_port
from tests.s09_execute.mcp_desk import Notes, Protocol
from tests.s09_execute.mcp_passing import offered, run, serving

BOTH = pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    with serving(tmp_path_factory.mktemp("wide")) as desk:
        yield desk


@pytest.fixture
async def at() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.mark.claim("mcp.offers-are-read-as-tools")
@BOTH
@pytest.mark.parametrize("over", ["pipes", "http"])
async def test_a_resource_a_prompt_and_a_completion_are_read_whole(
    at: Bench, wide: Notes, over: str, protocol: Protocol
) -> None:
    upstream = getattr(wide, f"over_{over}")(protocol=protocol)
    wide.forget()
    report = await run(at, offered(at, upstream, "resources"), id="act-9", uri="note://1")
    assert (report.status, report.sends) == ("done", 1)
    assert report.result == {
        "contents": [
            {"uri": "note://1", "mimeType": "text/plain", "text": "tea", "_meta": {"a": 1}},
            {"uri": "note://1", "blob": "iVBORw=="},
        ]
    }
    assert wide.journal == [{"read": "note://1", "action": "act-9"}]
    prompts = offered(at, upstream, "prompts")
    report = await run(at, prompts, name="ask", arguments={"who": "Ada"})
    assert report.result == {
        "messages": [{"role": "user", "content": {"type": "text", "text": "Hello Ada\x1b[2J"}}]
    }
    asked: Any = {"ref": {"type": "ref/prompt", "name": "ask"}}
    asked |= {"argument": {"name": "who", "value": "a"}, "context": {"arguments": {"x": "y"}}}
    report = await run(at, offered(at, upstream, "completion"), **asked)
    assert report.result == {"completion": {"values": ["aada"], "total": 1}}


@pytest.mark.claim("mcp.lists-are-data")
@BOTH
async def test_what_is_listed_is_whole_and_safe_to_show(
    at: Bench, wide: Notes, protocol: Protocol
) -> None:
    upstream = wide.over_http(protocol=protocol)
    tool = offered(at, upstream, "resources")
    found = await listed(at.world, tool, "resources/list")
    assert found == [
        {
            "uri": "note://1",
            "name": "one\\u{200b}",
            "description": "First.\nSee\\u{1b}[2J\\u{202e} more.",
        }
    ]
    found = await listed(at.world, tool, "resources/templates/list")
    assert found == [{"uriTemplate": "note://{id}", "name": "notes"}]
    found = await listed(at.world, tool, "prompts/list")
    assert [each["name"] for each in found] == ["ask", "again"]


async def test_a_server_that_offers_nothing_beside_lists_nothing(at: Bench, web: Notes) -> None:
    tool = offered(at, web.over_http(), "resources")
    assert list(await listed(at.world, tool, "resources/list")) == []
    report = await run(at, tool, uri="note://1")
    assert (report.status, report.code, report.sends) == ("failed", "provider_refused", 1)


@pytest.mark.claim("mcp.lists-are-data")
async def test_what_cannot_be_listed_is_a_fault_with_a_code(at: Bench) -> None:
    upstream = McpUpstream(name="none", url=f"http://127.0.0.1:{free_port()}/mcp")
    with pytest.raises(ExecutionError) as error:
        await listed(at.world, offered(at, upstream, "prompts"), "prompts/list")
    assert error.value.code == "provider_unreachable"


@pytest.mark.claim("mcp.bounded")
@pytest.mark.claim("execution.no-redirects")
async def test_hostile_resources_are_refused_by_name(at: Bench, wide: Notes, web: Notes) -> None:
    resources = offered(at, wide.over_http(), "resources")
    for uri, code in (("note://huge", "result_too_large"), ("note://none", "provider_error")):
        report = await run(at, resources, uri=uri)
        assert (report.status, report.code, report.sends) == ("failed", code, 1)
    pipes = offered(at, wide.over_pipes("second"), "resources")
    assert (await run(at, pipes, uri="note://huge")).code == "result_too_large"
    assert (await run(at, pipes, id="act-2", uri="note://1")).status == "done"


@pytest.mark.claim("execution.fence-each-send")
async def test_a_stop_shuts_out_these_reads_too(at: Bench, wide: Notes) -> None:
    prompts = offered(at, wide.over_http(), "prompts")
    assert (await run(at, prompts, name="ask")).status == "done"
    at.room.stop()
    report = await run(at, prompts, id="act-2", name="ask")
    assert (report.status, report.code, report.sends) == ("failed", "stopped", 0)
