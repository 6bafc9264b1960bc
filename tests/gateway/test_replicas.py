"""Two servers on one PostgreSQL database, behind proxies that know nothing of MCP."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx2
import pytest

from bailiwick.operations import found
from tests.cli.desk import AGENT, MORE, PASSWORD, PEOPLE, Desk, write_project
from tests.gateway.proxy import proxied
from tests.gateway.served import Up, message_of
from tests.gateway.test_calls import told, unique
from tests.postgres import Server
from tests.rest.asking import Asking
from tests.rest.test_tokens import ask, assertion

SLOW = '''\
"""A note that takes long to confirm, and a way to find it."""

import json
import time
from pathlib import Path

from bailiwick import ToolContext, tool

KEPT = Path("state/slow.jsonl")


@tool(name="slow.written", effect="read", owner="support", resource=("Customer", "args.customer"),
      timeout_s=1)
def written(customer: str, action: str) -> dict[str, str] | None:
    """Shows what an action wrote."""
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    found = [json.loads(line) for line in lines]
    return next((each for each in found if each["action"] == action), None)


MINE = {"tool": "slow.written", "arguments": {"customer": "args.customer", "action": "action.id"},
        "authoritative": True}


@tool(name="slow.write", effect="write", owner="support", resource=("Customer", "args.customer"),
      reader=MINE, expect="after.action == action.id",
      find=MINE, found="result.action == action.id",
      key_retention_s="none", settles_within_s=0, timeout_s=3, retries=0)
def write(customer: str, context: ToolContext) -> str:
    """Writes at once, and confirms it late."""
    with KEPT.open("a") as kept:
        kept.write(json.dumps({"action": context.action, "customer": customer}) + "\\n")
    time.sleep(2)
    return "written"
'''


@pytest.fixture(scope="module")
def pair(
    server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Desk, list[Up], str]]:
    """The project on a database of its own, two servers of it, and an access key."""
    folder = tmp_path_factory.mktemp("replicas")
    more = {
        "bailiwick.yaml": MORE["bailiwick.yaml"] + f"store: {server.url(server.create())}\n",
        "agents/note-taker.yaml": AGENT.replace('"faults.*"', '"faults.*", "slow.*"'),
        "tools/slow.py": SLOW,
    }
    asyncio.run(found(write_project(folder / "project", more), PEOPLE))
    (folder / "homes").mkdir()
    desk = Desk(folder / "project", folder / "homes")
    desk.log_in("ada", "bo")
    both = [Up(desk, log=f"up-{each}.log") for each in range(2)]
    yield desk, both, both[0].access_key()
    for each in both:
        if each.process.poll() is None:
            each.stop()


@pytest.mark.claim("gateway.replicas-are-one")
async def test_calls_of_one_client_are_answered_by_either(
    pair: tuple[Desk, list[Up], str],
) -> None:
    _, both, key = pair
    asked = unique("either")
    with proxied([each.url for each in both], affine=False) as url:
        up = both[0]
        async with up.client(key, "2026-07-28", url) as client:
            first = [told(await client.call_tool("notes_add", asked)) for _ in range(4)]
    assert len({each["meta"]["dev.bailiwick/action"] for each in first}) == 1
    assert all(not each["error"] for each in first)


@pytest.mark.claim("rest.assertions-once")
def test_an_assertion_counts_once_for_both(pair: tuple[Desk, list[Up], str]) -> None:
    asked = [Asking(up) for up in pair[1]]
    # Each has an address of its own here, which an assertion is for: its name is what counts once.
    told = [ask(each, assertion(each, jti="one-name")) for each in asked]
    assert [each.status_code for each in told] == [200, 401]
    assert "used before" in told[1].json()["error_description"]
    for each in asked:
        each.http.close()


@pytest.mark.claim("gateway.replicas-are-one")
async def test_an_older_client_stays_where_its_session_began(
    pair: tuple[Desk, list[Up], str],
) -> None:
    _, both, key = pair
    with proxied([each.url for each in both], affine=True) as url:
        for _ in range(3):
            async with both[0].client(key, "2025-11-25", url) as client:
                assert not told(await client.call_tool("notes_add", unique("older")))["error"]


@pytest.mark.claim("gateway.replicas-are-one")
async def test_an_approval_given_beside_one_wakes_the_action_of_the_other(
    pair: tuple[Desk, list[Up], str],
) -> None:
    _, (one, other), key = pair
    for up, beside in ((one, other), (other, one)):
        asked = {**unique("woken"), "visible_to": "customer"}
        async with up.client(key) as client:
            parked = told(await client.call_tool("notes_add", asked))
            action = parked["data"]["action"]
            await beside.says("bo", "approvals", "approve", action, "--yes")
            voted_s = time.monotonic()
            answer = parked
            while answer["meta"]["dev.bailiwick/status"] == "parked":
                answer = told(await client.call_tool("notes_add", asked))
            assert time.monotonic() - voted_s < 2
        assert answer["data"]["text"] == asked["text"]


@pytest.mark.claim("pages.live")
@pytest.mark.claim("pages.session-sealed")
def test_pages_of_one_tell_of_what_the_other_did_in_one_session(
    pair: tuple[Desk, list[Up], str],
) -> None:
    _, (one, other), key = pair
    page = {"accept": "text/html"}
    with httpx2.Client(base_url=other.url, headers=page, timeout=30) as bo:
        form = {"name": "bo", "password": PASSWORD}
        login = bo.post(f"{one.url}/login", data=form, headers={"origin": one.url})
        assert login.status_code == 303
        asked = {"name": "notes_add", "arguments": {**unique("seen"), "visible_to": "customer"}}
        with bo.stream("GET", "/events") as events:
            marks = (line for line in events.iter_lines() if line.startswith("data: "))
            before = next(marks)
            answer = message_of(one.post(key, "tools/call", asked))["result"]
            asked_s = time.monotonic()
            assert next(marks) != before
            assert time.monotonic() - asked_s < 3
        action = answer["_meta"]["dev.bailiwick/action"]
        shown = bo.get(f"/approvals/{action}").text
        token, digest = (
            shown.partition(f'name="{name}" value="')[2].partition('"')[0]
            for name in ("token", "digest")
        )
        vote = {"token": token, "digest": digest, "choice": "approve", "reason": ""}
        voted = bo.post(f"/approvals/{action}/vote", data=vote, headers={"origin": other.url})
        assert (voted.status_code, voted.headers["location"]) == (303, f"/approvals/{action}")
        assert "takes no more votes" in bo.get(f"/approvals/{action}").text


@pytest.mark.claim("gateway.one-outcome-after-a-crash")
def test_one_is_killed_in_mid_call_and_the_other_gives_the_one_outcome(
    pair: tuple[Desk, list[Up], str],
) -> None:
    desk, (one, other), key = pair
    kept = desk.project / "state" / "slow.jsonl"
    asked = {"name": "slow_write", "arguments": {"customer": "c_killed"}}
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(one.post, key, "tools/call", asked)
        until_s = time.monotonic() + 10
        while not kept.exists():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        one.kill()
        with pytest.raises(httpx2.TransportError):
            slow.result()
    until_s = time.monotonic() + 30
    status = "running"
    while status == "running":
        assert time.monotonic() < until_s
        answer = message_of(other.post(key, "tools/call", asked))["result"]
        status = answer["_meta"]["dev.bailiwick/status"]
    assert (status, answer["_meta"]["dev.bailiwick/verdict"]) == ("done", "verified")
    assert len(kept.read_text().splitlines()) == 1
    with closing(httpx2.Client()) as client:
        assert client.get(f"{other.url}/health/ready").status_code == 200
