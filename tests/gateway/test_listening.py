"""Clients of both revisions hear when what they see changes, and never of what others see."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ToolsListChanged

from bailiwick.gateway import listening
from bailiwick.operations import found
from tests.cli.desk import AGENT, PEOPLE, Desk, write_project
from tests.gateway.served import MODES, Up
from tests.s09_execute.bench import free_port

SERVER = Path(__file__).parent / "changing.py"
OTHER = """\
name: other
owner: support
tools_allowlist: ["notes.read", "notes.add"]
"""
KEPT = """\
@id("kept")
forbid (principal, action == Action::"web.resources", resource)
when { context.input.uri == "web://kept" };

@id("asked")
@approval("support:1")
forbid (principal, action == Action::"web.resources", resource)
when { context.input.uri == "web://asked" }
unless { context.approvals has "asked" && context.approvals["asked"] };
"""
REFUSED = {"web://kept": "kept", "web://asked": "wait"}
HIDDEN = """\
@id("hidden")
forbid (principal == Agent::"note-taker", action == Action::"faults.refuse", resource);
"""


def declared(port: int) -> str:
    """A server of the newer revision over HTTP, and one of the older over pipes."""
    shared = {"owner": "support", "offers": ["resources"], "timeout_s": 10}
    upstreams = [
        {"name": "web", "url": f"http://127.0.0.1:{port}/mcp", "protocol": "2026-07-28", **shared},
        {
            "name": "pipe",
            "command": [sys.executable, str(SERVER), "pipe"],
            "protocol": "2025-11-25",
            **shared,
        },
    ]
    tools = [
        {"name": f"{name}.{tool}", "upstream": name, "tool": tool, "effect": "read"}
        for name in ("web", "pipe")
        for tool in ("touch", "add")
    ]
    return json.dumps({"upstreams": upstreams, "tools": tools})


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The project with both servers, served; the agent `other` has nothing of them."""
    folder = tmp_path_factory.mktemp("changing")
    (folder / "homes").mkdir()
    port = free_port()
    agent = AGENT.replace('"faults.*"', '"faults.*", "web.*", "pipe.*"')
    more = {
        "agents/note-taker.yaml": agent,
        "agents/other.yaml": OTHER,
        "tools/changing.yaml": declared(port),
        "policies/kept.cedar": KEPT,
    }
    desk = Desk(write_project(folder / "project", more), folder / "homes")
    server = subprocess.Popen([sys.executable, str(SERVER), "web", str(port)])
    try:
        answers(port)
        # By name, since either server has tools of the same names.
        tools = [f"{name}/{tool}" for name in ("web", "pipe") for tool in ("touch", "add")]
        answer = desk.here("ada", "tools", "accept", "--yes", *tools)
        assert answer.code == 0, answer.err
        asyncio.run(found(desk.project, PEOPLE[:1]))
        desk.log_in("ada")
        served = Up(desk)
        served.key = served.access_key()
        yield served
        served.stop()
    finally:
        server.terminate()
        server.wait()


def answers(port: int, within_s: float = 60) -> None:
    """Wait until somebody listens there."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


@asynccontextmanager
async def ear(
    up: Up, key: str, revision: str, *uris: str
) -> AsyncIterator[tuple[Client, list[Any]]]:
    """A client that listens to all that it may, and what it has heard; without a key by pipes."""
    heard: list[Any] = []

    async def hear(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            heard.append(str(message.params.uri))
        elif "list_changed" in getattr(message, "method", ""):
            heard.append(message.method.split("/")[1])

    headers = {"authorization": f"Bearer {key}"}
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
        server = streamable_http_client(f"{up.url}/mcp", http_client=http) if key else piped(up)
        client = await stack.enter_async_context(
            Client(server, mode=MODES[revision], message_handler=hear)
        )
        await client.list_tools()
        await client.list_resources()
        if revision == "2026-07-28":
            events = await stack.enter_async_context(
                client.listen(
                    tools_list_changed=True,
                    resources_list_changed=True,
                    resource_subscriptions=uris,
                )
            )
            assert set(events.honored.resource_subscriptions or ()) == set(uris) - set(REFUSED)
        else:
            for uri in uris:
                await subscribed(client, uri)
        yield client, heard


def piped(up: Up) -> StdioServerParameters:
    """The command that speaks over pipes, as the agent by its key."""
    return StdioServerParameters(
        command=sys.executable,
        args=[
            "-m",
            "bailiwick.cli",
            "mcp",
            "--stdio",
            "--agent",
            "note-taker",
            "--subject",
            "anna",
        ],
        cwd=up.desk.project,
        env=up.desk.environment("anna"),
    )


async def subscribed(client: Client, uri: str) -> None:
    asked = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
    if uri not in REFUSED:
        await client.session.send_request(asked, types.EmptyResult)
        return
    with pytest.raises(MCPError) as refused:
        await client.session.send_request(asked, types.EmptyResult)
    assert REFUSED[uri] in refused.value.message


async def until(is_so: Callable[[], bool], within_s: float = 12) -> None:
    async with asyncio.timeout(within_s):
        while not is_so():  # noqa: ASYNC110 - what clients were told
            await asyncio.sleep(0.05)


@pytest.mark.claim("gateway.hears-of-its-own-alone")
async def test_clients_hear_of_changes_to_what_they_see_and_of_no_others(up: Up) -> None:
    other = (await up.says("ada", "agents", "access-key", "other", "--subject", "zoe"))[
        "access_key"
    ]
    mine = ("web://one", "pipe://one", *REFUSED)
    async with AsyncExitStack() as stack:
        ways = [*((up.key, each) for each in MODES), ("", "2025-11-25")]
        ears = [await stack.enter_async_context(ear(up, *each, *mine)) for each in ways]
        others = [await stack.enter_async_context(ear(up, other, each)) for each in MODES]
        (client, _), heard = ears[0], [each for _, each in ears]
        # Whom people would have to be asked for is not subscribed, and they are not asked.
        assert await up.says("ada", "approvals", "list") == []

        # What is not subscribed to is updated first, so that it would have been heard first.
        for uri in ("web://two", "web://one", "pipe://two", "pipe://one"):
            await client.call_tool(f"{uri.partition(':')[0]}_touch", {"uri": uri})
        await until(lambda: all({"web://one", "pipe://one"} <= set(each) for each in heard))
        assert all(len(each) == 2 for each in heard), heard

        for uri in ("web://more", "pipe://more"):
            await client.call_tool(f"{uri.partition(':')[0]}_add", {"uri": uri})
        await until(lambda: all("resources" in each for each in heard))

        (up.desk.project / "policies" / "hidden.cedar").write_text(HIDDEN)
        await up.says("ada", "release", "activate")
        await until(lambda: all("tools" in each for each in heard))
        shown = {each.name for each in (await client.list_tools()).tools}
        assert "faults_refuse" not in shown
        # What they may hear of is asked of the rules again, and still so.
        await client.call_tool("web_touch", {"uri": "web://one"})
        await until(lambda: all(each.count("web://one") == 2 for each in heard))
        assert [each for _, each in others] == [[], []]


@pytest.mark.claim("gateway.hears-of-its-own-alone")
async def test_who_is_no_longer_let_in_hears_nothing_more(up: Up) -> None:
    made = await up.says("ada", "agents", "access-key", "note-taker", "--subject", "eve")
    async with ear(up, made["access_key"], "2025-11-25", "web://one") as (_, heard):
        headers = {"authorization": f"Bearer {made['access_key']}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(
                streamable_http_client(f"{up.url}/mcp", http_client=http), mode="2026-07-28"
            ) as newer,
            newer.listen(resource_subscriptions=["web://one"]) as events,
            up.client(up.key) as client,
        ):
            await up.says("ada", "agents", "revoke-key", "note-taker", made["key"])
            async with asyncio.timeout(10):
                assert [each async for each in events] == []
            await client.call_tool("web_touch", {"uri": "web://one"})
            await asyncio.sleep(1.5)
        assert heard == []


@pytest.mark.claim("gateway.listeners-are-bounded")
async def test_one_client_has_so_many_streams_and_no_more(up: Up) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(up.client(up.key))
        for _ in range(64):
            await stack.enter_async_context(client.listen(tools_list_changed=True))
        with pytest.raises(MCPError, match="too many"):
            await stack.enter_async_context(client.listen(tools_list_changed=True))
    # Who has gone leaves room.
    async with up.client(up.key) as client, asyncio.timeout(10):
        while True:
            try:
                async with client.listen(tools_list_changed=True):
                    break
            except MCPError:
                await asyncio.sleep(0.1)


@pytest.mark.claim("gateway.listeners-are-bounded")
async def test_what_is_due_is_bounded_and_who_does_not_read_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "_SLOW_S", 0.05)
    sent: list[Any] = []

    async def never(notification: Any, related: Any) -> None:
        sent.append(notification)
        await asyncio.sleep(60)

    session = SimpleNamespace(send_notification=never)
    ctx: Any = SimpleNamespace(session=session, protocol_version="2026-07-28", request_id=1)
    nobody: Any = None
    slow = listening.Subscriber(ctx, nobody, nobody)
    for _ in range(1000):
        slow.tell(ToolsListChanged())
        slow.tell(ResourceUpdated("web://one"))
    with pytest.raises(TimeoutError):
        await slow.told()
    assert len(sent) == 1
    quick = listening.Subscriber(ctx, nobody, nobody)
    quick.end()
    quick.tell(ToolsListChanged())
    await quick.told()
    assert len(sent) == 1


def test_it_leaves_though_somebody_listens(up: Up) -> None:
    async def listen() -> int:
        async with (
            up.client(up.key) as client,
            client.listen(tools_list_changed=True) as events,
        ):
            leaving = asyncio.create_task(asyncio.to_thread(up.stop))
            assert [each async for each in events] == []
            return await leaving

    assert asyncio.run(listen()) == 0
