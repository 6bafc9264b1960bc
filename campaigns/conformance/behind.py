"""The fixture behind `bailiwick up`, and before it whoever brings the agent's access key.

The suites are clients that send no credential. A relay on loopback adds one to each request, and
changes nothing else: neither the `Host` nor the `Origin` that a scenario makes up.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bailiwick import Bailiwick
from bailiwick.operations import COMMANDS, Newcomer, found
from bailiwick.testing import write_project
from campaigns.conformance.fixture import HANDLERS
from campaigns.conformance.voting import RULE, VOTER, voting

AGENT = "conformance"
_SETTINGS = "free_space_watermark_mb: 1\nserve: {port: 0}\n"
MANIFEST = f"""\
name: {AGENT}
owner: the-suites
tools_allowlist: ["fixture.*"]
max_tool_calls: 100000
"""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ROOT = Path(__file__).parents[2]


def files(url: str, protocol: str) -> dict[str, str]:
    """The project: all that the fixture has; every tool as one that reads, by its own name."""
    upstream = {
        "name": "fixture",
        "url": url,
        "owner": "the-suites",
        "keeps_names": True,
        "offers": ["resources", "prompts", "completion"],
        "may_ask": ["elicitation", "sampling", "roots"],
        "protocol": protocol,
    }
    tools = [
        {"name": f"fixture.{name}", "upstream": "fixture", "tool": name, "effect": "read"}
        for name in HANDLERS
    ]
    return {
        "bailiwick.yaml": _SETTINGS,
        f"agents/{AGENT}.yaml": MANIFEST,
        "tools/fixture.yaml": json.dumps({"upstreams": [upstream], "tools": tools}),
    }


@asynccontextmanager
async def fixture() -> AsyncIterator[str]:
    """The fixture alone; its URL."""
    async with _program(["-W", "ignore", "-m", "campaigns.conformance.fixture"]) as told:
        yield (await told.readline()).decode().strip()


@asynccontextmanager
async def governed(
    folder: Path,
    url: str,
    protocol: str = "auto",
    more: Mapping[str, str] = {},
    *,
    asks_people: bool = False,
) -> AsyncIterator[str]:
    """A project for the fixture in a new folder, served; the URL that takes who has no key.

    `protocol` is the revision spoken to the fixture; `more` are further files of the project. With
    `asks_people` the scenarios of tasks find a rule that asks people, and somebody who votes.
    """
    rules = {"policies/asked.cedar": RULE} if asks_people else {}
    write_project(folder, {**files(url, protocol), **rules, **more})
    # By name, since a second server may offer the same.
    accepting = ("tools", "accept", "--yes", "--json", *(f"fixture/{name}" for name in HANDLERS))
    async with _program(_cli(folder, *accepting)) as told:
        await told.read()
    await found(folder, [Newcomer("ada"), *([VOTER] if asks_people else [])])
    key = await _access_key(folder)
    async with AsyncExitStack() as stack:
        told = await stack.enter_async_context(_program(_cli(folder, "up", "--json")))
        served = await _document(told)
        if asks_people:
            await stack.enter_async_context(voting(served))
        port = await stack.enter_async_context(_relay(served, key))
        yield f"http://127.0.0.1:{port}/mcp"


async def _access_key(folder: Path) -> str:
    async with Bailiwick.open(folder) as bailiwick:
        people = await bailiwick.world.register.people(bailiwick.world.settings.tenant)
        ada = next(each for each in people if each.name == "ada")
        given: dict[str, Any] = {"agent": AGENT, "subject": "anna", "days": 1}
        made: Any = await COMMANDS["agents access-key"](bailiwick.world, ada, given)
        return str(made["access_key"])


def _cli(folder: Path, *words: str) -> list[str]:
    return ["-m", "bailiwick.cli", "--project", str(folder), *words]


@asynccontextmanager
async def _program(words: Sequence[str]) -> AsyncIterator[asyncio.StreamReader]:
    """A program of ours, asked to leave when the block ends; what it prints."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"},
    )
    assert program.stdout is not None
    try:
        yield program.stdout
    finally:
        if program.returncode is None:
            program.terminate()
        await program.wait()


async def _document(told: asyncio.StreamReader) -> str:
    """The address in the JSON document that `up` prints."""
    text = b""
    while line := await told.readline():
        text += line
        if line.startswith(b"}"):
            break
    return str(json.loads(text)["url"])


@asynccontextmanager
async def _relay(url: str, key: str) -> AsyncIterator[int]:
    host, _, port = url.removeprefix("http://").rpartition(":")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(host, int(port))
        either = [
            asyncio.create_task(_requests(reader, requests, key)),
            asyncio.create_task(_copy(answers, writer)),
        ]
        await asyncio.wait(either, return_when="FIRST_COMPLETED")
        for each in either:
            each.cancel()
        writer.close()
        requests.close()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _requests(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """Requests one after the other, each with the key after its first line."""
    bearer = f"authorization: Bearer {key}\r\n".encode()
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1]) if length else 0)
            first, _, rest = head.partition(b"\r\n")
            writer.write(first + b"\r\n" + bearer + rest + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    except OSError:
        pass
