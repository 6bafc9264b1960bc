"""The process: it drains, it is killed, it comes back, and no call is done twice or lost."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.cli.desk import Desk
from tests.gateway.served import Up, founded_desk, message_of
from tests.gateway.test_calls import unique


@pytest.fixture
def desk(founded: Path, tmp_path: Path) -> Iterator[Desk]:
    """The project, with everybody logged in and nothing running."""
    desk = founded_desk(founded, tmp_path)
    desk.log_in("ada", "bo")
    yield desk
    desk.end()


def dawdle(up: Up, customer: str) -> httpx2.Response:
    """A call that takes three seconds."""
    asked = {"name": "faults_dawdle", "arguments": {"customer": customer}}
    return up.post(up.key, "tools/call", asked)


@pytest.mark.claim("gateway.drains")
def test_a_signal_ends_it_after_what_is_under_way(desk: Desk) -> None:
    up = Up(desk)
    up.key = up.access_key()
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(dawdle, up, "c_slow")
        until_s = time.monotonic() + 5
        while not desk.data("ada", "actions", "list"):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        up.process.terminate()
        time.sleep(0.3)
        refused = up.post(up.key, "tools/list", {})
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert refused.headers["retry-after"]
        assert httpx2.get(f"{up.url}/health/ready").status_code == 503
        assert httpx2.get(f"{up.url}/health/live").status_code == 200
        answer = slow.result().json()["result"]
    assert answer["_meta"]["dev.bailiwick/status"] == "done"
    assert up.stop() == 0
    assert not up.said, up.said
    listed = desk.data("ada", "actions", "list")
    assert [each["state"] for each in listed] == ["done"]


@pytest.mark.claim("gateway.one-outcome-after-a-crash")
def test_killed_in_mid_call_it_comes_back_to_one_outcome(desk: Desk) -> None:
    up = Up(desk)
    up.key = up.access_key()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(dawdle, up, "c_killed")
        until_s = time.monotonic() + 5
        while not desk.data("ada", "actions", "list"):
            assert time.monotonic() < until_s
            time.sleep(0.02)
        up.kill()
        with pytest.raises(httpx2.TransportError):
            slow.result()
    up.start()
    again = message_of(dawdle(up, "c_killed"))["result"]
    listed = desk.data("ada", "actions", "list")
    assert len(listed) == 1
    assert again["_meta"]["dev.bailiwick/action"] == listed[0]["action"]
    assert again["_meta"]["dev.bailiwick/status"] in ("unknown", "running")
    assert up.stop() == 0


@pytest.mark.claim("gateway.lost-sessions")
async def test_a_session_that_is_lost_answers_404_and_loses_no_action(desk: Desk) -> None:
    up = Up(desk)
    up.key = await asyncio.to_thread(up.access_key)
    asked = unique("session")
    async with up.client(up.key, "2025-11-25") as client:
        first = await client.call_tool("notes_add", asked)
        up.kill()
        up.start()
        headers = {
            "authorization": f"Bearer {up.key}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-11-25",
            "mcp-session-id": "0" * 32,
        }
        lost = httpx2.post(
            f"{up.url}/mcp",
            headers=headers,
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
        )
        assert lost.status_code == 404
    async with up.client(up.key, "2025-11-25") as client:
        again = await client.call_tool("notes_add", asked)
    assert first.meta is not None
    assert again.meta is not None
    assert again.meta["dev.bailiwick/action"] == first.meta["dev.bailiwick/action"]
    assert up.stop() == 0


def test_a_port_that_is_taken_is_named(desk: Desk) -> None:
    up = Up(desk)
    port = up.url.rpartition(":")[2]
    up.stop()
    with socket.create_server(("127.0.0.1", int(port))):
        refused = desk.run("ada", "up", "--port", port)
    assert (refused.code, refused.fault) == (2, "address_taken")
    assert port in refused.err
