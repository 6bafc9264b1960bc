"""Processes that share one PostgreSQL database: one budget, one effect a key, nobody's work lost.

The workers are processes of their own; what really happened is what their provider, a third one,
has in its books.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bailiwick import Bailiwick, Outcome
from bailiwick.errors import StoreError, StoreUnavailable
from bailiwick.nouns import Action
from bailiwick.operations import found
from bailiwick.store.postgres import Address, PostgresDatabase, PostgresStore
from campaigns.crash.kinds import Kind
from campaigns.crash.project import READ_SECRET
from tests.examples.outside_system import OutsideSystem
from tests.postgres import Server, cutting
from tests.spine.house import PEOPLE, TOOLS, House, effects, founded, opened, storing_in
from tests.spine.test_kill import add_charge, payments, till_files

__all__ = ["payments"]  # a fixture

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60
GONE_S = 1.5

WORKER = """
import asyncio, json, sys
from bailiwick import Bailiwick

async def main():
    async with Bailiwick.open(sys.argv[1]) as bailiwick:
        print("open", flush=True)
        calls = json.loads(sys.stdin.readline())
        gate = asyncio.Semaphore(8)

        async def call(charge, key):
            async with gate:
                return await called(charge, key)

        async def called(charge, key):
            session = await bailiwick.session("client", subject="sue", run="run-1")
            asked = {"charge": charge, "amount_minor": 1, "currency": "USD"}
            outcome = await session.act("sound.refund", asked, key=key)
            while outcome.status == "running":
                await asyncio.sleep(0.05)
                outcome = await bailiwick.outcome(outcome.action)
            return [charge, outcome.status, outcome.code, outcome.action]

        print(json.dumps(await asyncio.gather(*(call(*each) for each in calls))), flush=True)

asyncio.run(main())
"""


@pytest.fixture
def stored(server: Server) -> Iterator[None]:
    """Only a PostgreSQL database is shared."""
    with storing_in(server):
        yield


@pytest.fixture
async def till(payments: OutsideSystem, tmp_path: Path) -> AsyncIterator[House]:
    """A project whose one provider is that process."""
    folder = till_files(tmp_path / "project", payments, Kind("sound", timeout_s=1.5))
    limits = f'budgets:\n  - {{unit: "value:USD", period: day, limit: {LIMIT}}}\n'
    (folder / "limits.yaml").write_text(limits)
    await found(folder, PEOPLE)
    async with opened(folder) as house:
        yield house


async def worker(house: House) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, house.world.settings.project),
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    return process


async def worked(process: asyncio.subprocess.Process, calls: list[Any]) -> list[list[str]]:
    output, _ = await process.communicate(json.dumps(calls).encode() + b"\n")
    assert process.returncode == 0
    told: list[list[str]] = json.loads(output.splitlines()[-1])
    return told


async def charges(payments: OutsideSystem, house: House, word: str, many: int) -> list[str]:
    """New charges at the provider, which takes its time with each."""
    names = [f"{house.world.owner}-{word}-{number}" for number in range(many)]
    await asyncio.gather(*(asyncio.to_thread(add_charge, payments, name) for name in names))
    return names


def slow(payments: OutsideSystem, delay_s: float) -> None:
    fault = {"name": "slow", "delay_s": delay_s}
    assert payments.call("POST", "/admin/faults", fault, token=None).status == 201


def refunds(payments: OutsideSystem, charge: str) -> int:
    known = {"Authorization": f"Bearer {READ_SECRET}"}
    reply = payments.call("GET", f"/v1/refunds?charge={charge}", token=None, headers=known)
    return len(reply.json["data"])


@pytest.mark.claim("store.many-processes")
async def test_two_processes_share_a_budget_and_do_nothing_twice(
    till: House, payments: OutsideSystem
) -> None:
    slow(payments, 0.01)
    same = await charges(payments, till, "same", 10)
    own = [await charges(payments, till, f"own{number}", 40) for number in range(2)]
    workers = [await worker(till) for _ in own]
    told = await asyncio.gather(
        *(
            worked(process, [[charge, f"k-{charge}"] for charge in (*same, *charges_of)])
            for process, charges_of in zip(workers, own, strict=True)
        )
    )
    one, two = ({charge: rest for charge, *rest in each} for each in told)
    assert {charge: one[charge] for charge in same} == {charge: two[charge] for charge in same}
    ends = {tuple(rest[:2]) for each in (one, two) for rest in each.values()}
    # A busy machine may keep a send from beginning, which is a failure that gives its hold back.
    no = {("refused", "over_budget"), ("refused", "denied")}
    kept_back = {("failed", "deadline_passed"), ("failed", "provider_unreachable")}
    assert ends <= {("done", ""), *no, *kept_back}
    assert ends & no
    done = {charge for each in (one, two) for charge in each if each[charge][0] == "done"}
    names = sorted({*one, *two})
    counts = [await asyncio.to_thread(refunds, payments, name) for name in names]
    assert {name for name, count in zip(names, counts, strict=True) if count} == done
    assert sum(counts) == len(done)
    assert 0.9 * LIMIT <= len(done) <= LIMIT
    assert (await till.balances())["tenant value:USD"] == (len(done), 0)


@pytest.mark.claim("store.dead-process-taken-over")
async def test_what_a_killed_process_had_under_way_another_finds_out(
    till: House, payments: OutsideSystem
) -> None:
    slow(payments, 0.8)
    names = await charges(payments, till, "dead", 8)
    process = await worker(till)
    assert process.stdin is not None
    process.stdin.write(json.dumps([[name, f"k-{name}"] for name in names]).encode() + b"\n")
    async with asyncio.timeout(20):
        flying: set[str] = set()
        while len(flying) < len(names):
            found_now = await till.world.register.actions("default", ("intended",), 100)
            flying = {each.id for each in found_now}
            await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    for id in flying:
        await till.until(await till.bailiwick.outcome(id), timeout_s=30)
    ended = [await till.world.store.action("default", id) for id in flying]
    assert {each.state for each in ended if each} == {"done"}
    counts = [await asyncio.to_thread(refunds, payments, name) for name in names]
    assert counts == [1] * len(names)
    assert (await till.balances())["tenant value:USD"] == (len(names), 0)


@pytest.mark.claim("store.server-restart")
async def test_while_the_server_is_away_calls_are_refused_and_what_was_under_way_is_not_lost(
    till: House, payments: OutsideSystem, server: Server
) -> None:
    slow(payments, 0.6)
    names = await charges(payments, till, "away", 4)
    session = await till.bailiwick.session("client", subject="sue", run="run-1")

    async def call(name: str) -> Outcome:
        asked = {"charge": name, "amount_minor": 1, "currency": "USD"}
        return await session.act("sound.refund", asked, key=name)

    calls = [asyncio.create_task(call(name)) for name in names]
    async with asyncio.timeout(20):
        flying: Sequence[Action] = ()
        while len(flying) < len(names):
            flying = await till.world.register.actions("default", ("intended",), 100)
            await asyncio.sleep(0.01)
    await asyncio.to_thread(server.stop)
    try:
        for fault in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(fault, StoreUnavailable)
            assert fault.code == "store_unreachable"
        for _ in range(3):
            async with asyncio.timeout(2):
                with pytest.raises(StoreUnavailable) as refused:
                    await call("meanwhile")
            assert refused.value.code == "store_unreachable"
        await asyncio.sleep(GONE_S)  # longer than a lease
    finally:
        await asyncio.to_thread(server.start)
    told = [await till.until(await call(name), timeout_s=30) for name in names]
    assert {each.status for each in told} == {"done"}
    assert [await asyncio.to_thread(refunds, payments, name) for name in names] == [1] * len(names)
    assert (await till.balances())["tenant value:USD"] == (len(names), 0)


@pytest.mark.claim("store.commit-fate")
@pytest.mark.parametrize("before", [True, False])
async def test_a_commit_whose_fate_nobody_can_tell_is_unknown_until_recovery_finds_out(
    server: Server, tmp_path: Path, before: bool
) -> None:
    asked = {"on": "ch-1", "amount_minor": 100}
    # The lease that recovery waits for is as long as reading back may take.
    tools = TOOLS.replace('effect="read"', 'effect="read", timeout_s=1')
    async with opened(await founded(tmp_path / "project", tools=tools)) as house:
        settings = house.world.settings
        async with cutting(server, before=before, for_good=True) as (port, cuts):
            address = Address(settings.store.replace(f":{server.port}/", f":{port}/"))
            database = PostgresDatabase(address, settings, fate_s=0.3)
            lost = replace(house.world, store=PostgresStore(database), owner="lost")
            caller = await Bailiwick(lost).session("clerk", subject="sue", run="run-1")
            with pytest.raises(StoreError) as fault:
                await caller.act("desk.refund", asked, key="k")
            assert (fault.value.code, cuts) == ("commit_unknown", [2])
            assert not isinstance(fault.value, StoreUnavailable)
            await database.close()
        assert effects("ch-1") == 0
        # Another process is asked the same: it begins, or it finds out what was begun.
        again = await (await house.clerk()).act("desk.refund", asked, key="k")
        assert again.status == ("done" if before else "running")
        done = await house.until(again)
        assert (done.status, effects("ch-1")) == ("done", 1)
        assert await house.kinds(done.action) == ["intended", "concluded"]
        assert (await house.balances())["tenant value:USD"] == (100, 0)


@pytest.mark.claim("store.server-restart")
async def test_a_server_killed_under_load_loses_nothing_that_was_answered(
    till: House, payments: OutsideSystem, server: Server
) -> None:
    slow(payments, 0.05)
    names = await charges(payments, till, "back", 50)

    async def call(number: int) -> str:
        session = await till.bailiwick.session("client", subject="sue", run="run-1")
        asked = {"charge": names[number], "amount_minor": 1, "currency": "USD"}
        await asyncio.sleep(number * 0.02)
        async with asyncio.timeout(40):
            while True:
                try:
                    outcome = await session.act("sound.refund", asked, key=names[number])
                except StoreError as fault:
                    faults.add(fault.code)
                else:
                    if outcome.status != "running":
                        return outcome.status
                await asyncio.sleep(0.2)

    faults = set[str]()
    calls = [asyncio.create_task(call(number)) for number in range(len(names))]
    for _ in range(2):
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(server.start)
    told = await asyncio.gather(*calls)
    # Failed is an answer too, where the control state could not be read before the send.
    assert set(told) <= {"done", "failed"}
    assert "done" in told
    assert faults <= {"store_unreachable", "commit_unknown"}
    counts = [await asyncio.to_thread(refunds, payments, name) for name in names]
    assert counts == [1 if status == "done" else 0 for status in told]
    assert (await till.balances())["tenant value:USD"] == (told.count("done"), 0)
    session = await till.bailiwick.session("client", subject="sue", run="run-1")
    (fresh,) = await charges(payments, till, "after", 1)
    asked = {"charge": fresh, "amount_minor": 1, "currency": "USD"}
    after = await till.until(await session.act("sound.refund", asked))
    assert after.status == "done", after
    await till.bailiwick.settle()
    records = await till.world.ledger.records(0, 1000)
    kinds = [json.loads(record.body)["kind"] for record in records]
    acted = len(names) + 1
    assert (kinds.count("intended"), kinds.count("concluded")) == (acted, acted)


def deadlock(server: Server, *how: str) -> tuple[int, dict[str, int]]:
    """The exit code and the line of a short campaign."""
    name = server.create()
    server.tell(f"alter database {name} set deadlock_timeout = '50ms'")
    told = subprocess.run(
        [
            *(sys.executable, "-m", "campaigns.deadlock", "--seed", "1"),
            *("--store", server.url(name), *how),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    server.drop(name)
    assert told.stdout, told.stderr
    return told.returncode, json.loads(told.stdout)


@pytest.mark.claim("store.no-deadlock")
def test_random_nested_budgets_of_four_processes_are_never_deadlocked(server: Server) -> None:
    code, line = deadlock(server, "--seconds", "6")
    assert code == 0, line
    assert line["commits"] > 100
    assert (line["deadlocks"], line["faults"], line["budgets_off"]) == (0, 0, 0)


@pytest.mark.claim("store.no-deadlock")
@pytest.mark.claim("store.deadlock-begins-anew")
def test_balances_locked_in_no_order_are_deadlocked_and_that_fails_nobody(server: Server) -> None:
    code, line = deadlock(server, "--seconds", "2", "--unordered")
    assert code == 1
    assert line["deadlocks"] > 0
    # Whom the server ended has written nothing, and is carried out anew.
    assert (line["faults"], line["budgets_off"]) == (0, 0)
