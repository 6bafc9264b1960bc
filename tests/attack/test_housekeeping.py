"""House is kept whatever goes wrong: no fault, slow action or bad tick stops anybody else."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bailiwick import Bailiwick
from bailiwick.config import load_settings
from bailiwick.errors import StoreUnavailable
from bailiwick.execution.egress import EgressDoor
from bailiwick.housekeeping import tick
from bailiwick.ports import Due, World
from bailiwick.wiring import open_world
from tests.attack.desk import ASKED, parked, tamper
from tests.spine.house import House, effects, opened


class Trapdoor(EgressDoor):
    """The egress door, behind which what is done to `bad` ends in a fault that nobody foresaw."""

    async def call(self, function: Any, arguments: Any, *rest: Any) -> object:
        if arguments.get("on") == "bad" and arguments.get("amount_minor"):
            raise LookupError("of payload 4711")
        return await super().call(function, arguments, *rest)


@pytest.mark.claim("spine.house-is-kept")
async def test_a_fault_nobody_foresaw_keeps_no_other_action_waiting(folder: Path) -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    async with opened(folder, egress=Trapdoor()) as house:
        bad = await parked(house, ASKED | {"on": "bad"})
        good = await parked(house)
        await house.vote("bo", bad.action)
        await house.vote("bo", good.action)
        assert (await house.until(good, timeout_s=3)).status == "done"
        later = await parked(house, ASKED | {"on": "ch-2"})
        await house.vote("bo", later.action)
        assert (await house.until(later, timeout_s=3)).status == "done"
    assert "bailiwick: house could not be kept: LookupError [unexpected]" in told
    assert not [message for message in told if "4711" in message]


@pytest.mark.claim("spine.house-is-kept")
async def test_a_slow_action_keeps_no_other_waiting(house: House) -> None:
    slow = await parked(house, ASKED | {"how": "slow:1.5"})
    quick = await parked(house, ASKED | {"on": "ch-2"})
    await house.vote("bo", slow.action)
    while (await house.action(slow)).state == "parked":
        await house.world.store.changed(slow.action, 1.0)
    await house.vote("bo", quick.action)
    assert (await house.until(quick, timeout_s=3)).status == "done"
    assert (await house.action(slow)).state == "intended"


@pytest.mark.claim("spine.house-is-kept")
async def test_a_log_that_cannot_go_on_keeps_no_action_waiting(house: House) -> None:
    told: set[str] = set()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.add(context["message"]))
    outcome = await parked(house)
    await house.bailiwick.settle()
    tamper(house, "delete from tree_nodes")
    assert (await (await house.clerk()).act("desk.note", {"on": "t-1"})).status == "done"
    await asyncio.sleep(0.2)  # ticks fail meanwhile
    await house.vote("bo", outcome.action)
    assert (await house.until(outcome, timeout_s=3)).status == "done"
    assert told == {"bailiwick: house could not be kept: LedgerError [tree_incomplete]"}
    # Put back, so that what comes after finds a log to close.
    tamper(house, "delete from tree_nodes")
    tamper(house, "delete from leaves")
    tamper(house, "update tree set size = 0")
    tamper(house, "delete from checkpoints")


class Faltering:
    """What is due, of which one question is never answered."""

    def __init__(self, due: Due, fails: str) -> None:
        self._due = due
        self._fails = fails

    async def tenants(self) -> Sequence[str]:
        return await self._due.tenants()

    async def stale_intents(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        self._answer("stale_intents")
        return await self._due.stale_intents(tenant, owner, busy)

    async def decided_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        return await self._due.decided_parks(tenant, owner, busy)

    async def expired_parks(
        self, tenant: str, owner: str, busy: Collection[str] = ()
    ) -> Sequence[str]:
        self._answer("expired_parks")
        return await self._due.expired_parks(tenant, owner, busy)

    async def in_doubt(self, tenant: str) -> int:
        return await self._due.in_doubt(tenant)

    def _answer(self, question: str) -> None:
        if question == self._fails:
            raise StoreUnavailable("not now")


@pytest.mark.claim("spine.house-is-kept")
@pytest.mark.parametrize("fails", ["stale_intents", "expired_parks"])
async def test_a_tick_goes_on_when_one_of_its_duties_fails(quiet: House, fails: str) -> None:
    outcome = await parked(quiet)
    await quiet.vote("bo", outcome.action)
    world: World = replace(quiet.world, due=Faltering(quiet.world.due, fails))
    busy: set[str] = set()
    kept = await tick(world, busy)
    assert (kept.woken, [type(fault) for fault in kept.faults]) == (1, [StoreUnavailable])
    assert (await quiet.bailiwick.outcome(outcome.action)).status == "done"
    assert await quiet.world.ledger.unsequenced(1) == []
    assert busy == set()


@pytest.mark.claim("store.claim-once")
async def test_an_action_that_is_being_woken_is_not_woken_again_when_its_claim_runs_out(
    quiet: House,
) -> None:
    outcome = await parked(quiet, ASKED | {"wait_s": 0.5})
    await quiet.vote("bo", outcome.action)
    busy: set[str] = set()
    one = asyncio.create_task(tick(quiet.world, busy))
    await asyncio.sleep(0.25)  # it looks at the world still, and its claim has run out
    assert (await tick(quiet.world, busy)).woken == 0
    assert (await one).woken == 1
    assert ((await quiet.bailiwick.outcome(outcome.action)).status, effects("ch-1")) == ("done", 1)


async def test_a_project_that_cannot_be_served_is_left_closed(folder: Path) -> None:
    settings = load_settings(folder)
    socket = settings.path(settings.store).with_suffix(".sock")
    socket.mkdir()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the system says
        async with Bailiwick.open(folder):
            pass
    assert not isinstance(caught.value, StoreUnavailable)
    await open_world(settings).close()  # nobody owns it


async def test_nothing_is_left_running_when_a_project_is_closed(folder: Path) -> None:
    before = asyncio.all_tasks()
    async with opened(folder) as house:
        await house.clerk()
        await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == before
