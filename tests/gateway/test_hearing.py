"""What an MCP server says and asks during a call reaches the client that made the call."""

from pathlib import Path

import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from campaigns.conformance.behind import fixture, governed
from tests.gateway.served import MODES
from tests.gateway.test_calls import told

# The server is spoken to in the newer revision, whichever its client speaks.
ASKS = "test_input_required_result_elicitation"


@pytest.mark.claim("gateway.questions-reach-the-client")
async def test_a_question_reaches_the_client_and_its_answer_the_server(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "Ada", "username": "ada"})

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
