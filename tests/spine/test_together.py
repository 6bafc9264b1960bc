"""Many callers at once: one budget, one key, one effect."""

import asyncio
from pathlib import Path

import pytest

from bailiwick import Outcome
from tests.spine.house import House, books, effects, founded, opened

CALLERS = 64
LIMIT = 10_000


@pytest.mark.claim("limits.shared-budget-exact")
async def test_callers_share_a_budget_and_use_it_up_but_not_more(tmp_path: Path) -> None:
    limits = f'budgets:\n  - {{unit: "value:USD", period: day, limit: {LIMIT}}}\n'
    async with opened(await founded(tmp_path / "project", limits=limits)) as house:
        sessions = [await house.clerk(f"run-{number % 4}") for number in range(CALLERS)]

        async def call(number: int) -> list[Outcome]:
            answers = []
            for turn in range(4):
                asked = {"on": f"ch-{number}-{turn}", "amount_minor": 130}
                answers.append(await sessions[number].act("desk.refund", asked))
            return answers

        told = await asyncio.gather(*map(call, range(CALLERS)))
        answers = [each for many in told for each in many]
        done = [each for each in answers if each.status == "done"]
        spent = 130 * len(books())
        assert 0.95 * LIMIT <= spent <= LIMIT
        assert len(done) == len(books())
        assert {each.status for each in answers} == {"done", "refused"}
        assert (await house.balances())["tenant value:USD"] == (spent, 0)


@pytest.mark.claim("spine.same-key-one-effect")
@pytest.mark.parametrize("tool", ["desk.note", "desk.refund"])
async def test_one_key_at_the_same_time_is_one_effect(house: House, tool: str) -> None:
    clerk = await house.clerk()
    asked: dict[str, object] = {"on": "ch-1", "how": "slow:0.1"}
    if tool == "desk.refund":
        asked |= {"amount_minor": 100}
    answers = await asyncio.gather(*(clerk.act(tool, asked, key="k") for _ in range(CALLERS)))
    assert effects("ch-1") == 1
    assert {each.status for each in answers} == {"done"}
    assert len({each.action for each in answers}) == 1
    assert [each.earlier for each in answers].count(False) == 1


@pytest.mark.claim("spine.same-key-one-effect")
async def test_equal_calls_at_the_same_time_are_one_effect(house: House) -> None:
    clerk = await house.clerk()
    asked = {"on": "ch-1", "how": "slow:0.1"}
    answers = await asyncio.gather(*(clerk.act("desk.note", asked) for _ in range(CALLERS)))
    assert effects("ch-1") == 1
    assert {(each.status, each.action) for each in answers} == {("done", answers[0].action)}
    assert [each.earlier for each in answers].count(False) == 1


@pytest.mark.claim("spine.same-key-one-effect")
async def test_one_key_of_a_read_is_one_answer(house: House) -> None:
    clerk = await house.clerk()
    asked = {"on": "ch-1", "delay_s": 0.05}
    answers = await asyncio.gather(*(clerk.act("desk.look", asked, key="k") for _ in range(8)))
    assert {each.status for each in answers} == {"done"}
    assert len({each.action for each in answers}) == 1


async def test_reads_at_once_beyond_a_cap_are_refused_as_over_budget(tmp_path: Path) -> None:
    agent = """\
name: clerk
owner: payments-team
tools_allowlist: ["desk.*"]
max_tool_calls: 5
"""
    async with opened(await founded(tmp_path / "project", clerk=agent)) as house:
        clerk = await house.clerk()
        asked = {"on": "ch-1", "delay_s": 0.05}
        answers = await asyncio.gather(*(clerk.act("desk.look", asked) for _ in range(12)))
        assert sorted(each.status for each in answers) == ["done"] * 5 + ["refused"] * 7
        assert {each.code for each in answers if each.status == "refused"} == {"denied"}
        assert (await house.balances())["run:run-1 calls"] == (5, 0)


@pytest.mark.claim("spine.effect-key-across-runs")
async def test_two_runs_refund_one_charge_once_and_the_other_hears_who_did(house: House) -> None:
    one, other = await house.clerk("run-1"), await house.clerk("run-2")
    asked = {"on": "ch-1", "amount_minor": 100, "how": "slow:0.05"}
    answers = await asyncio.gather(*(each.act("desk.refund", asked) for each in (one, other)))
    assert effects("ch-1") == 1
    done, refused = sorted(answers, key=lambda each: each.status)
    assert (done.status, refused.status, refused.code) == ("done", "refused", "effect_key_held")
    assert refused.details["holder"] == done.action
    assert done.action in refused.message


@pytest.mark.claim("spine.effect-key-across-runs")
async def test_an_effect_key_is_free_again_once_the_effect_certainly_is_not(house: House) -> None:
    asked = {"on": "ch-1", "amount_minor": 100}
    failed = await (await house.clerk("run-1")).act("desk.refund", asked | {"how": "refuse"})
    assert failed.status == "failed"
    done = await (await house.clerk("run-2")).act("desk.refund", asked)
    assert (done.status, effects("ch-1")) == ("done", 1)
