"""`bailiwick mcp --stdio`: a client starts it, alone or beside a server or another of its kind."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from tests.cli.desk import Desk
from tests.gateway.served import MODES, Up, founded_desk
from tests.gateway.test_calls import told, unique


@pytest.fixture
def desk(founded: Path, tmp_path: Path) -> Iterator[Desk]:
    """The project, with everybody logged in and nothing running."""
    desk = founded_desk(founded, tmp_path)
    desk.log_in("ada", "bo")
    yield desk
    desk.end()


@asynccontextmanager
async def piped(desk: Desk, revision: str, agent: str = "note-taker") -> AsyncIterator[Client]:
    """The official client, which starts the command."""
    words = ["mcp", "--stdio", "--agent", agent, "--subject", "anna"]
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "bailiwick.cli", *words],
        cwd=desk.project,
        env=desk.environment("anna"),
    )
    async with Client(command, mode=MODES[revision]) as client:
        yield client


@pytest.mark.parametrize("revision", MODES)
async def test_a_client_is_served_over_its_pipes(desk: Desk, revision: str) -> None:
    async with piped(desk, revision) as client:
        listed = await client.list_tools()
        done = told(await client.call_tool("notes_add", unique("piped")))
        parked = told(
            await client.call_tool("notes_add", {**unique("asks"), "visible_to": "customer"})
        )
        # A second client of the same project is served through the first one's process.
        async with piped(desk, revision) as second:
            beside = told(await second.call_tool("notes_add", unique("beside")))
    assert "notes_add" in [each.name for each in listed.tools]
    assert not done["error"]
    assert not beside["error"]
    assert "approval_url" not in parked["data"]
    assert "bailiwick approvals show" in parked["text"]


@pytest.mark.claim("gateway.pipes-prove-the-key")
async def test_beside_a_server_it_speaks_through_it(desk: Desk) -> None:
    up = Up(desk)
    async with piped(desk, "2025-11-25") as client:
        parked = told(
            await client.call_tool("notes_add", {**unique("asks"), "visible_to": "customer"})
        )
        assert parked["data"]["approval_url"].startswith(f"{up.url}/approvals/act_")
    (desk.project / "keys" / "agents" / "note-taker.json").rename(desk.homes / "stolen.json")
    refused = desk.run("ada", "mcp", "--stdio", "--agent", "note-taker", "--subject", "anna")
    assert (refused.code, refused.fault) == (2, "agent_key_missing")
    assert up.stop() == 0


def test_an_agent_that_is_not_there_is_refused(desk: Desk) -> None:
    refused = desk.run("ada", "mcp", "--stdio", "--agent", "nobody", "--subject", "anna")
    assert (refused.code, refused.fault) == (2, "agent_key_missing")
    assert refused.out == ""
