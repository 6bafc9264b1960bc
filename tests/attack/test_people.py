"""What people were asked, what they said, and what neither the world nor time makes of it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bailiwick.testing import Clock
from tests.attack.desk import (
    ASKED,
    CLERK,
    GENEROUS,
    HOUR,
    NOW_US,
    activate,
    parked,
    put,
    tamper,
)
from tests.spine.house import House, effects, opened

OVER = CLERK + 'approvals: {over_budget: "finance:1"}\n'
DAY_AND_HOUR = """\
budgets:
  - {unit: "value:USD", period: day, limit: 1000}
  - {unit: "value:USD", period: hour, limit: 3000}
"""
BRIEF = CLERK + 'max_runtime_seconds: 60\napprovals: {over_budget: "finance:1"}\n'


# --- a no ----------------------------------------------------------------------------------------


async def move_the_world(house: House) -> None:
    assert (await (await house.clerk()).act("desk.note", {"on": "ch-1"})).status == "done"


async def stop_asking(house: House) -> None:
    await activate(house, clerk=GENEROUS)


async def drop_the_tool(house: House) -> None:
    await activate(house, clerk='{name: clerk, owner: o, tools_allowlist: ["desk.look"]}')


async def rename_the_tool(house: House) -> None:
    text = (house.world.settings.path("tools/desk.py")).read_text()
    await activate(house, tools=text.replace("desk.settle", "desk.other"))


@pytest.mark.claim("approval.denial-stands")
@pytest.mark.parametrize("change", [move_the_world, stop_asking, drop_the_tool, rename_the_tool])
async def test_a_no_stands_whatever_has_changed_since_it_was_asked_for(
    quiet: House, change: Callable[[House], Awaitable[None]]
) -> None:
    outcome = await parked(quiet)
    await quiet.vote("bo", outcome.action, "deny")
    await change(quiet)
    done = effects("ch-1")
    await quiet.bailiwick.settle()
    ended = await quiet.bailiwick.outcome(outcome.action)
    assert (ended.status, ended.code) == ("denied", "denied_by_people")
    assert "because" in ended.message
    assert effects("ch-1") == done


@pytest.mark.claim("approval.denial-stands")
async def test_a_no_stands_when_the_arguments_are_gone_too(quiet: House) -> None:
    outcome = await parked(quiet)
    await quiet.vote("bo", outcome.action, "deny")
    tamper(quiet, "update actions set proposal = null where id = ?", outcome.action)
    await quiet.bailiwick.settle()
    ended = await quiet.bailiwick.outcome(outcome.action)
    assert (ended.status, ended.code) == ("denied", "denied_by_people")


@pytest.mark.claim("approval.denial-stands")
async def test_a_no_that_comes_after_the_world_has_moved_stands(house: House) -> None:
    outcome = await parked(house)
    await move_the_world(house)
    await house.vote("bo", outcome.action, "deny")
    ended = await house.until(outcome, timeout_s=2)
    assert (ended.status, ended.code, effects("ch-1")) == ("denied", "denied_by_people", 1)


async def test_what_was_parked_keeps_its_arguments_and_its_decision_after_a_late_no(
    folder: Path,
) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        outcome = await parked(house)
        before = await house.command("ada", "actions show", action=outcome.action)
        clock.advance(7 * 24 * HOUR + 1)
        assert (await house.until(outcome)).code == "approval_expired"
        house.sessions.clear()  # which have run out too
        after = await house.command("ada", "actions show", action=outcome.action)
        assert after["payloads"]["proposal"] == before["payloads"]["proposal"]
        assert after["payloads"]["proposal"]["facts"]["value"] == 20_000
        assert after["decision"] == before["decision"] is not None


# --- a yes ---------------------------------------------------------------------------------------


async def test_people_are_asked_again_when_the_yes_they_gave_is_worth_nothing_any_more(
    quiet: House,
) -> None:
    outcome = await parked(quiet)
    await quiet.vote("bo", outcome.action)
    await put(quiet, "bo", enabled=False)
    await quiet.bailiwick.settle()
    assert (await quiet.bailiwick.outcome(outcome.action)).status == "parked"
    await quiet.vote("cy", outcome.action)
    await quiet.bailiwick.settle()
    assert (await quiet.bailiwick.outcome(outcome.action)).status == "done"


@pytest.mark.claim("approval.lifted-caps-shown")
async def test_people_see_the_caps_that_their_yes_lifts(house: House) -> None:
    await activate(house, clerk=OVER, limits=DAY_AND_HOUR)
    outcome = await parked(house, ASKED | {"amount_minor": 2_000})
    shown = await house.command("bo", "approvals show", action=outcome.action)
    day = {"node": "tenant", "unit": "value:USD", "period": "day", "limit": 1_000}
    assert shown["document"]["over_budget"] == [day]
    (line,) = (line for line in shown["lines"] if line.strip().startswith("over budget"))
    assert "a yes lifts" in line, line


async def test_people_see_that_what_fits_lifts_no_cap(house: House) -> None:
    outcome = await parked(house)
    shown = await house.command("bo", "approvals show", action=outcome.action)
    assert shown["document"]["over_budget"] == []


@pytest.mark.claim("approval.lifted-caps-shown")
async def test_a_cap_that_people_were_not_shown_is_not_lifted_by_their_yes(quiet: House) -> None:
    await activate(quiet, clerk=OVER, limits=DAY_AND_HOUR)
    one = await parked(quiet, ASKED | {"amount_minor": 2_000})
    two = await parked(quiet, ASKED | {"on": "ch-2", "amount_minor": 2_000})
    await quiet.vote("bo", one.action)
    await quiet.bailiwick.settle()
    assert (await quiet.bailiwick.outcome(one.action)).status == "done"
    # By now the second does not fit the hour either, which it did when people were asked.
    await quiet.vote("bo", two.action)
    await quiet.bailiwick.settle()
    assert (await quiet.bailiwick.outcome(two.action)).status == "parked"
    assert effects("ch-2") == 0
    shown = await quiet.command("bo", "approvals show", action=two.action)
    assert {cap["period"] for cap in shown["document"]["over_budget"]} == {"day", "hour"}
    await quiet.vote("bo", two.action)
    await quiet.bailiwick.settle()
    assert (await quiet.bailiwick.outcome(two.action)).status == "done"


# --- while people think --------------------------------------------------------------------------


async def test_the_wait_for_a_yes_is_no_run_time(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        await activate(house, clerk=BRIEF)
        outcome = await parked(house)
        clock.advance(HOUR)
        await house.vote("bo", outcome.action)
        ended = await house.until(outcome)
        assert (ended.status, ended.code) == ("done", "")


async def test_the_wait_for_a_no_is_no_run_time_of_what_the_run_does_next(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        await activate(house, clerk=BRIEF)
        outcome = await parked(house)
        clock.advance(HOUR)
        await house.vote("bo", outcome.action, "deny")
        assert (await house.until(outcome)).status == "denied"
        await move_the_world(house)
        clock.advance(61)
        late = await (await house.clerk()).act("desk.note", {"on": "ch-2"})
        assert (late.status, late.step) == ("refused", 3)


async def test_the_wait_for_a_read_is_no_run_time_of_what_the_run_does_next(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        limits = "budgets:\n  - {unit: calls, node: tool, period: all, limit: 1}\n"
        await activate(house, clerk=BRIEF, limits=limits)
        assert (await (await house.clerk()).act("desk.look", {"on": "a"})).status == "done"
        outcome = await parked(house, {"on": "b"}, tool="desk.look")
        clock.advance(HOUR)
        await house.vote("bo", outcome.action)
        assert (await house.until(outcome)).status == "done"
        await move_the_world(house)


async def test_a_parked_action_holds_the_effect_that_it_would_have_now(house: House) -> None:
    outcome = await parked(house)
    await move_the_world(house)  # from even to odd
    await house.vote("bo", outcome.action)
    while (await house.action(outcome)).effect_key != "ch-1odd":
        await house.bailiwick.settle()
    back = await (await house.clerk("run-3")).act("desk.note", {"on": "ch-1"})
    assert back.status == "done"
    # The effect that it was first asked for is free: it would be another's now.
    other = await (await house.clerk("run-2")).act("desk.settle", ASKED | {"amount_minor": 100})
    assert (other.status, other.code) == ("done", "")


async def test_a_parked_action_whose_arguments_are_gone_ends_and_frees_what_it_held(
    quiet: House,
) -> None:
    outcome = await parked(quiet)
    await quiet.vote("bo", outcome.action)
    tamper(quiet, "update actions set proposal = null where id = ?", outcome.action)
    await quiet.bailiwick.settle()
    ended = await quiet.bailiwick.outcome(outcome.action)
    assert (ended.status, ended.code) == ("refused", "payload_missing")
    other = await (await quiet.clerk("run-2")).act("desk.settle", ASKED | {"amount_minor": 100})
    assert (other.status, effects("ch-1")) == ("done", 1)
