"""Undoing what an action or a run did: planned first, by governed actions, once."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bailiwick import Outcome, cases
from bailiwick.act import act
from bailiwick.errors import ControlError
from bailiwick.nouns.reversals import Reversal
from bailiwick.operations.auditing import audit
from tests.postgres import Server
from tests.spine.house import House, books, copied, opened, storing_in
from tests.spine.shelf import by_code, clear_shelf, founded, refuse_once


@pytest.fixture(scope="module")
def built(kind: Server | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with storing_in(kind, keep=True):
        return asyncio.run(founded(tmp_path_factory.mktemp("shelf") / "project"))


@pytest.fixture
async def house(built: Path, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(copied(built, tmp_path / "project")) as house:
        clear_shelf()
        yield house


def done(on: str) -> list[str]:
    return [each["did"] for each in books() if each["on"] == on]


def outcomes(told: Any) -> list[Outcome]:
    assert all(isinstance(each, Outcome) for each in told), told
    return list(told)


async def keeper(house: House, run: str = "run-1", agent: str = "keeper") -> Any:
    return await house.bailiwick.session(agent, subject="sue", run=run)


async def records_of(house: House, action: str) -> list[Any]:
    found = await house.world.ledger.records(0, 0, of=("default", action))
    return [json.loads(record.body) for record in found]


@pytest.mark.claim("undo.plan-first")
@pytest.mark.claim("undo.newest-first")
@pytest.mark.claim("undo.named-both-ways")
async def test_a_run_is_planned_then_undone_newest_first_and_only_once(house: House) -> None:
    session = await keeper(house)
    did = [
        await session.act("shelf.set", {"on": "a", "status": "old"}, key="1"),
        await session.act("shelf.put", {"on": "a", "tag": "red"}, key="2"),
        await session.act("shelf.put", {"on": "a", "tag": "blue"}, key="3"),
        await session.act("shelf.look", {"on": "a"}),
        await session.act("shelf.mail", {"on": "b", "text": "hello"}, key="4"),
    ]
    assert [each.status for each in did] == ["done"] * 5
    plan = await house.bailiwick.undo_plan("run-1")
    newest_first = [did[4], did[2], did[1], did[0]]
    assert [step.action for step in plan] == [each.action for each in newest_first]
    assert [step.code for step in plan] == ["no_reverser", "", "", ""]
    assert plan[1].reverser == "shelf.take"
    assert plan[1].arguments == {"on": "a", "tag": "blue", "of": did[2].action}
    assert plan[3].arguments == {"on": "a", "status": "new"}  # as it was before
    assert done("a") == ["set", "put", "put"]  # a plan does nothing

    told = await house.bailiwick.undo("run-1", subject="ada")
    assert isinstance(told[0], Reversal)
    assert told[0].code == "no_reverser"
    assert [each.status for each in outcomes(told[1:])] == ["done"] * 3
    assert done("a") == ["set", "put", "put", "take", "take", "set"]
    assert [each["tag"] for each in books() if each["did"] == "take"] == ["blue", "red"]

    undoing = await house.action(outcomes(told[1:])[0])
    assert (undoing.agent, undoing.subject, undoing.undoes) == ("keeper", "ada", did[2].action)
    story = await house.command("ada", "actions show", action=did[2].action)
    assert story["undone_by"] == {"action": undoing.id, "state": "done"}
    story = await house.command("ada", "actions show", action=undoing.id)
    assert story["undoes"] == did[2].action
    kept = await records_of(house, undoing.id)
    assert [(each["kind"], each.get("undoes")) for each in kept] == [
        ("intended", did[2].action),
        ("concluded", None),
    ]

    again = await house.bailiwick.undo("run-1", subject="ada")
    assert [each.code for each in again] == ["no_reverser", *["already_undone"] * 3]
    assert len(done("a")) == 6
    # What undid it can be undone in its turn, and then the thing is tagged again.
    (redone,) = outcomes(await house.bailiwick.undo(undoing.id, subject="ada", anyway=True))
    assert redone.status == "done"
    assert done("a")[-1] == "put"


@pytest.mark.claim("undo.once-whoever")
async def test_however_many_undo_it_at_once_it_is_undone_once(house: House) -> None:
    session = await keeper(house)
    put = await session.act("shelf.put", {"on": "a", "tag": "red"})
    people = [("ada", "keeper"), ("bo", "keeper"), ("ada", "undoer"), ("cy", "undoer")] * 2
    told = await asyncio.gather(
        *(
            house.bailiwick.undo(put.action, subject=subject, agent=agent)
            for subject, agent in people
        )
    )
    codes = {each.code for (each,) in told}
    assert codes <= {"", "effect_key_held", "already_undone", "being_undone"}
    assert "" in codes
    assert done("a") == ["put", "take"]


@pytest.mark.claim("undo.says-why-not")
async def test_what_cannot_be_undone_is_said_with_the_reason(house: House) -> None:
    session = await keeper(house)
    failed = await session.act("shelf.put", {"on": "a", "tag": "x", "how": "refuse"})
    unknown = await session.act("shelf.put", {"on": "b", "tag": "x", "how": "raise"})
    elsewhere = await session.act("shelf.put", {"on": "c", "tag": "x"})
    other = await keeper(house, "run-2")
    later = await other.act("shelf.set", {"on": "c", "status": "sold"})
    assert [failed.status, unknown.status, later.status] == ["failed", "unknown", "done"]
    plan = by_code(await house.bailiwick.undo_plan("run-1"))
    assert plan == {
        failed.action: "not_done",
        unknown.action: "in_doubt",
        elsewhere.action: "touched_since",
    }
    (step,) = await house.bailiwick.undo_plan(elsewhere.action)
    assert step.by == (later.action,)
    assert by_code(await house.bailiwick.undo_plan(elsewhere.action, anyway=True)) == {
        elsewhere.action: ""
    }
    # Once the later one is undone, it is in nobody's way.
    outcomes(await house.bailiwick.undo(later.action, subject="ada"))
    (step,) = await house.bailiwick.undo_plan(elsewhere.action)
    assert step.code == ""
    (step,) = await house.bailiwick.undo_plan(elsewhere.action, agent="writer")
    assert step.code == "not_granted"
    (house.bailiwick.world.settings.path("keys") / "agents" / "undoer.json").unlink()
    (step,) = await house.bailiwick.undo_plan(elsewhere.action, agent="undoer")
    assert step.code == "agent_key_missing"
    gone = await (await keeper(house, "run-4")).act("shelf.put", {"on": "d", "tag": "x"})
    await house.command("ada", "vault erase", run="run-4", reason="asked for")
    assert by_code(await house.bailiwick.undo_plan("run-4")) == {gone.action: "payload_erased"}
    with pytest.raises(ControlError) as fault:
        await house.bailiwick.undo_plan("run-17")
    assert fault.value.code == "action_unknown"


@pytest.mark.claim("undo.governed")
async def test_undoing_is_governed_as_any_action_is(house: House) -> None:
    session = await keeper(house)
    put = await session.act("shelf.put", {"on": "a", "tag": "dear"})
    (asked,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    assert asked.status == "parked"
    (waits,) = await house.bailiwick.undo(put.action, subject="cy")
    assert (waits.code, getattr(waits, "by", None)) == ("undo_waits", (asked.action,))
    await house.vote("bo", asked.action, "deny")
    denied = await house.until(asked)
    assert (denied.status, done("a")) == ("denied", ["put"])
    # Who was told no is told no again; somebody else may ask.
    (still,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    assert (still.status, still.action) == ("denied", asked.action)
    (asked,) = outcomes(await house.bailiwick.undo(put.action, subject="sue"))
    assert asked.status == "parked"
    await house.vote("bo", asked.action)
    assert (await house.until(asked)).status == "done"
    assert done("a") == ["put", "take"]

    await house.command("ada", "kill", scope="agent", target="keeper")
    other = await house.bailiwick.session("undoer", subject="sue", run="run-3")
    put = await other.act("shelf.put", {"on": "b", "tag": "red"})
    (refused,) = outcomes(await house.bailiwick.undo(put.action, subject="ada", agent="keeper"))
    assert (refused.status, refused.code) == ("refused", "stopped")
    (undone,) = outcomes(await house.bailiwick.undo(put.action, subject="ada", agent="undoer"))
    assert undone.status == "done"


@pytest.mark.claim("undo.only-by-the-reverser")
async def test_nothing_but_its_reverser_is_said_to_undo_an_action(house: House) -> None:
    session = await keeper(house)
    put = await session.act("shelf.put", {"on": "a", "tag": "red"})
    failed = await session.act("shelf.put", {"on": "a", "tag": "x", "how": "refuse"})
    for tool, undoes in (
        ("shelf.set", put.action),
        ("shelf.take", failed.action),
        ("shelf.take", "act_none"),
    ):
        asked = cases.propose(
            tool,
            {"on": "a", "status" if tool == "shelf.set" else "tag": "red"},
            await session.credential(),
            undoes=undoes,
        )
        outcome = await act(house.world, asked)
        assert (outcome.status, outcome.code) == ("refused", "not_its_reverser")
    (step,) = await house.bailiwick.undo_plan(put.action)
    assert step.code == ""


async def test_an_undoing_that_failed_is_tried_again(house: House) -> None:
    session = await keeper(house)
    put = await session.act("shelf.put", {"on": "a", "tag": "red"})
    refuse_once()
    (failed,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    assert failed.status == "failed"
    (undone,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    assert (undone.status, undone.action != failed.action) == ("done", True)
    assert done("a") == ["put", "take"]


@pytest.mark.claim("vault.erased-with-its-undoing")
async def test_what_took_an_erased_action_back_is_erased_with_it(house: House) -> None:
    """A reverser's arguments are made of what the action was done with: they are a copy of it."""
    why: Any = {"reason": "the customer asked"}
    session = await keeper(house)
    put = await session.act("shelf.put", {"on": "a", "tag": "mrs smith"})
    dear = await session.act("shelf.put", {"on": "b", "tag": "dear"})
    other = await (await keeper(house, "run-2")).act("shelf.put", {"on": "c", "tag": "red"})
    refuse_once()
    (failed,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    (undone,) = outcomes(await house.bailiwick.undo(put.action, subject="ada"))
    (redone,) = outcomes(await house.bailiwick.undo(undone.action, subject="cy", anyway=True))
    (apart,) = outcomes(await house.bailiwick.undo(other.action, subject="ada"))
    told = [each.status for each in (failed, undone, redone, apart)]
    assert told == ["failed", "done", "done", "done"]

    (waits,) = outcomes(await house.bailiwick.undo(dear.action, subject="ada"))
    for given in ({"run": "run-1"}, {"action": dear.action}, {"subject": "sue"}):
        with pytest.raises(ControlError, match=waits.action) as fault:
            await house.command("ada", "vault erase", **given, **why)
        assert fault.value.code == "run_open"
    await house.vote("bo", waits.action, "deny")
    assert (await house.until(waits)).status == "denied"

    run = (await house.action(redone)).run
    await house.command("ada", "vault hold", run=run, reason="case 7")
    with pytest.raises(ControlError, match="case 7"):
        await house.command("ada", "vault erase", action=put.action, **why)
    answer = await house.command("ada", "vault erase", action=dear.action, **why)
    assert (answer["erased"], answer["undoing"]) == (2, [waits.action])
    assert "lifted" not in await house.command("ada", "vault release-hold", run=run)

    answer = await house.command("ada", "vault erase", run="run-1", **why)
    assert answer["undoing"] == sorted(each.action for each in (failed, undone, redone))
    assert (answer["erased"], answer["run_keys"]) == (4, 4)
    for each in (put, failed, undone, redone, waits):
        story = await house.command("ada", "actions show", action=each.action)
        assert (story["erased"]["reason"], story["payloads"]["proposal"]) == (why["reason"], None)
    story = await house.command("ada", "actions show", action=apart.action)
    assert (story["erased"], story["payloads"]["proposal"]["arguments"]["tag"]) == (None, "red")
    with pytest.raises(ControlError, match="erased already"):
        await house.command("ada", "vault erase", run="run-1", **why)
    await house.bailiwick.settle()
    assert (await audit(house.world))["findings"] == []
