"""A call that people are asked about, as clients of different abilities see it."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestParams, ElicitRequestURLParams, ElicitResult

from tests.gateway.served import MODES, Up
from tests.gateway.test_calls import told, unique

TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


def asking(text: str = "hello") -> dict[str, str]:
    """Arguments about which people are asked."""
    return {**unique(text), "visible_to": "customer"}


def call(up: Up, arguments: dict[str, str], able: Any) -> dict[str, Any]:
    """The result of the call by a client that is able to do something."""
    asked = {"name": "notes_add", "arguments": arguments}
    answer: dict[str, Any] = up.post(up.key, "tools/call", asked, able).json()["result"]
    return answer


def task(up: Up, method: str, id: str, key: str = "", able: Any = TASKS) -> dict[str, Any]:
    """One of the extension's methods, whole."""
    answer = up.post(key or up.key, method, {"taskId": id, "inputResponses": {}}, able)
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.claim("gateway.pending-attaches")
async def test_a_task_is_polled_until_people_have_decided(up: Up) -> None:
    asked = asking()
    made = call(up, asked, TASKS)
    assert (made["resultType"], made["status"]) == ("task", "working")
    id = made["taskId"]
    assert f"/approvals/{id}" in made["statusMessage"]
    assert isinstance(made["pollIntervalMs"], int)
    assert task(up, "tasks/get", id)["result"]["status"] == "working"
    assert task(up, "tasks/update", id)["result"]["resultType"] == "complete"
    assert task(up, "tasks/get", id)["result"]["status"] == "working"
    await up.says("bo", "approvals", "approve", id, "--yes")
    got = await polled(lambda: task(up, "tasks/get", id)["result"])
    assert (got["status"], got["resultType"]) == ("completed", "complete")
    assert got["result"]["structuredContent"]["text"] == asked["text"]
    assert call(up, asked, TASKS)["structuredContent"] == got["result"]["structuredContent"]


async def test_a_task_that_people_deny_is_completed_with_their_no(up: Up) -> None:
    id = call(up, asking(), TASKS)["taskId"]
    await up.says("bo", "approvals", "deny", id, "--reason", "not like this", "--yes")
    got = await polled(lambda: task(up, "tasks/get", id)["result"])
    assert got["status"] == "completed"
    assert got["result"]["isError"]
    assert got["result"]["structuredContent"]["status"] == "denied"
    assert "not like this" in got["result"]["content"][0]["text"]


def test_a_task_is_cancelled_by_its_agent(up: Up) -> None:
    id = call(up, asking(), TASKS)["taskId"]
    for _ in range(2):
        assert task(up, "tasks/cancel", id)["result"] == {
            **task(up, "tasks/cancel", id)["result"],
            "resultType": "complete",
        }
    assert task(up, "tasks/get", id)["result"]["status"] == "cancelled"


@pytest.mark.claim("gateway.tasks-are-their-owners")
async def test_nobody_else_sees_a_task(up: Up) -> None:
    id = call(up, asking(), TASKS)["taskId"]
    made = await up.says("ada", "agents", "access-key", "note-taker", "--subject", "zoe")
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        others = task(up, method, id, key=made["access_key"])["error"]
        nobodys = task(up, method, "act_nothing")["error"]
        assert (others["code"], others["message"]) == (nobodys["code"], nobodys["message"])
        assert others["code"] == -32602
        undeclared = task(up, method, id, able={})["error"]
        assert undeclared["code"] == -32021
        assert "extensions" in undeclared["data"]["requiredCapabilities"]
    assert task(up, "tasks/get", id)["result"]["status"] == "working"
    mismatched = up.post(
        up.key, "tasks/get", {"taskId": id}, TASKS, **{"mcp-name": "another"}
    ).json()
    assert mismatched["error"]["code"] == -32020


async def test_a_client_that_can_show_an_address_is_asked_to(up: Up) -> None:
    asked, seen = asking(), []

    async def show(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        seen.append(params.url)
        await up.says("bo", "approvals", "approve", params.url.rpartition("/")[2], "--yes")
        return ElicitResult(action="accept")

    headers = {"authorization": f"Bearer {up.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(f"{up.url}/mcp", http_client=http),
            mode="2026-07-28",
            elicitation_callback=show,
        ) as client,
    ):
        answer = told(await client.call_tool("notes_add", asked))
    assert len(seen) == 1
    assert seen[0].startswith(f"{up.url}/approvals/act_")
    assert (answer["error"], answer["data"]["text"]) == (False, asked["text"])


@pytest.mark.parametrize("revision", MODES)
async def test_a_client_that_hears_of_progress_waits_for_people(up: Up, revision: str) -> None:
    asked, heard = asking(), asyncio.get_running_loop().create_future()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if not heard.done():
            heard.set_result(message or "")

    async with up.client(up.key, revision) as client:
        calling = asyncio.create_task(client.call_tool("notes_add", asked, progress_callback=hear))
        id = (await heard).partition("action ")[2].rstrip(")")
        await up.says("bo", "approvals", "approve", id, "--yes")
        answer = told(await calling)
    assert (answer["error"], answer["data"]["text"]) == (False, asked["text"])
    assert answer["meta"]["dev.bailiwick/action"] == id


async def polled(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is there once it is neither working nor waiting for input."""
    until_s = time.monotonic() + 10
    while (got := look())["status"] in ("working", "input_required"):
        assert time.monotonic() < until_s, got
        await asyncio.sleep(0.05)
    return got
