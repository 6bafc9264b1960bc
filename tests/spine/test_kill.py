"""The kill switch under load, by the provider's clock: what is begun is listed, nothing follows."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bailiwick.execution.egress import EgressDoor
from bailiwick.operations import found
from bailiwick.ports import Request, Response
from bailiwick.testing import write_project
from campaigns.crash.kinds import Kind
from campaigns.crash.project import AGENT, READ_SECRET, WRITE_SECRET, project_files
from tests.examples.outside_system import OutsideSystem, running
from tests.spine.house import PEOPLE, House, given_a_database, opened

ROOT = Path(__file__).resolve().parents[2]
WRITERS = 24
TOKENS = ("--token-read", READ_SECRET, "--token-write", WRITE_SECRET)

# What `kill` does when the owner of the database does not answer: the file itself.
FROM_OUTSIDE = """
import asyncio, json, sys, time
from pathlib import Path
from bailiwick.config import load_settings
from bailiwick.operations.stops import kill
from bailiwick.wiring import open_world

async def main():
    world = open_world(load_settings(Path(sys.argv[1])), alone=False)
    person = (await world.register.people("default"))[0]
    began = time.monotonic()
    told = await kill(world, person, {"scope": "everything", "reason": "test"})
    told["took_s"] = time.monotonic() - began
    told["returned_us"] = time.time_ns() // 1000
    print(json.dumps(told), flush=True)
    await world.close()

asyncio.run(main())
"""


class Killed(NamedTuple):
    """What a kill told, when it returned, and how long it took."""

    in_flight: set[str]
    returned_us: int
    took_s: float


class Watched:
    """The egress door, which notes when each write asked its fence and was let through."""

    def __init__(self) -> None:
        self.door = EgressDoor()
        self.let_us: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door, name)

    async def send(self, request: Request, fence: Callable[[], Awaitable[bool]]) -> Response:
        async def watched() -> bool:
            asked_us = time.time_ns() // 1000
            through = await fence()
            if through and request.method == "POST":
                self.let_us.append(asked_us)
            return through

        return await self.door.send(request, watched)


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideSystem]:
    folder = tmp_path_factory.mktemp("payments")
    with running("payments.py", folder, "--seed", "--admin", *TOKENS) as system:
        yield system


@pytest.fixture
def egress() -> Watched:
    return Watched()


@pytest.fixture
async def till(payments: OutsideSystem, tmp_path: Path, egress: Watched) -> AsyncIterator[House]:
    """A project whose one provider is that process; it answers each refund after a while."""
    fault = {"name": "slow", "delay_s": 0.02}
    assert payments.call("POST", "/admin/faults", fault, token=None).status == 201
    folder = till_files(tmp_path / "project", payments, Kind("sound", timeout_s=5.0))
    await found(folder, PEOPLE)
    async with opened(folder, egress=egress) as house:
        yield house


def till_files(folder: Path, payments: OutsideSystem, kind: Kind) -> Path:
    """The files of a project whose one provider is that process."""
    write_project(folder, project_files([(kind, payments.port)]))
    given_a_database(folder)
    (folder / "secrets").mkdir()
    for name, secret in (("read", READ_SECRET), ("write", WRITE_SECRET)):
        (folder / "secrets" / name).touch(mode=0o600)
        (folder / "secrets" / name).write_text(secret)
    return folder


async def by_the_owner(house: House, scope: str = "everything", target: str = "") -> Killed:
    await house.command("ada", "whoami")  # logs in, which is not what is measured
    began = time.monotonic()
    told = await house.command("ada", "kill", scope=scope, target=target, reason="test")
    took_s, returned_us = time.monotonic() - began, time.time_ns() // 1000
    assert told["quiet"] is True
    return Killed({each["action"] for each in told["in_flight"]}, returned_us, took_s)


async def from_outside(house: House) -> Killed:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FROM_OUTSIDE, house.world.settings.project),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(output)
    flying = {each["action"] for each in told["in_flight"]}
    return Killed(flying, told["returned_us"], told["took_s"])


@pytest.mark.claim("limits.kill-fences")
@pytest.mark.parametrize("kill", [by_the_owner, from_outside])
async def test_after_a_kill_nothing_new_begins(
    till: House, payments: OutsideSystem, egress: Watched, kill: Any
) -> None:
    numbers = count()

    async def write(number: int) -> set[str]:
        session = await till.bailiwick.session(AGENT, subject="sue", run=f"run-{number}")
        ends: list[str] = []
        while len(ends) < 5:  # it goes on asking for a while
            charge = f"{till.world.owner}-{next(numbers)}"
            await asyncio.to_thread(add_charge, payments, charge)
            asked = {"charge": charge, "amount_minor": 1, "currency": "USD"}
            outcome = await session.act("sound.refund", asked)
            if outcome.status != "done":
                ends.append(f"{outcome.status} {outcome.code}")
        return set(ends)

    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(write(number)) for number in range(WRITERS)]
        await asyncio.sleep(0.5)  # all are at it
        killed = await kill(till)
    assert killed.took_s < 1.0
    # Those whose send the stop kept back have failed, certainly not done; the others never began.
    ends = {end for writer in writers for end in writer.result()}
    assert ends <= {"refused stopped", "failed stopped"}
    assert "refused stopped" in ends
    assert await intents_after_the_kill(till) == 0

    await asyncio.sleep(0.3)
    arrivals = payments.call("GET", "/admin/arrivals", token=None).json["data"]
    late = {each["action_id"] for each in arrivals if each["at_us"] > killed.returned_us}
    # What arrives afterwards is listed, and was let through before: its listing alone lets no
    # intent begin its first send after the kill has returned.
    assert late <= killed.in_flight
    assert max(egress.let_us) <= killed.returned_us
    assert len(egress.let_us) >= WRITERS
    assert len(arrivals) >= WRITERS

    await till.command("ada", "resume", scope="everything")
    charge = f"{till.world.owner}-after"
    await asyncio.to_thread(add_charge, payments, charge)
    session = await till.bailiwick.session(AGENT, subject="sue", run="after")
    asked = {"charge": charge, "amount_minor": 1, "currency": "USD"}
    assert (await session.act("sound.refund", asked)).status == "done"


@pytest.mark.claim("limits.kill-fences")
@pytest.mark.claim("spine.killed-is-refused")
@pytest.mark.parametrize("scope", ["everything", "upstream"])
async def test_after_a_kill_nothing_is_sent_again(
    till: House, payments: OutsideSystem, scope: str
) -> None:
    await till.command("ada", "whoami")
    charge = f"{till.world.owner}-busy"
    await asyncio.to_thread(add_charge, payments, charge)
    fault = {"name": "status_429", "charge": charge, "retry_after_s": 0.4, "times": 1}
    assert payments.call("POST", "/admin/faults", fault, token=None).status == 201
    session = await till.bailiwick.session(AGENT, subject="sue", run="run-busy")
    asked = {"charge": charge, "amount_minor": 1, "currency": "USD"}
    calling = asyncio.create_task(session.act("sound.refund", asked))
    sends: list[int] = []
    async with asyncio.timeout(10):
        while not sends and not calling.done():  # turned away once, it waits to send again
            await asyncio.sleep(0.02)
            flying = await till.world.register.actions("default", ("intended",), 1)
            sends = await asyncio.to_thread(sent_for, payments, {each.id for each in flying})
    assert len(sends) == 1, calling
    release = (await till.world.store.control("default")).release
    tool = (await till.world.bundle("default", release)).catalogue.tools["sound.refund"]
    target = (tool.upstream or "") if scope == "upstream" else ""
    killed = await by_the_owner(till, scope, target)
    outcome = await calling
    assert (outcome.status, outcome.code) == ("failed", "stopped")
    assert killed.in_flight == {outcome.action}
    assert await asyncio.to_thread(sent_for, payments, {outcome.action}) == sends
    charge = f"{till.world.owner}-next"
    await asyncio.to_thread(add_charge, payments, charge)
    next_one = await session.act("sound.refund", asked | {"charge": charge})
    assert (next_one.status, next_one.step, next_one.code) == ("refused", 3, "stopped")
    await till.command("ada", "resume", scope=scope, target=target)
    assert (await session.act("sound.refund", asked | {"charge": charge})).status == "done"


def sent_for(payments: OutsideSystem, actions: set[str]) -> list[int]:
    """When sends of these actions arrived, by the provider's clock."""
    arrivals = payments.call("GET", "/admin/arrivals", token=None).json["data"]
    return [each["at_us"] for each in arrivals if each["action_id"] in actions]


def add_charge(payments: OutsideSystem, charge: str) -> None:
    body = {
        "id": charge,
        "customer": "cus_01",
        "invoice": "INV-1",
        "amount_minor": 1000,
        "currency": "USD",
        "payee": "acct_01",
    }
    assert payments.call("POST", "/admin/charges", body, token=None).status == 201


async def intents_after_the_kill(house: House) -> int:
    """How many intents were committed after it: leaves stand in the order of the commits."""
    await house.bailiwick.settle()
    records = await house.world.ledger.records(0, 100_000)
    kinds = [json.loads(record.body)["kind"] for record in records]
    killed = len(kinds) - kinds[::-1].index("control")
    return kinds[killed:].count("intended")
