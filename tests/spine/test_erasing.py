"""Erasure, legal holds and retention, as people and the house meet them; on both stores."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bailiwick.errors import BailiwickError
from bailiwick.nouns import Outcome
from bailiwick.operations import perform
from bailiwick.operations.auditing import audit
from bailiwick.operations.examining import retention
from tests.postgres import Server
from tests.spine.house import AGENT, House, effects, founded, opened

DAY_US = 86_400_000_000
WHY = {"reason": "the customer asked"}


async def refusal(house: House, person: str, name: str, **given: Any) -> str:
    with pytest.raises(BailiwickError) as fault:
        await house.command(person, name, **given)
    return fault.value.code


async def note(house: House, on: str, run: str = "run-1", **more: Any) -> Outcome:
    subject = more.pop("subject", "sue")
    clerk = await house.clerk(run=run, subject=subject)
    return await clerk.act("desk.note", {"on": on, "words": f"words on {on}", **more})


async def shown(house: House, outcome: Outcome) -> Any:
    return await house.command("ada", "actions show", action=outcome.action)


async def verified(house: House) -> list[Any]:
    await house.bailiwick.settle()
    found: Any = (await audit(house.world))["findings"]
    return list(found)


async def run_key(house: House, run: str) -> bytes | None:
    row = await house.world.shelf.run("default", run)
    assert row is not None
    return row.wrapped_key


@pytest.mark.claim("vault.erased-run")
async def test_a_run_is_erased_with_its_key_and_its_story_says_who_and_why(house: House) -> None:
    first, second = await note(house, "t-1"), await note(house, "t-2")
    other = await note(house, "t-3", run="run-2")
    assert (await shown(house, first))["payloads"]["proposal"]["arguments"]["words"]
    told = await house.command("ada", "vault erase", run="run-1", **WHY)
    assert (told["erased"], told["run_keys"]) == (2, 1)
    for outcome in (first, second):
        story = await shown(house, outcome)
        assert (story["erased"]["by"], story["erased"]["reason"]) == ("ada", WHY["reason"])
        assert story["payloads"] == {"proposal": None, "result": None, "resolution": None}
        assert story["records"][-1]["fields"]["result_commitment"]
    assert (await shown(house, other))["erased"] is None
    assert (await shown(house, other))["payloads"]["result"]["result"] == {"on": "t-3"}
    assert await run_key(house, "run-1") is None
    assert await refusal(house, "ada", "vault erase", run="run-1", **WHY) == "already_erased"
    assert await refusal(house, "ada", "vault erase", run="run-9", **WHY) == "run_unknown"
    assert await refusal(house, "ada", "vault erase", run="run-2", reason=" ") == (
        "parameter_invalid"
    )
    assert await refusal(house, "bo", "vault erase", run="run-2", **WHY) == "not_allowed"
    # The same call is still the earlier one, and a new one begins the run anew, with a new key.
    again = await note(house, "t-1")
    assert (again.action, again.earlier, again.result) == (first.action, True, None)
    assert "erased" in again.message
    assert effects("t-1") == 1
    later = await note(house, "t-4")
    assert (await shown(house, later))["payloads"]["result"]["result"] == {"on": "t-4"}
    assert await verified(house) == []


@pytest.mark.claim("vault.erased-run")
async def test_one_action_or_one_subject_is_erased_and_records_name_nobody(house: House) -> None:
    mine, also = await note(house, "t-1"), await note(house, "t-2", subject="sam.smith")
    more = await note(house, "t-3", run="run-2", subject="sam.smith")
    assert (await house.command("ada", "vault erase", action=mine.action, **WHY))["run_keys"] == 0
    told = await house.command("ada", "vault erase", subject="sam.smith", **WHY)
    assert (told["erased"], told["run_keys"]) == (2, 2)
    for outcome in (mine, also, more):
        assert (await shown(house, outcome))["payloads"]["proposal"] is None
    code = await refusal(house, "ada", "vault erase", subject="sam.smith", **WHY)
    assert code == "already_erased"
    assert await verified(house) == []
    records = await house.world.ledger.records(0, 1000)
    changes = [each.body for each in records if b"vault-erase" in each.body]
    assert len(changes) == 2
    assert not any(b"sam.smith" in each.body or b"asked" in each.body for each in records)


@pytest.mark.claim("vault.open-runs-are-spared")
@pytest.mark.parametrize("what", ["parked", "unknown", "in flight"])
async def test_a_run_with_something_open_is_not_erased(house: House, what: str) -> None:
    done = await note(house, "t-1")
    clerk = await house.clerk()
    if what == "parked":
        waiting = await clerk.act("desk.refund", {"on": "c-1", "amount_minor": 9900})
    elif what == "unknown":
        waiting = await clerk.act("desk.note", {"on": "t-2", "how": "raise"})
        assert waiting.status == "unknown"
    else:
        await house.command("ada", "vault holds")  # logs in, which takes its time
        task = asyncio.create_task(clerk.act("desk.note", {"on": "t-2", "how": "slow:1.5"}))
        await asyncio.sleep(0.3)
    for given in ({"run": "run-1"}, {"action": done.action}, {"subject": "sue"}):
        assert await refusal(house, "ada", "vault erase", **given, **WHY) == "run_open"
    if what == "parked":
        await house.vote("bo", waiting.action, "deny")
        assert (await house.until(waiting)).status == "denied"
    elif what == "unknown":
        given = {"action": waiting.action, "status": "failed", "evidence": "looked"}
        await house.command("ada", "in-doubt resolve", **given)
    else:
        assert (await task).status == "done"
    assert (await house.command("ada", "vault erase", run="run-1", **WHY))["erased"] == 2
    assert await verified(house) == []


@pytest.mark.claim("vault.erasure-and-commits")
async def test_what_commits_beside_an_erasure_is_erased_with_it_or_can_be_read(
    house: House,
) -> None:
    await note(house, "t-0")

    refused: list[str] = []

    async def erase() -> None:
        for _ in range(4):
            try:
                await house.command("ada", "vault erase", run="run-1", **WHY)
            except BailiwickError as fault:
                refused.append(fault.code)
            await asyncio.sleep(0.01)

    async def act(number: int) -> Outcome:
        await asyncio.sleep(0.004 * number)
        return await note(house, f"t-{number}")

    erasing = asyncio.create_task(erase())
    made = await asyncio.gather(*(act(number) for number in range(1, 16)))
    await erasing
    assert set(refused) <= {"run_open", "already_erased", "contended"}
    with suppress(BailiwickError):  # at least one is erased
        await house.command("ada", "vault erase", action=made[0].action, **WHY)
    gone = 0
    for number, outcome in enumerate(made, start=1):
        story = await shown(house, outcome)
        kept = story["payloads"]
        if story["erased"] is None:
            assert kept["proposal"]["arguments"]["on"] == f"t-{number}", kept
            assert kept["result"]["result"] == {"on": f"t-{number}"}
        else:
            gone += 1
            assert (kept["proposal"], kept["result"]) == (None, None)
        assert effects(f"t-{number}") == 1
    assert gone
    assert await verified(house) == []


@pytest.mark.claim("vault.erasure-and-commits")
async def test_a_process_that_knows_a_dropped_key_seals_under_a_new_one(
    folder: Path, kind: Server | None
) -> None:
    if kind is None:
        pytest.skip("one process owns a file")
    async with opened(folder) as one, opened(folder) as two:
        for house, on in ((one, "t-1"), (two, "t-2")):
            await note(house, on)
        for eraser, other, on in ((two, one, "t-3"), (one, two, "t-4")):
            await eraser.command("ada", "vault erase", run="run-1", **WHY)
            later = await note(other, on)
            for house in (one, two):
                kept = (await shown(house, later))["payloads"]
                assert kept["proposal"]["arguments"]["on"] == on, kept
                assert kept["result"]["sends"] is not None, kept
        assert await verified(one) == []


@pytest.mark.claim("vault.hold-keeps")
async def test_a_hold_is_placed_by_one_and_lifted_by_two(house: House) -> None:
    new = await house.command("ada", "people add", name="di", roles=["auditor"], queues=[])
    given: Any = {"name": "di", "password": new["password"]}
    told = await perform(house.world, {"command": "login", "parameters": given})
    house.sessions["di"] = json.dumps(told)
    done = await note(house, "t-1")
    by_hand = {"subject": "sue", "reason": "case 7"}
    assert (await house.command("ada", "vault hold", **by_hand))["covers"] == 1
    unknown = {"run": "run-77", "reason": "to come"}
    assert (await house.command("ada", "vault hold", **unknown))["covers"] == 0
    assert await refusal(house, "ada", "vault hold", **by_hand) == "already_held"
    for given in ({"run": "run-1"}, {"action": done.action}, {"subject": "sue"}):
        assert await refusal(house, "ada", "vault erase", **given, **WHY) == "legal_hold"
    held = await house.command("bo", "vault holds")
    assert [(each["kind"], each["target"], each["reason"]) for each in held] == [
        ("run", "run-77", "to come"),
        ("subject", "sue", "case 7"),
    ]
    assert await refusal(house, "bo", "vault release-hold", subject="sue") == "not_allowed"
    waits = await house.command("ada", "vault release-hold", subject="sue")
    assert waits["change"] == "vault release-hold"
    assert await house.command("ada", "vault release-hold", subject="sue") == waits
    assert await refusal(house, "ada", "vault erase", run="run-1", **WHY) == "legal_hold"
    assert "waiting" not in await house.command("di", "vault release-hold", subject="sue")
    assert await refusal(house, "di", "vault release-hold", subject="sue") == "not_held"
    # Erasing is for good, and takes two as well.
    assert "waiting" in await house.command("di", "vault erase", run="run-1", **WHY)
    assert (await house.command("ada", "vault erase", run="run-1", **WHY))["erased"] == 1
    assert await verified(house) == []
    records = await house.world.ledger.records(0, 1000)
    assert not any(b"case 7" in each.body for each in records)


def kept_for(days: int) -> str:
    return AGENT.replace("NAME", "clerk") + f"logging: {{retention_days: {days}}}\n"


@pytest.mark.claim("vault.retention")
@pytest.mark.claim("vault.overdue-is-told")
async def test_payloads_go_after_their_days_but_not_what_is_held_or_open(tmp_path: Path) -> None:
    folder = await founded(tmp_path / "project", people=True, clerk=kept_for(2))
    clock = [1_800_000_000_000_000]
    async with opened(folder, now_us=lambda: clock[0]) as house:
        old = [await note(house, f"t-{n}", run=f"run-{n}") for n in range(3)]
        held = await note(house, "t-4", run="run-held")
        open = await note(house, "t-5", run="run-open")
        rival = await (await house.clerk(agent="rival", run="run-r")).act("desk.note", {"on": "t"})
        lost = await note(house, "t-6", run="run-open", how="raise")
        assert lost.status == "unknown"
        await house.command("ada", "vault hold", run="run-held", reason="case 7")
        await house.bailiwick.settle()
        clock[0] += 2 * DAY_US - 60_000_000
        young = await note(house, "t-7", run="run-0")
        await house.bailiwick.settle()
        assert await gone(house, *old) == [False] * 3
        clock[0] += 3_600_000_000
        before = await house.world.ledger.tree_size()
        await asyncio.gather(*(house.bailiwick.settle() for _ in range(3)))
        assert await in_the_end(house, *old)
        assert await gone(house, held, open, rival, lost, young) == [False] * 5
        house.sessions.clear()
        erased = (await shown(house, old[0]))["erased"]
        assert (erased["by"], erased["reason"]) == (None, "retention")
        assert await run_key(house, "run-1") is None
        assert await run_key(house, "run-0") is not None
        # One record for all of it, and nothing more while nothing more is due.
        assert await house.world.ledger.tree_size() == before + 1
        newest = (await house.world.ledger.records(before, 1))[0].body
        assert b'"change":"retention"' in newest
        assert b'"target":"actions:3/run-keys:2"' in newest
        assert await verified(house) == []
        clock[0] += 30 * DAY_US
        assert await in_the_end(house, rival, young)
        assert await gone(house, held, open) == [False, False]
        assert await verified(house) == []
        # What time cannot erase is told with what is in the way, until somebody has settled that.
        house.sessions.clear()
        (overdue,) = await house.command("bo", "vault overdue")
        assert overdue["run"] == "run-open"
        assert overdue["open"] == [lost.action]
        assert set(overdue["actions"]) == {open.action, lost.action}
        assert overdue["since_us"] == (await house.action(open)).updated_at_us + 2 * DAY_US
        (check,) = [each async for each in retention(house.world)]
        assert check.level == "warn"
        assert "2 actions of run-open are kept past their time" in check.said
        assert lost.action in check.said
        given = {"action": lost.action, "status": "failed", "evidence": "looked"}
        await house.command("ada", "in-doubt resolve", **given)
        clock[0] += DAY_US
        assert await in_the_end(house, open)
        assert await gone(house, lost) == [False]  # two days since it was settled
        house.sessions.clear()
        assert await house.command("bo", "vault overdue") == []
        assert [each.level async for each in retention(house.world)] == ["ok"]


async def in_the_end(house: House, *outcomes: Outcome) -> bool:
    """Whether all of them are erased soon: another tick may be at it."""
    for _ in range(100):
        if all(await gone(house, *outcomes)):
            return True
        await house.bailiwick.settle()
        await asyncio.sleep(0.05)
    return False


async def gone(house: House, *outcomes: Outcome) -> list[bool]:
    return [
        await house.world.vault.open("default", outcome.action, "proposal") is None
        for outcome in outcomes
    ]


async def test_a_manifest_that_keeps_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BailiwickError) as fault:
        await founded(tmp_path / "project", clerk=kept_for(0))
    assert "`retention_days: 0` is not from 1" in str(fault.value)
