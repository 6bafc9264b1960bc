"""What an MCP server says and asks during a call reaches the client that made the call."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp import Client, MCPError
from mcp.client.context import ClientRequestContext
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    TextContent,
)

from campaigns.conformance.behind import fixture, governed
from tests.gateway.served import CAPABILITIES, MODES
from tests.gateway.test_calls import told

# The server is spoken to in the newer revision, whichever its client speaks.
MIRRORS = "test_x_mcp_header"
NEEDS_A_MODEL = "test_missing_capability"
ASKS = "test_input_required_result_elicitation"


@pytest.mark.claim("gateway.questions-reach-the-client")
@pytest.mark.claim("gateway.headers-say-what-calls-say")
@pytest.mark.claim("mcp.abilities-are-the-callers")
async def test_a_question_reaches_the_client_and_its_answer_the_server(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "Ada", "username": "ada"})

    async def sample(
        context: ClientRequestContext, params: CreateMessageRequestParams
    ) -> CreateMessageResult:
        words = TextContent(type="text", text="words")
        return CreateMessageResult(role="assistant", content=words, model="m")

    async with fixture() as url, governed(tmp_path / "project", url) as before:
        for mode in MODES.values():
            asked.clear()
            heard: list[float] = []

            async def hear(
                progress: float,
                total: float | None,
                message: str | None,
                heard: list[float] = heard,
            ) -> None:
                heard.append(progress)

            async with Client(before, mode=mode, elicitation_callback=answer) as client:
                result = told(await client.call_tool(ASKS, {}))
                assert (len(asked), result["error"]) == (1, False), result
                assert "da" in result["text"]
                await client.call_tool("test_tool_with_progress", {}, progress_callback=hear)
                assert len(heard) >= 3
                assert heard == sorted(heard)
            async with Client(before, mode=mode) as client:
                silent = told(await client.call_tool(ASKS, {}))
                assert len(asked) == 1
                assert "Ada" not in silent["text"]
            await needing_a_model(before, mode, answer, sample)
        await mirroring(before)


async def needing_a_model(before: str, mode: str, answer: Any, sample: Any) -> None:
    """A tool that needs words of a model says so, unless its client has one."""
    async with Client(before, mode=mode, elicitation_callback=answer) as client:
        if mode == "legacy":
            assert told(await client.call_tool(NEEDS_A_MODEL, {}))["error"]
        else:
            with pytest.raises(MCPError) as unable:
                await client.call_tool(NEEDS_A_MODEL, {})
            assert unable.value.code == MISSING_REQUIRED_CLIENT_CAPABILITY
            assert unable.value.data == {"requiredCapabilities": {"sampling": {}}}
    async with Client(before, mode=mode, sampling_callback=sample) as client:
        assert "can sample" in told(await client.call_tool(NEEDS_A_MODEL, {}))["text"]


async def mirroring(before: str) -> None:
    """A header that mirrors an argument says what the argument says."""

    async def status(before: str, **headers: str) -> tuple[int, int]:
        meta = {**CAPABILITIES, "io.modelcontextprotocol/clientCapabilities": {}}
        params = {"name": MIRRORS, "arguments": {"region": "eu"}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        fixed = {
            "host": urlsplit(before).netloc,
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": MIRRORS,
        }
        # As bytes, since clients refuse to send white space around a value.
        lines = [f"{name}:{value}" for name, value in {**fixed, **headers}.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(before).port)
        writer.write("\r\n".join(["POST /mcp HTTP/1.1", *lines, "", body]).encode())
        head, _, said = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(said).get("error", {}).get("code", 0)

    assert await status(before, **{"mcp-param-region": "eu"}) == (200, 0)
    spaced = {"mcp-name": f" {MIRRORS} \t", "mcp-param-region": "eu "}
    assert await status(before, **spaced) == (200, 0)
    assert await status(before, **{"mcp-param-region": "us"}) == (400, -32020)
    assert await status(before) == (400, -32020)
