"""What an MCP server says and asks during a call reaches the client that made the call."""

from pathlib import Path
from typing import Any

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
from tests.gateway.served import MODES
from tests.gateway.test_calls import told

# The server is spoken to in the newer revision, whichever its client speaks.
NEEDS_A_MODEL = "test_missing_capability"
ASKS = "test_input_required_result_elicitation"


@pytest.mark.claim("gateway.questions-reach-the-client")
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
