"""Parked actions: they outlive the process, and people's yes is judged by the rules of that day."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bailiwick import Outcome
from bailiwick.testing import Clock
from tests.spine.house import AGENT, House, effects, files, founded, opened

NOW_US = 1_800_000_000_000_000
ASKED = {"on": "ch-1", "amount_minor": 20_000}
BY_TWO = {"on": "ch-2", "amount_minor": 60_000}
HOUR = 3600.0


async def parked(house: House, asked: dict[str, object] = ASKED, **who: str) -> Outcome:
    outcome = await (await house.clerk(**who)).act("desk.refund", asked)
    assert (outcome.status, outcome.code) == ("parked", "approval_required")
    return outcome


@pytest.mark.claim("spine.parked-survives-restart")
async def test_a_parked_action_outlives_its_process_and_wakes_when_people_say_yes(
    folder: Path,
) -> None:
    async with opened(folder) as house:
        outcome = await parked(house, BY_TWO)
    async with opened(folder) as house:
        assert (await house.bailiwick.outcome(outcome.action)).status == "parked"
        await house.vote("bo", outcome.action)
        assert (await house.action(outcome)).state == "parked"
        assert effects("ch-2") == 0
    async with opened(folder) as house:
        await house.vote("cy", outcome.action)
        ended = await house.until(outcome)
        assert (ended.status, ended.verdict, effects("ch-2")) == ("done", "verified", 1)
        assert await house.kinds(outcome.action) == [
            "parked",
            "vote",
            "vote",
            "intended",
            "concluded",
        ]


@pytest.mark.claim("spine.parked-survives-restart")
async def test_votes_that_were_cast_just_before_a_restart_count(folder: Path) -> None:
    settings = (folder / "bailiwick.yaml").read_text()
    (folder / "bailiwick.yaml").write_text(
        settings.replace("tick_seconds: 0.05", "tick_seconds: 900")
    )
    async with opened(folder) as house:
        await asyncio.sleep(0.1)  # the first tick is over, and no other comes
        outcome = await parked(house)
        await house.vote("bo", outcome.action)
        assert (await house.action(outcome)).state == "parked"
    async with opened(folder) as house:
        assert (await house.until(outcome)).status == "done"


@pytest.mark.claim("spine.wake-ignores-expiry")
async def test_the_tokens_expiry_is_not_looked_at_when_people_answer_days_later(
    folder: Path,
) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        outcome = await parked(house)
        clock.advance(6 * 24 * HOUR)
        await house.vote("bo", outcome.action)
        assert (await house.until(outcome)).status == "done"


async def revoke_key(house: House) -> None:
    control = await house.world.store.control("default")
    await house.command("ada", "revoke", id=next(iter(control.standings["clerk"].keys)))


async def revoke_token(house: House) -> None:
    (action,) = await house.world.register.actions("default", ("parked",), 9)
    await house.command("ada", "revoke", id=action.caller.capability.id)


async def disable_agent(house: House) -> None:
    await house.command("ada", "agents disable", agent="clerk")


async def kill_run(house: House) -> None:
    await house.command("ada", "kill", scope="run", target="run-1", reason="test")


async def activate(house: House, **changed: str) -> None:
    given = files(**changed)
    given.pop("bailiwick.yaml")
    await house.command("ada", "release activate", files=given, note="test")


async def drop_tool(house: House) -> None:
    await activate(house, clerk='{name: clerk, owner: o, tools_allowlist: ["desk.look"]}')


async def deny_by_policy(house: House) -> None:
    await activate(house, clerk=AGENT.replace("NAME", "clerk") + "people_only: [money]\n")


async def lower_the_cap(house: House) -> None:
    limits = 'budgets:\n  - {unit: "value:USD", period: day, limit: 19999}\n'
    await activate(house, limits=limits)


@pytest.mark.claim("spine.wake-by-todays-rules")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (revoke_key, "token_revoked"),
        (revoke_token, "token_revoked"),
        (disable_agent, "agent_disabled"),
        (kill_run, "stopped"),
        (drop_tool, "tool_not_granted"),
        (deny_by_policy, "denied"),
        (lower_the_cap, "denied"),
    ],
)
async def test_a_yes_does_not_outlive_the_right_to_act(
    house: House, change: Callable[[House], Awaitable[None]], code: str
) -> None:
    outcome = await parked(house)
    await change(house)
    try:
        await house.vote("bo", outcome.action)
    finally:
        ended = await house.until(outcome)
        assert (ended.status, effects("ch-1")) == ("refused", 0)
        assert ended.code == code
        # It holds nothing any more: another may refund the charge.
        assert (await house.balances()).get("tenant value:USD", (0, 0)) == (0, 0)


@pytest.mark.claim("spine.expiry-is-denial")
@pytest.mark.parametrize("votes", [0, 1])
async def test_no_answer_in_time_is_a_denial(folder: Path, votes: int) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        outcome = await parked(house, BY_TWO)
        if votes:
            await house.vote("bo", outcome.action)
        clock.advance(7 * 24 * HOUR + 1)
        ended = await house.until(outcome)
        assert (ended.status, ended.code, effects("ch-2")) == ("denied", "approval_expired", 0)


@pytest.mark.claim("spine.expiry-is-denial")
async def test_a_park_that_has_run_out_stays_shut_when_the_rules_no_longer_ask(
    folder: Path,
) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        outcome = await parked(house)
        generous = AGENT.replace("NAME", "clerk").replace('"50.00"', '"499.00"')
        await activate(house, clerk=generous)
        assert (await house.bailiwick.outcome(outcome.action)).status == "parked"
        clock.advance(7 * 24 * HOUR + 1)
        ended = await house.until(outcome)
        assert (ended.status, ended.code, effects("ch-1")) == ("denied", "approval_expired", 0)


@pytest.mark.claim("spine.expiry-is-denial")
async def test_a_person_s_no_is_the_answer_to_the_same_call_ever_after(house: House) -> None:
    outcome = await parked(house)
    await house.vote("bo", outcome.action, "deny")
    ended = await house.until(outcome)
    assert (ended.status, ended.code, effects("ch-1")) == ("denied", "denied_by_people", 0)
    again = await (await house.clerk()).act("desk.refund", ASKED)
    assert (again.action, again.status, again.earlier) == (outcome.action, "denied", True)
    # The charge is not held by it: another amount is another request.
    other = await (await house.clerk()).act("desk.refund", ASKED | {"amount_minor": 100})
    assert other.status == "done"


@pytest.mark.claim("spine.effect-key-across-runs")
async def test_while_people_think_nobody_else_does_it(house: House) -> None:
    outcome = await parked(house)
    other = await (await house.clerk("run-2")).act("desk.refund", ASKED | {"amount_minor": 100})
    assert (other.status, other.code, effects("ch-1")) == ("refused", "effect_key_held", 0)
    assert other.details["holder"] == outcome.action
    await house.vote("bo", outcome.action, "deny")
    await house.until(outcome)
    again = await (await house.clerk("run-2")).act("desk.refund", ASKED | {"amount_minor": 100})
    assert (again.status, effects("ch-1")) == ("done", 1)


@pytest.mark.claim("spine.wake-by-todays-rules")
async def test_a_rule_that_became_stricter_asks_anew_and_old_votes_do_not_count(
    folder: Path,
) -> None:
    async with opened(folder) as house:
        outcome = await parked(house)
        stricter = AGENT.replace("NAME", "clerk").replace('"500.00"', '"100.00"')
        await activate(house, clerk=stricter)
        before = await house.world.shelf.approval("default", outcome.action)
        await house.vote("bo", outcome.action)  # on what was asked before
        async with asyncio.timeout(20):
            asked = before
            while asked is None or before is None or asked.request_digest == before.request_digest:
                await asyncio.sleep(0.02)
                asked = await house.world.shelf.approval("default", outcome.action)
        assert ((await house.action(outcome)).state, effects("ch-1")) == ("parked", 0)
        await house.vote("bo", outcome.action)
        await house.vote("cy", outcome.action)
        assert ((await house.until(outcome)).status, effects("ch-1")) == ("done", 1)


async def test_people_may_let_a_read_go_over_its_cap(tmp_path: Path) -> None:
    clerk = """\
name: clerk
owner: payments-team
tools_allowlist: ["desk.*"]
max_tool_calls: 1
approvals: {over_budget: "finance:1"}
"""
    async with opened(await founded(tmp_path / "project", people=True, clerk=clerk)) as house:
        session = await house.clerk()
        assert (await session.act("desk.look", {"on": "a"})).status == "done"
        outcome = await session.act("desk.look", {"on": "b"})
        assert outcome.status == "parked"
        await house.vote("bo", outcome.action)
        assert (await house.until(outcome)).status == "done"
        assert (await house.balances())["run:run-1 calls"] == (2, 0)


@pytest.mark.claim("spine.people-asked-once-for-a-read")
async def test_people_are_asked_about_a_read_once_and_its_answer_is_kept_for_it(
    tmp_path: Path,
) -> None:
    clock = Clock(NOW_US)
    asked = {"on": "ch-3"}
    folder = tmp_path / "project"
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "look.cedar").write_text(
        '@id("look.asks")\n@approval("finance:1")\n'
        'forbid (principal, action == Action::"desk.look", resource)\n'
        'unless { context.approvals has "look.asks" && context.approvals["look.asks"] };\n'
    )
    await founded(folder, people=True)
    async with opened(folder, now_us=clock.now_us) as house:
        clerk = await house.clerk()
        first = await clerk.act("desk.look", asked)
        assert first.status == "parked"
        assert (await clerk.act("desk.look", asked)).action == first.action
        other = await (await house.clerk(run="run-2")).act("desk.look", asked)
        assert (other.status, other.action != first.action) == ("parked", True)
        clock.advance(HOUR)
        await house.vote("bo", first.action)
        read = await house.until(first)
        clock.advance(HOUR - 60)
        again = await clerk.act("desk.look", asked)
        assert (again.action, again.earlier, again.result) == (first.action, True, read.result)
        clock.advance(120)
        anew = await clerk.act("desk.look", asked)
        assert (anew.status, anew.action != first.action) == ("parked", True)
