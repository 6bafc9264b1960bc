"""A client of 2025-11-25 whose connection broke hears the rest, and nobody else does."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp.server.streamable_http import EventMessage

from bailiwick.gateway import resuming
from bailiwick.gateway.resuming import Kept, SessionEvents
from tests.gateway.served import Up
from tests.gateway.test_waiting import asking

REVISION = "2025-11-25"
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": REVISION}


class Wire:
    """A session as its messages are."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = f"{url}/mcp"
        self.headers = dict(HEADERS)

    async def begin(self) -> None:
        """Shake hands."""
        client = {"name": "a test", "version": "1"}
        params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": client}
        answer = await self._http.post(
            self._url, headers=self.headers, json=request("initialize", params)
        )
        self.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        await self._http.post(self._url, headers=self.headers, json=begun)

    async def told(
        self, body: dict[str, Any] | None = None, after: str = ""
    ) -> AsyncGenerator[dict[str, str]]:
        """The events of a request's stream, or of one that is taken up again."""
        method = "POST" if body else "GET"
        headers = {**self.headers, **({"last-event-id": after} if after else {})}
        async with self._http.stream(method, self._url, headers=headers, json=body) as answer:
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif event:
                    yield event
                    event = {}


def request(method: str, params: dict[str, Any], id: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


@pytest.mark.claim("gateway.streams-are-taken-up-again")
async def test_who_lost_the_connection_hears_the_rest_in_the_same_session_alone(up: Up) -> None:
    asked = asking()
    params = {"name": "notes_add", "arguments": asked, "_meta": {"progressToken": "p"}}
    bearer = {"authorization": f"Bearer {up.key}"}
    async with httpx2.AsyncClient(headers=bearer, timeout=30) as http:
        mine, other = Wire(http, up.url), Wire(http, up.url)
        await mine.begin()
        await other.begin()
        events = mine.told(request("tools/call", params, id=7))
        async with aclosing(events):
            begins = await anext(events)
            assert int(begins["retry"]) > 0
            progress = await anext(events)
        action = progress["data"].partition("action ")[2].partition(")")[0]
        await up.says("bo", "approvals", "approve", action, "--yes")
        async with aclosing(mine.told(after=progress["id"])) as rest:
            answer = await answer_in(rest)
        assert answer["id"] == 7
        assert answer["result"]["structuredContent"]["text"] == asked["text"]
        # By then all of it is kept, and a stream that has had its answer ends.
        again = [each async for each in mine.told(after=begins["id"])]
        assert json.loads(again[-1]["data"]) == answer
        assert [each async for each in other.told(after=begins["id"])] == []
        nothing = await http.get(
            f"{up.url}/mcp", headers={**mine.headers, "last-event-id": "no such"}
        )
        assert (nothing.status_code, nothing.text.strip()) == (200, "")


async def answer_in(events: AsyncIterator[dict[str, str]]) -> dict[str, Any]:
    async for each in events:
        if each.get("data") and "id" in (message := json.loads(each["data"])):
            found: dict[str, Any] = message
            return found
    raise AssertionError("the stream ended without an answer")


def said(words: str) -> types.JSONRPCNotification:
    params = {"level": "info", "data": words}
    return types.JSONRPCNotification(jsonrpc="2.0", method="notifications/message", params=params)


def answer(id: int = 1) -> types.JSONRPCResponse:
    return types.JSONRPCResponse(jsonrpc="2.0", id=id, result={})


@pytest.mark.claim("gateway.streams-are-taken-up-again")
async def test_what_comes_while_a_stream_is_taken_up_is_told_once_and_its_answer_ends_it() -> None:
    heard: list[str] = []

    async def hear(message: EventMessage) -> None:
        heard.append(str(message.event_id))
        await asyncio.sleep(0)

    session = SessionEvents(Kept())
    first = await session.store_event("1", None)
    taking = asyncio.create_task(session.replay_events_after(first, hear))
    for words in ("a", "b"):
        await asyncio.sleep(0.01)
        await session.store_event("1", said(words))
        await session.store_event("2", said("another's"))
    await session.store_event("1", answer())
    assert await taking is None
    assert heard == ["2", "4", "6"]
    assert await session.replay_events_after("4", hear) is None
    assert heard == ["2", "4", "6", "6"]
    assert await session.replay_events_after("6", hear) is None
    assert len(heard) == 4


@pytest.mark.claim("gateway.streams-are-taken-up-again")
async def test_what_is_kept_is_bounded_for_each_and_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resuming, "_SILENCE_S", 0.01)
    kept = Kept(most_bytes=5_000_000)
    quiet, loud, third = (SessionEvents(kept) for _ in range(3))

    async def told(session: SessionEvents, after: str) -> list[str]:
        heard: list[str] = []

        async def hear(message: EventMessage) -> None:
            heard.append(str(message.event_id))

        assert await session.replay_events_after(after, hear) is None
        return heard

    first = await quiet.store_event("1", None)
    await quiet.store_event("1", said("x" * 1_500_000))
    assert await told(quiet, first) == ["2"]
    # Who is told much loses his own first.
    ids = [await loud.store_event("1", said("y" * 900_000)) for _ in range(5)]
    assert await told(loud, ids[0]) == []
    assert await told(loud, ids[3]) == ids[4:]
    # And all together lose what nobody has added to for the longest time.
    await third.store_event("1", said("z" * 1_900_000))
    assert await told(quiet, first) == []
    many = [await third.store_event("2", said("")) for _ in range(300)]
    assert await told(third, many[0]) == []
    assert await told(third, many[-2]) == many[-1:]
