"""MCP clients of both revisions call tools, and what becomes of it is what the spine says."""

import asyncio
import time
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.gateway.served import MODES, Up

REVISIONS = pytest.mark.parametrize("revision", MODES)
NOTE = {"customer": "c_1", "text": "likes tea"}


def told(result: Any) -> dict[str, Any]:
    """What a result says, as a client reads it."""
    return {
        "text": " ".join(each.text for each in result.content),
        "error": bool(result.is_error),
        "data": result.structured_content,
        "meta": result.meta or {},
    }


def unique(text: str) -> dict[str, str]:
    """Arguments that no earlier call had."""
    return {"customer": "c_1", "text": f"{text} {time.monotonic_ns()}"}


@REVISIONS
async def test_a_call_is_done_and_recorded(up: Up, revision: str) -> None:
    async with up.client(up.key, revision) as client:
        answer = told(await client.call_tool("notes_add", unique("tea")))
    assert not answer["error"]
    assert answer["meta"]["dev.bailiwick/verdict"] == "verified"
    action = answer["meta"]["dev.bailiwick/action"]
    shown = await up.says("ada", "actions", "show", action)
    assert (shown["state"], shown["agent"], shown["subject"]) == ("done", "note-taker", "anna")


@REVISIONS
@pytest.mark.claim("gateway.lists-what-could-be")
async def test_what_is_listed_is_what_the_agent_could_ever_do(up: Up, revision: str) -> None:
    async with up.client(up.key, revision) as client:
        listed = await client.list_tools()
    tools = {each.name: each for each in listed.tools}
    assert "notes_add" in tools
    assert list(tools) == sorted(tools)
    reads, writes = tools["notes_read"].annotations, tools["notes_add"].annotations
    assert reads is not None
    assert writes is not None
    assert (reads.read_only_hint, reads.destructive_hint) == (True, False)
    assert (writes.read_only_hint, writes.destructive_hint) == (False, True)
    if revision == "2026-07-28":
        assert listed.cache_scope == "private"


@REVISIONS
async def test_a_no_says_why_and_what_to_do(up: Up, revision: str) -> None:
    async with up.client(up.key, revision) as client:
        wrong = told(await client.call_tool("notes_add", {"customer": "c_1"}))
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("notes_burn", {})
    assert wrong["error"]
    assert (wrong["data"]["status"], wrong["data"]["code"]) == ("refused", "arguments_invalid")
    assert "required" in wrong["text"]
    assert wrong["data"]["help"]


@REVISIONS
@pytest.mark.claim("gateway.unknown-is-not-failed")
async def test_what_nobody_knows_is_told_as_such(up: Up, revision: str) -> None:
    async with up.client(up.key, revision) as client:
        lost = told(await client.call_tool("faults_lose", {"customer": f"c_{time.monotonic_ns()}"}))
        lied = told(
            await client.call_tool("faults_pretend", {"customer": f"c_{time.monotonic_ns()}"})
        )
        failed = told(
            await client.call_tool("faults_refuse", {"customer": f"c_{time.monotonic_ns()}"})
        )
    assert (lost["error"], lost["data"]["status"]) == (True, "unknown")
    assert "Nobody knows" in lost["text"]
    assert (lied["error"], lied["data"]["verdict"]) == (True, "contradicted")
    assert (failed["error"], failed["data"]["status"]) == (True, "failed")


@REVISIONS
@pytest.mark.claim("gateway.pending-attaches")
async def test_a_call_that_waits_says_where_and_is_done_once(up: Up, revision: str) -> None:
    asks = {**unique("hello"), "visible_to": "customer"}
    async with up.client(up.key, revision) as client:
        first = told(await client.call_tool("notes_add", asks))
        again = told(await client.call_tool("notes_add", asks))
        action = first["data"]["action"]
        assert (first["error"], first["data"]["status"]) == (False, "parked")
        assert first["data"]["approval_url"] == f"{up.url}/approvals/{action}"
        assert "Make the same call again" in first["text"]
        assert again["data"]["action"] == action
        await up.says("bo", "approvals", "approve", action, "--yes")
        settled = asyncio.get_running_loop().time() + 20
        while told(await client.call_tool("notes_add", asks))["data"].get("status"):
            assert asyncio.get_running_loop().time() < settled
        outcomes = [told(await client.call_tool("notes_add", asks)) for _ in range(3)]
        notes = told(await client.call_tool("notes_read", {"customer": "c_1"}))
    assert {each["meta"]["dev.bailiwick/action"] for each in outcomes} == {action}
    assert not any(each["error"] for each in outcomes)
    written = [each for each in notes["data"]["notes"] if each["text"] == asks["text"]]
    assert len(written) == 1


async def test_what_a_call_says_of_itself_is_kept(up: Up) -> None:
    meta = {
        "dev.bailiwick/reason": "the customer asked",
        "dev.bailiwick/sources": ["ticket 7"],
        "dev.bailiwick/uncertainty": "none",
        "dev.bailiwick/run": "run-of-mine",
        "dev.bailiwick/idempotencyKey": f"mine-{time.monotonic_ns()}",
    }
    asked = {"name": "notes_add", "arguments": unique("meta"), "_meta": meta}
    answer = up.post(up.key, "tools/call", asked).json()["result"]
    again = up.post(up.key, "tools/call", asked).json()["result"]
    other = up.post(up.key, "tools/call", {**asked, "arguments": unique("other")}).json()["result"]
    action = answer["_meta"]["dev.bailiwick/action"]
    assert again["_meta"]["dev.bailiwick/action"] == action
    assert "earlier" in again["content"][-1]["text"]
    assert other["structuredContent"]["code"] == "key_conflict"
    shown = await up.says("ada", "actions", "show", action)
    assert shown["run"] == "run-of-mine"
    assert "the customer asked" in str(shown)
    assert "ticket 7" in str(shown)


def test_meta_of_another_type_is_refused(up: Up) -> None:
    asked = {
        "name": "notes_add",
        "arguments": unique("typed"),
        "_meta": {"dev.bailiwick/sources": "no list"},
    }
    answer = up.post(up.key, "tools/call", asked).json()["result"]
    assert (answer["isError"], answer["structuredContent"]["code"]) == (True, "meta_invalid")


@pytest.mark.claim("gateway.bearers-authenticated")
def test_who_bears_no_good_credential_gets_nothing(up: Up) -> None:
    metadata = f'resource_metadata="{up.url}/.well-known/oauth-protected-resource/mcp"'
    codes = []
    for bearer in ("", "bwk_nothing", "a.b.c", up.key[:-1] + ("A" if up.key[-1] != "A" else "B")):
        refused = up.post(bearer, "tools/list", {})
        assert refused.status_code == 401
        assert metadata in refused.headers["www-authenticate"]
        assert refused.headers["content-type"] == "application/problem+json"
        codes.append(refused.json()["code"])
    assert codes == ["token_missing", "access_key_unknown", "token_malformed", "access_key_unknown"]


@pytest.mark.claim("gateway.keys-end-at-once")
def test_a_revoked_access_key_ends_at_once(up: Up) -> None:
    made = up.desk.data("ada", "agents", "access-key", "note-taker", "--subject", "zoe")
    key = made["access_key"]
    assert up.post(key, "tools/list", {}).status_code == 200
    up.desk.here("ada", "agents", "revoke-key", "note-taker", made["key"])
    refused = up.post(key, "tools/list", {})
    assert (refused.status_code, refused.json()["code"]) == (401, "access_key_unknown")


def test_other_hosts_and_origins_are_refused(up: Up) -> None:
    assert up.post(up.key, "tools/list", {}, host="evil.example").status_code == 421
    assert up.post(up.key, "tools/list", {}, origin="https://evil.example").status_code == 403
