"""Several people at one moment: no change is lost, none is made twice, none by one alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import operations
from bailiwick.config import load_settings
from bailiwick.identity.jose import public_jwk
from bailiwick.ports import World
from bailiwick.wiring import open_world
from tests.cli.desk import PASSWORD, Desk

Give = Callable[..., Awaitable[Any]]


@pytest_asyncio.fixture
async def world(desk: Desk) -> AsyncIterator[World]:
    opened = open_world(load_settings(desk.project))
    yield opened
    await opened.close()


@pytest.fixture
def give(world: World) -> Give:
    """Give a command as somebody, whose first command logs them in."""
    sessions: dict[str, str] = {}

    async def give(person: str, command: str, **parameters: Any) -> Any:
        if person not in sessions:
            given = {"name": person, "password": parameters.pop("password", PASSWORD)}
            opened: Any = await operations.perform(world, {"command": "login", "parameters": given})
            sessions[person] = opened["statement"]
        asked: dict[str, Any] = {"command": command, "parameters": parameters}
        return await operations.perform(world, {**asked, "session": sessions[person]})

    return give


@pytest.mark.claim("cli.changes-are-not-lost")
async def test_changes_of_one_account_at_one_moment_all_stand(world: World, give: Give) -> None:
    keys = [public_jwk(Ed25519PrivateKey.generate()) for _ in range(4)]
    await give("ada", "whoami")
    await asyncio.gather(
        *(give("ada", "agents register", agent="note-taker", jwk=jwk) for jwk in keys[:2]),
        give("ada", "agents disable", agent="note-taker"),
        *(give("ada", "agents register", agent="note-taker", jwk=jwk) for jwk in keys[2:]),
    )
    standing = (await world.store.control("default")).standings["note-taker"]
    assert {jwk["kid"] for jwk in keys} < set(standing.keys)
    assert standing.enabled is False, "a register wrote over the disabling"
    assert (await operations.audit(world))["findings"] == []


@pytest.mark.claim("cli.loosening-waits-for-a-second")
async def test_two_who_propose_at_one_moment_leave_nothing_behind(give: Give) -> None:
    made = await give("ada", "people add", name="dee", roles=["admin", "operator"])
    await give("dee", "whoami", password=made["password"])
    await give("ada", "kill", scope="everything")
    both = await asyncio.gather(
        *(give(person, "resume", scope="everything") for person in ("ada", "dee"))
    )
    if all("waiting" in answer for answer in both):
        assert "epoch" in await give("ada", "resume", scope="everything")
    assert await give("ada", "changes list") == []
    await give("ada", "kill", scope="everything")
    assert "waiting" in await give("dee", "resume", scope="everything")


async def test_two_kills_at_one_moment_are_two_records(world: World, give: Give) -> None:
    await give("ada", "whoami")
    tools = [f"faults.t{number}" for number in range(8)]
    await asyncio.gather(*(give("ada", "kill", scope="tool", target=tool) for tool in tools))
    control = await world.store.control("default")
    assert {stop.target for stop in control.stops} == set(tools)
    assert (await operations.audit(world))["findings"] == []


def test_two_votes_at_one_moment_grant_the_request(desk: Desk) -> None:
    id = desk.act("notes.add", customer="c_1", text="for everyone")["action"]
    desk.log_in("bo", "cy")
    voting = [desk.begin(person, "approvals", "approve", id, "--yes") for person in ("bo", "cy")]
    assert [vote.wait(timeout=60) for vote in voting] == [0, 0]
    assert desk.data("bo", "actions", "show", id)["state"] == "done"
