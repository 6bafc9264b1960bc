"""Each fault of other runtimes (`tests/spine/test_rivals.py`) appears once its guard is taken away.

A scenario looks for the fault. It must not see it here, and must see it in a double that lacks the
one thing that holds it; else a test of the feature could pass without the feature.
"""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from bailiwick import Outcome, approval, cases, identity, ledger, values
from bailiwick.approval import votes
from bailiwick.cases import answering, opening
from bailiwick.errors import ApprovalError, BadInput
from bailiwick.execution import fencing
from bailiwick.identity import authentication
from bailiwick.limits import admission
from bailiwick.nouns import Action, Grant, Verification
from bailiwick.operations import audit, auditing
from bailiwick.ports import World
from bailiwick.transactions import Append, Entries
from tests.attack.desk import tamper
from tests.spine.house import House, effects
from tests.spine.test_rivals import SEEN

Patch = pytest.MonkeyPatch


class Fault(NamedTuple):
    """One fault: whether a scenario sees it, and what takes away its guard."""

    named: str
    seen: Callable[[House, str], Awaitable[bool]]
    without: Callable[[Patch], None]


CHANGE = """
update records set body = cast(replace(cast(body as text), ?, ?) as blob)
where seq = (select max(seq) from records where kind = 'concluded')
"""

# --- what was seen ------------------------------------------------------------------------------


async def a_changed_record_verifies(house: House, on: str) -> bool:
    await (await house.clerk()).act("desk.note", {"on": on})
    await house.bailiwick.settle()
    tamper(house, CHANGE, '"verdict":"verified"', '"verdict":"unverifiable"')
    return bool((await audit(house.world))["verified"])


async def one_vote_of_two_is_enough(house: House, on: str) -> bool:
    asked = {"on": on, "amount_minor": 60_000}
    waits = await (await house.clerk()).act("desk.refund", asked)
    assert waits.status == "parked"
    await house.vote("bo", waits.action)
    await house.bailiwick.settle()
    return effects(on) > 0


async def who_asks_approves(house: House, on: str) -> bool:
    asked = {"on": on, "amount_minor": 20_000}
    waits = await (await house.clerk(run="run-bo", subject="bo")).act("desk.refund", asked)
    assert waits.status == "parked"
    try:
        await house.vote("bo", waits.action)
    except ApprovalError:
        return False
    await house.bailiwick.settle()
    return effects(on) > 0


async def another_spelling_passes_the_rule(house: House, on: str) -> bool:
    twice = f'{{"on": "{on}", "amount_minor": 20000, "amount_minor": 1}}'
    try:
        await (await house.clerk()).act("desk.refund", twice)
    except BadInput:
        return False
    return effects(on) > 0


async def the_record_ends_before_the_tool_runs(house: House, on: str) -> bool:
    outcome = await (await house.clerk()).act("desk.note", {"on": on})
    return await house.kinds(outcome.action) == ["intended"]


async def a_retry_has_the_effect_again(house: House, on: str) -> bool:
    clerk = await house.clerk()
    for _ in range(3):
        await clerk.act("desk.note", {"on": on, "how": "raise"})
    return effects(on) > 1


async def the_next_call_after_a_kill_runs(house: House, on: str) -> bool:
    clerk = await house.clerk()
    await house.command("ada", "kill", scope="everything", reason="a drill")
    await clerk.act("desk.note", {"on": on})
    await house.command("ada", "resume", scope="everything")
    return effects(on) > 0


async def what_was_not_granted_runs(house: House, on: str) -> bool:
    looks = (Grant(tools=("desk.look",)),)
    clerk = await house.bailiwick.session("clerk", subject="sue", run=on, grants=looks)
    await clerk.act("desk.note", {"on": on})
    return effects(on) > 0


async def a_replay_passes_for_an_effect(house: House, on: str) -> bool:
    clerk = await house.clerk()
    for _ in range(2):
        last = await clerk.act("desk.note", {"on": on}, key=on)
    return last.status == "done" and not last.earlier and effects(on) == 1


async def nobody_sees_what_is_approved(house: House, on: str) -> bool:
    waits = await (await house.clerk()).act("desk.refund", {"on": on, "amount_minor": 20_321})
    shown = await house.command("bo", "approvals show", action=waits.action)
    return "20321" not in json.dumps(shown["lines"])


async def nothing_happened_and_it_is_verified(house: House, on: str) -> bool:
    outcome = await (await house.clerk()).act("desk.note", {"on": on, "how": "nothing"})
    return (outcome.status, outcome.verdict, effects(on)) == ("done", "verified", 0)


# --- without ------------------------------------------------------------------------------------


def without_hashes(patch: Patch) -> None:
    async def none(*_: object) -> None:
        """Compare nothing."""

    patch.setattr(auditing, "_compare_nodes", none)
    patch.setattr(auditing, "_compare_root", lambda *_: None)
    patch.setattr(auditing, "_wrong", lambda *_: iter(()))


def without_quorum(patch: Patch) -> None:
    patch.setattr(votes, "satisfied", lambda _, voters: len(voters) > 0)


def without_looking_who_asked(patch: Patch) -> None:
    patch.setattr(votes, "is_requester", lambda *_: False)


def without_one_reading(patch: Patch) -> None:
    patch.setattr(values, "_decode", json.loads)


def without_a_second_record(patch: Patch) -> None:
    concluded = ledger.concluded

    async def unsaid(*given: Any) -> Entries:
        entries = await concluded(*given)
        kept = tuple(op for op in entries.ops if not isinstance(op, Append))
        return replace(entries, ops=kept)

    patch.setattr(ledger, "concluded", unsaid)


def without_names(patch: Patch) -> None:
    patch.setattr(opening, "_mac", lambda *_: os.urandom(16).hex())


def without_switches(patch: Patch) -> None:
    patch.setattr(admission, "covers", lambda *_, **__: False)
    patch.setattr(fencing, "covering", lambda *_: None)


def without_grants(patch: Patch) -> None:
    patch.setattr(authentication, "_uncovered", lambda *_: None)
    patch.setattr(identity, "covers", lambda caller, *_: caller.capability.grants)


def without_saying_earlier(patch: Patch) -> None:
    told = answering.outcome_of

    async def untold(world: World, action: Action, *, earlier: bool = False) -> Outcome:
        return await told(world, action)

    for module in (answering, opening):
        patch.setattr(module, "outcome_of", untold)


def without_showing(patch: Patch) -> None:
    patch.setattr(approval, "lines", lambda *_, **__: ["desk.refund wants to act"])


def without_reading_back(patch: Patch) -> None:
    async def believed(*_: object) -> Verification:
        return Verification(verdict="verified")

    patch.setattr(cases, "verify", believed)


FAULTS = (
    Fault(
        "decision, approver and arguments of a record can be changed and the log still verifies",
        a_changed_record_verifies,
        without_hashes,
    ),
    Fault(
        "with a quorum of two, one vote wakes the waiter and may be enough",
        one_vote_of_two_is_enough,
        without_quorum,
    ),
    Fault("who asks approves both stages", who_asks_approves, without_looking_who_asked),
    Fault(
        "the same arguments in another spelling or position pass the rule by",
        another_spelling_passes_the_rule,
        without_one_reading,
    ),
    Fault(
        "the record is written before the tool runs, and never again",
        the_record_ends_before_the_tool_runs,
        without_a_second_record,
    ),
    Fault(
        "a retry after a timeout has the effect three times",
        a_retry_has_the_effect_again,
        without_names,
    ),
    Fault(
        "after a kill the agent's next call runs",
        the_next_call_after_a_kill_runs,
        without_switches,
    ),
    Fault("an unknown policy, tool or agent is allowed", what_was_not_granted_runs, without_grants),
    Fault(
        "a replay reports success and executes nothing",
        a_replay_passes_for_an_effect,
        without_saying_earlier,
    ),
    Fault(
        "approvals live in memory, and do not show what is approved",
        nobody_sees_what_is_approved,
        without_showing,
    ),
    Fault(
        "the provider says 200 and nothing happened",
        nothing_happened_and_it_is_verified,
        without_reading_back,
    ),
)


def test_each_fault_that_was_seen_is_looked_for() -> None:
    assert [fault.named for fault in FAULTS] == list(SEEN)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.seen.__name__)
async def test_a_fault_is_seen_only_without_what_holds_it(quiet: House, fault: Fault) -> None:
    assert not await fault.seen(quiet, "with")
    with pytest.MonkeyPatch.context() as patch:
        fault.without(patch)
        assert await fault.seen(quiet, "without")
