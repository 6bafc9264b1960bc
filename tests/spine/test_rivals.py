"""What went wrong when other governance runtimes were tried, and what holds it here.

Each fault names the claims that hold it. The tests below make the same mistakes possible, as far as
no test of another folder does.
"""

import asyncio
import json
from pathlib import Path

import pytest

from bailiwick import BadInput
from tests.claims import CLAIMS
from tests.spine.house import TOOLS, House, effects, founded, opened

# What was seen, and the claims by which it cannot be seen here.
SEEN = {
    "decision, approver and arguments of a record can be changed and the log still verifies": (
        "ledger.any-changed-byte",
        "ledger.rollback-found-with-older-checkpoint",
        "cli.verify-names-what-changed",
    ),
    "with a quorum of two, one vote wakes the waiter and may be enough": (
        "approval.quorum-waits-for-all",
        "cli.two-people",
    ),
    "who asks approves both stages": ("approval.requester-excluded", "approval.one-person-once"),
    "the same arguments in another spelling or position pass the rule by": (
        "policy.one-value",
        "catalog.one-value",
    ),
    "the record is written before the tool runs, and never again": ("spine.records-tell-the-end",),
    "a retry after a timeout has the effect three times": (
        "spine.one-effect-after-timeouts",
        "execution.never-resend-without-key",
    ),
    "after a kill the agent's next call runs": ("limits.kill-fences", "spine.killed-is-refused"),
    "an unknown policy, tool or agent is allowed": (
        "policy.unknown-denies",
        "spine.unknown-never-runs",
    ),
    "a replay reports success and executes nothing": ("spine.replay-is-said",),
    "approvals live in memory, and do not show what is approved": (
        "spine.parked-survives-restart",
        "spine.approver-sees-the-arguments",
        "cli.vote-on-what-was-seen",
    ),
    "the provider says 200 and nothing happened": (
        "verification.silent-no-op-contradicted",
        "spine.uncertain-keeps-its-hold",
    ),
}


@pytest.mark.parametrize("fault", SEEN)
def test_each_fault_is_held_by_claims(fault: str) -> None:
    assert set(SEEN[fault]) <= set(CLAIMS)


@pytest.mark.claim("spine.records-tell-the-end")
@pytest.mark.parametrize(
    ("how", "status"), [("", "done"), ("refuse", "failed"), ("raise", "unknown")]
)
async def test_the_record_says_before_what_will_and_after_what_did_happen(
    house: House, how: str, status: str
) -> None:
    outcome = await (await house.clerk()).act("desk.note", {"on": "t-1", "how": how})
    assert outcome.status == status
    found = await house.world.ledger.records(0, 0, of=("default", outcome.action))
    intended, concluded = (json.loads(record.body) for record in found)
    assert (intended["kind"], concluded["kind"]) == ("intended", "concluded")
    assert status in json.dumps(concluded)
    assert status not in json.dumps(intended)


@pytest.mark.claim("spine.one-effect-after-timeouts")
@pytest.mark.parametrize("tool", ["desk.note", "desk.file", "desk.refund"])
async def test_a_call_that_hangs_is_asked_for_three_times_and_done_once(
    tmp_path: Path, tool: str
) -> None:
    quick = TOOLS.replace("timeout_s=2", "timeout_s=1").replace("timeout_s=0.5", "timeout_s=1")
    # The second call waits as long as the first may still be reading back.
    quick = quick.replace('effect="read"', 'effect="read", timeout_s=1')
    async with opened(await founded(tmp_path / "project", tools=quick)) as house:
        clerk = await house.clerk()
        asked: dict[str, object] = {"on": "t-1", "how": "hang"}
        if tool == "desk.refund":
            asked |= {"amount_minor": 100}
        answers = [await clerk.act(tool, asked) for _ in range(3)]
        assert answers[0].status in {"unknown", "running"}
        # On a slow machine it has been found out by the last of them.
        assert {each.status for each in answers} <= {"unknown", "running", "done"}
        assert len({each.action for each in answers}) == 1
        if tool == "desk.refund":  # nor is it done again from another run, or under a new key
            other = await (await house.clerk("run-2")).act(tool, asked, key="new")
            assert (other.status, other.code) == ("refused", "effect_key_held")
            assert other.details["holder"] == answers[0].action
        await asyncio.sleep(0.5)
        assert effects("t-1") == 1


@pytest.mark.claim("spine.killed-is-refused")
@pytest.mark.parametrize("scope", ["everything", "tenant", "agent", "tool", "run"])
async def test_the_next_call_after_a_kill_is_refused(house: House, scope: str) -> None:
    clerk = await house.clerk()
    assert (await clerk.act("desk.note", {"on": "t-1"})).status == "done"
    targets = {"agent": "clerk", "tool": "desk.note", "run": "run-1"}
    target = {"target": targets[scope]} if scope in targets else {}
    await house.command("ada", "kill", scope=scope, reason="a drill", **target)
    again = await clerk.act("desk.note", {"on": "t-2"})
    assert (again.status, again.step, again.code) == ("refused", 3, "stopped")
    assert effects("t-2") == 0


@pytest.mark.claim("spine.unknown-never-runs")
@pytest.mark.parametrize(
    ("tool", "asked"),
    [
        ("desk.drop_all_tables", {}),
        ("DESK.NOTE", {"on": "t-1"}),
        ("desk.note ", {"on": "t-1"}),
        ("desk.note", {"on": "t-1", "force": True}),
    ],
)
async def test_what_nobody_declared_does_not_run(
    house: House, tool: str, asked: dict[str, object]
) -> None:
    clerk = await house.clerk()
    if tool.strip() != tool:
        with pytest.raises(BadInput, match="not a name"):
            await clerk.act(tool, asked)
    else:
        outcome = await clerk.act(tool, asked)
        assert (outcome.status, outcome.result) == ("refused", None)
    assert effects("t-1") == 0


@pytest.mark.claim("spine.replay-is-said")
async def test_an_answer_given_again_does_not_pass_for_a_second_effect(house: House) -> None:
    clerk = await house.clerk()
    first = await clerk.act("desk.note", {"on": "t-1"}, key="k")
    again = await clerk.act("desk.note", {"on": "t-1"}, key="k")
    assert (first.earlier, again.earlier, effects("t-1")) == (False, True, 1)
    assert first.action in again.message
    assert await house.kinds(first.action) == ["intended", "concluded"]


@pytest.mark.claim("spine.approver-sees-the-arguments")
async def test_people_are_shown_the_values_that_will_be_sent(house: House) -> None:
    asked = {"on": "ch-7261", "amount_minor": 20_321}
    outcome = await (await house.clerk()).act("desk.refund", asked)
    assert outcome.status == "parked"
    shown = json.dumps(await house.command("bo", "approvals show", action=outcome.action))
    assert "ch-7261" in shown
    assert "20321" in shown
    assert shown.count(outcome.action) > 0
