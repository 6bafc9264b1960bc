"""People for the scenarios of tasks: a rule that asks them, and who says yes in their place.

A task is here a call that waits for people. The scenarios' tools that should be tasks are asked
about each time; whoever asks for a minute's work wants to see it wait, and gets no answer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from bailiwick.operations import Newcomer

PASSWORD = "a password of the campaign alone"
VOTER = Newcomer("bo", ("approver",), ("suites",), PASSWORD)
ASKED = (
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
)
_ACTIONS = ", ".join(f'Action::"fixture.{name}"' for name in ASKED)
RULE = f"""\
@id("asked")
@approval("suites:1")
forbid (principal, action in [{_ACTIONS}], resource)
unless {{ context.approvals has "asked" && context.approvals["asked"] }};
"""
_LOOK_S = 0.1
_WAITS = 60


@asynccontextmanager
async def voting(url: str) -> AsyncIterator[None]:
    """Somebody says yes to what is asked, by REST, until the block ends."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        session = await http.post("/v1/session", json={"name": VOTER.name, "password": PASSWORD})
        http.headers["authorization"] = f"Bearer {session.json()['statement']}"
        vote = asyncio.create_task(_vote(http))
        try:
            yield
        finally:
            vote.cancel()


async def _vote(http: httpx2.AsyncClient) -> None:
    left: set[str] = set()
    while True:
        await asyncio.sleep(_LOOK_S)
        for line in (await http.get("/v1/approvals")).json()["items"]:
            action = str(line["action"])
            if action in left:
                continue
            left.add(action)
            shown = (await http.get(f"/v1/approvals/{action}")).json()
            if _seconds(shown) < _WAITS:
                vote = {"digest": shown["digest"], "password": PASSWORD}
                await http.post(f"/v1/approvals/{action}/approve", json=vote)


def _seconds(shown: dict[str, Any]) -> float:
    return float(shown["document"]["arguments"].get("seconds", 0))
