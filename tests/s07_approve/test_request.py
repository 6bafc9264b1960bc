"""What the digest covers: every fact that was asked about, and nothing else."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.errors import ApprovalError
from bailiwick.nouns import Action, Ask, Decision, Resource, Situation, Tool
from tests.s07_approve.samples import (
    ACTION,
    CALLER,
    DECISION,
    HOUR_US,
    NEW_PAYEE,
    NOW_US,
    OVER_50,
    SITUATION,
    TOOL,
    asking,
)


def digest(
    action: Action = ACTION,
    situation: Situation = SITUATION,
    decision: Decision = DECISION,
    tool: Tool = TOOL,
) -> str:
    return approval.digest_of(approval.request_document(action, situation, decision, tool))


CHANGED: dict[str, Callable[[], str]] = {
    "action id": lambda: digest(action=replace(ACTION, id="act-2")),
    "tenant": lambda: digest(action=replace(ACTION, tenant="other")),
    "agent": lambda: digest(action=replace(ACTION, agent="other")),
    "subject": lambda: digest(action=replace(ACTION, subject="erin")),
    "delegation": lambda: digest(action=replace(ACTION, caller=replace(CALLER, actors=()))),
    "tool": lambda: digest(tool=replace(TOOL, name="payments.payout")),
    "tool version": lambda: digest(tool=replace(TOOL, digest="00" * 32)),
    "credential": lambda: digest(tool=replace(TOOL, credential="payments-root")),
    "argument": lambda: digest(
        situation=replace(SITUATION, arguments={"charge": "ch_1", "amount_minor": 7501})
    ),
    "resource id": lambda: digest(
        situation=replace(SITUATION, resource=Resource(type="Charge", id="ch_2"))
    ),
    "resource type": lambda: digest(
        situation=replace(SITUATION, resource=Resource(type="Payout", id="ch_1"))
    ),
    "value": lambda: digest(situation=replace(SITUATION, facts={"value": 1, "currency": "EUR"})),
    "currency": lambda: digest(
        situation=replace(SITUATION, facts={"value": 7500, "currency": "KWD"})
    ),
    "pre-state": lambda: digest(
        situation=replace(SITUATION, before={"charge": {"refunded_minor": 1}})
    ),
    "destination": lambda: digest(situation=replace(SITUATION, destination="acct_8")),
    "a rule more": lambda: digest(decision=replace(DECISION, asks=(OVER_50,))),
    "a rule's text": lambda: digest(
        decision=replace(DECISION, asks=(OVER_50, replace(NEW_PAYEE, text_hash="00" * 32)))
    ),
    "a rule's quorum": lambda: digest(
        decision=replace(DECISION, asks=(replace(OVER_50, quorum=1), NEW_PAYEE))
    ),
    "a rule's queue": lambda: digest(
        decision=replace(DECISION, asks=(replace(OVER_50, queue="legal"), NEW_PAYEE))
    ),
}


@pytest.mark.claim("approval.per-request-digest")
@pytest.mark.parametrize("what", CHANGED)
def test_whatever_was_asked_about_changes_the_digest(what: str) -> None:
    assert CHANGED[what]() != digest()


def test_no_two_of_these_changes_give_one_digest() -> None:
    assert len({change() for change in CHANGED.values()}) == len(CHANGED)


@pytest.mark.parametrize(
    "same",
    [
        lambda: digest(decision=replace(DECISION, release="r2")),
        lambda: digest(decision=replace(DECISION, asks=(NEW_PAYEE, OVER_50))),
        lambda: digest(action=replace(ACTION, version=9, updated_at_us=NOW_US + 9, release="r2")),
        lambda: digest(
            situation=replace(SITUATION, arguments={"amount_minor": 7500, "charge": "ch_1"})
        ),
    ],
    ids=["release", "order of rules", "bookkeeping", "order of arguments"],
)
def test_what_nobody_was_asked_about_leaves_the_votes_alone(same: Callable[[], str]) -> None:
    assert same() == digest()


def test_a_request_is_open_until_the_park_ends() -> None:
    opened = asking()
    assert (opened.state, opened.votes) == ("open", ())
    assert (opened.action, opened.tenant) == ("act-1", "acme")
    assert (opened.requested_at_us, opened.expires_at_us) == (NOW_US, NOW_US + HOUR_US)
    assert opened.request_digest == digest()


@pytest.mark.parametrize(
    "asks",
    [(), (OVER_50, OVER_50), (replace(OVER_50, quorum=0),), (replace(OVER_50, quorum=-1),)],
    ids=["nothing", "one rule twice", "nobody", "fewer than nobody"],
)
def test_a_decision_that_nobody_can_satisfy_opens_no_request(asks: tuple[Ask, ...]) -> None:
    with pytest.raises(ApprovalError) as fault:
        approval.request(
            ACTION,
            SITUATION,
            replace(DECISION, asks=asks),
            TOOL,
            now_us=NOW_US,
            park_until_us=NOW_US + 1,
        )
    assert fault.value.code == "request_invalid"
