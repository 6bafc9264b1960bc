"""Clients that nobody here wrote, through the gateway, on servers that nobody here wrote.

The MCP Inspector at its command line, and the official SDK's client; behind the gateway npm's
servers for files and for facts. The client knows nothing of Bailiwick.
"""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.desk import Desk
from tests.gateway.served import Up
from tests.interop.servers import FILES, MEMORY, PACKAGES, declare, graph, node, sent

INSPECTOR = PACKAGES / "inspector" / "clients" / "launcher" / "build" / "index.js"
RULES = """\
@id("files.kept")
forbid (principal, action == Action::"files.write", resource)
when { context.input.path like "*kept*" };

@id("memory.asked")
@approval("support:1")
forbid (principal, action == Action::"memory.note", resource)
when { context.input.name like "boss*" }
unless { context.approvals has "memory.asked" && context.approvals["memory.asked"] };
"""

pytestmark = pytest.mark.skipif(
    not (FILES.exists() and MEMORY.exists() and INSPECTOR.exists()) and "CI" not in os.environ,
    reason="`make interop` and `make test` install the servers, if npm's packages can be had",
)


@pytest.fixture(scope="module")
def up(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The project with both servers and two rules, served, and an access key for anna."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(founded, folder / "project")
    (folder / "homes").mkdir()
    desk = Desk(folder / "project", folder / "homes")
    declare(desk)
    (desk.project / "policies" / "served.cedar").write_text(RULES)
    desk.log_in("ada", "bo")
    assert desk.here("ada", "tools", "accept", "--yes").code == 0
    assert desk.here("ada", "release", "activate").code == 0
    served = Up(desk)
    served.key = served.access_key()
    yield served
    served.stop()


def inspect(up: Up, method: str, *words: str) -> Any:
    """Ask by the Inspector, a process of its own, and give the result that it prints."""
    done = subprocess.run(
        [
            *(str(node()), str(INSPECTOR), "--cli", f"{up.url}/mcp", "--transport", "http"),
            *("--header", f"Authorization: Bearer {up.key}", "--method", method, *words),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def called(up: Up, tool: str, **arguments: str) -> Any:
    """Call a tool by the Inspector."""
    words = [
        word for name, value in arguments.items() for word in ("--tool-arg", f"{name}={value}")
    ]
    return inspect(up, "tools/call", "--tool-name", tool, *words)


def test_the_inspector_lists_calls_and_is_denied(up: Up) -> None:
    tools = {each["name"] for each in inspect(up, "tools/list")["tools"]}
    assert {"files_write", "files_read", "memory_note", "memory_open"} <= tools

    path = up.desk.project / "shared" / "tea.txt"
    done = called(up, "files_write", path=str(path), content="likes tea")
    assert not done.get("isError")
    assert done["_meta"]["dev.bailiwick/verdict"] == "verified"
    assert path.read_text() == "likes tea"
    again = called(up, "files_write", path=str(path), content="likes tea")
    assert again["_meta"]["dev.bailiwick/action"] == done["_meta"]["dev.bailiwick/action"]

    kept = path.with_name("kept.txt")
    denied = called(up, "files_write", path=str(kept), content="x")
    assert denied["isError"]
    assert denied["structuredContent"]["code"] == "denied"
    assert "files.kept" in denied["content"][0]["text"]
    assert not kept.exists()
    assert [each.tool for each in sent(up.desk, "files")].count("write_file") == 1


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_the_official_client_waits_for_people_and_gets_the_one_outcome(
    up: Up, revision: str
) -> None:
    note = {"name": f"boss {revision}", "text": "prefers mail"}
    async with up.client(up.key, revision) as client:
        waits = await client.call_tool("memory_note", note)
        assert not waits.is_error
        assert waits.structured_content is not None
        action = waits.structured_content["action"]
        assert waits.structured_content["status"] == "parked"
        await up.says("bo", "approvals", "approve", action, "--yes")
        async with asyncio.timeout(20):
            while True:
                done = await client.call_tool("memory_note", note)
                if (done.meta or {})["dev.bailiwick/status"] not in ("parked", "running"):
                    break
                await asyncio.sleep(0.05)
        replayed = await client.call_tool("memory_note", note)
    for answer in (done, replayed):
        assert answer.meta is not None
        assert answer.meta["dev.bailiwick/action"] == action
        assert answer.meta["dev.bailiwick/verdict"] == "verified"
    noted = [each for each in sent(up.desk, "memory") if each.tool == "create_entities"]
    assert [each.action for each in noted].count(action) == 1
    assert action in graph(up.desk)[note["name"]]
