"""What an MCP server's tool says comes back whole, and rules see what they always saw."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from bailiwick.execution.answers import told
from bailiwick.nouns import ToolAnswer, ToolContent, content_beside
from tests.s09_execute.bench import Bench, bench
from tests.s09_execute.mcp_desk import Notes, Protocol
from tests.s09_execute.mcp_passing import run, serving, tool_of, whole_of, wire

TEXT = {"type": "text", "text": "tea"}
IMAGE = {"type": "image", "data": "iVBORw==", "mimeType": "image/png"}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    with serving(tmp_path_factory.mktemp("wide")) as desk:
        yield desk


@pytest.fixture
async def at() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.mark.claim("mcp.content-whole")
@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("over", ["pipes", "http"])
async def test_every_kind_of_block_comes_back_as_it_was_said(
    at: Bench, wide: Notes, over: str, protocol: Protocol
) -> None:
    tool = await tool_of(at, getattr(wide, f"over_{over}")(protocol=protocol), "blocks")
    report = await run(at, tool)
    assert (report.status, report.result) == ("done", {"count": 2})
    assert wire(report) == whole_of(wide)


@pytest.mark.claim("mcp.content-whole")
@pytest.mark.parametrize(
    ("effect", "on_error", "status"),
    [
        ("write", "unknown", "unknown"),
        ("write", "not_done", "failed"),
        ("read", "unknown", "failed"),
    ],
)
async def test_what_a_tool_says_of_its_error_reaches_the_caller(
    at: Bench, wide: Notes, effect: str, on_error: Any, status: str
) -> None:
    tool = await tool_of(at, wide.over_http(), "wrong", effect=effect, on_error=on_error)
    report = await run(at, tool)
    assert (report.status, report.code, report.result) == (status, "tool_error", None)
    said = wire(report)
    assert said["isError"]
    assert said["structuredContent"] == {"code": 7}
    assert [each["type"] for each in said["content"]] == ["text", "image"]
    assert "no such note" in report.message


@pytest.mark.claim("mcp.content-whole")
@pytest.mark.parametrize(
    "content",
    [
        ToolContent(blocks=(TEXT,)),
        ToolContent(),
        ToolContent(blocks=(TEXT, IMAGE)),
        ToolContent(blocks=({**TEXT, "annotations": {"priority": 1}},)),
        ToolContent(blocks=(TEXT,), meta={"a": 1}),
        ToolContent(blocks=(TEXT,), structured={"text": "tea"}, is_structured=True),
        ToolContent(blocks=(), structured=None, is_structured=True),
        ToolContent(blocks=(TEXT,), structured=[1, {"a": None}], is_structured=True),
        ToolContent(blocks=(TEXT,), is_error=True),
        ToolContent(blocks=(TEXT,), structured={"a": 1}, is_structured=True, is_error=True),
    ],
)
def test_what_is_kept_beside_a_result_gives_the_whole_back(content: ToolContent) -> None:
    report = told(ToolAnswer(content=content), on_error="unknown", secret="", max_bytes=10_000)
    assert report.content == content
    kept = msgspec.json.decode(msgspec.json.encode(content.beside(report.result)))
    assert content_beside(kept, report.result) == content


def test_a_plain_text_is_kept_once() -> None:
    content = ToolContent(blocks=(TEXT,))
    assert content.result == {"text": "tea"}
    assert content.beside(content.result) == {}
    assert ToolContent(blocks=(TEXT, IMAGE, TEXT)).result == {
        "text": "tea\ntea",
        "left_out": ["image"],
    }


@pytest.mark.claim("mcp.bounded")
@pytest.mark.claim("execution.secrets-stay-secret")
@pytest.mark.parametrize("is_error", [False, True])
@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": "x" * 20_000, "mimeType": "image/png"},
        {"type": "text", "text": "-", "_meta": {"header": "Bearer s3cr3t-s3cr3t"}},
    ],
)
def test_a_block_that_is_too_large_or_holds_the_secret_is_withheld(
    block: Any, is_error: bool
) -> None:
    answer = ToolAnswer(content=ToolContent(blocks=(block,), is_error=is_error))
    report = told(answer, on_error="unknown", secret="s3cr3t-s3cr3t", max_bytes=10_000)
    assert (report.result, report.content) == (None, None)
    assert report.code in ("result_unreadable", "result_holds_secret", "tool_error")
