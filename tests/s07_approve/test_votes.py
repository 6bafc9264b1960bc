"""Whose vote counts, on what, and for how long."""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from bailiwick import approval
from bailiwick.errors import ApprovalError
from bailiwick.nouns import Approval, Ask, Vote
from tests.s07_approve.samples import (
    ACTION,
    CALLER,
    DECISION,
    HOUR_US,
    NEW_PAYEE,
    NOW_US,
    OVER_50,
    PEOPLE,
    SITUATION,
    TOOL,
    asking,
    key,
    person,
    rules,
    vote,
    voted,
)

FINANCE = Ask(rule="finance", queue="finance", quorum=1, text_hash="d4" * 32)
LEGAL = Ask(rule="legal", queue="legal", quorum=1, text_hash="e5" * 32)


# --- quorum --------------------------------------------------------------------------------------


@pytest.mark.claim("approval.quorum-waits-for-all")
@pytest.mark.parametrize(
    ("names", "satisfied"),
    [
        ((), set()),
        (("bob",), set()),
        (("bob", "bob"), set()),
        (("bob", "carol"), {"over-50"}),
        (("lena",), {"new-payee"}),
        (("bob", "lena"), {"new-payee"}),
        (("bob", "carol", "lena"), {"over-50", "new-payee"}),
        (("lena", "carol", "bob"), {"over-50", "new-payee"}),
    ],
)
def test_a_rule_is_satisfied_only_by_its_whole_quorum(
    names: tuple[str, ...], satisfied: set[str]
) -> None:
    assert rules(voted(asking(), *names)) == satisfied


@pytest.mark.claim("approval.one-person-once")
@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("both",), 1),
        (("both", "both"), 1),
        (("both", "bob"), 2),
        (("both", "lena"), 2),
        (("both", "carol"), 2),  # whoever is placed first, the other still finds a place
        (("bob", "carol"), 1),
    ],
)
def test_a_person_in_two_queues_counts_for_one_rule(names: tuple[str, ...], count: int) -> None:
    assert len(rules(voted(asking(FINANCE, LEGAL), *names))) == count


@pytest.mark.claim("approval.one-person-once")
def test_two_accounts_with_one_key_are_one_person() -> None:
    twin = replace(person("bob", "finance", "legal"), name="bob-2")
    people = {**PEOPLE, "bob-2": twin}
    on = asking(FINANCE, LEGAL)
    on = voted(on, "bob", vote("bob-2", on, signed_by="bob"))
    assert len(rules(on, people=people)) == 1
    second = vote("bob-2", on, signed_by="bob")
    with pytest.raises(ApprovalError, match="already"):
        approval.check_vote(voted(on, "bob"), second, people, CALLER, NOW_US + 2)


def test_the_tally_names_who_counts_for_which_rule() -> None:
    on = voted(asking(), "both", "bob", "carol", "hr")
    given = approval.tally(on, on.request_digest, PEOPLE, CALLER)
    assert {ask.rule: set(names) for ask, names in given} == {
        "new-payee": {"both"},
        "over-50": {"bob", "carol"},
    }


# --- who ----------------------------------------------------------------------------------------


@pytest.mark.claim("approval.requester-excluded")
@pytest.mark.parametrize("name", ["dana", "piet"])
def test_who_asks_satisfies_no_rule_in_any_queue(name: str) -> None:
    on = asking(FINANCE, LEGAL)
    assert rules(voted(on, name)) == set()
    with pytest.raises(ApprovalError) as fault:
        approval.check_vote(on, vote(name, on), PEOPLE, CALLER, NOW_US + 2)
    assert fault.value.code == "voter_is_requester"


@pytest.mark.claim("approval.requester-excluded")
def test_who_asks_is_known_by_another_spelling_and_by_another_account() -> None:
    on = asking(FINANCE)
    shouted = replace(CALLER, subject="BOB", actors=())
    assert approval.evidence(voted(on, "bob"), on.request_digest, PEOPLE, shouted, NOW_US) == ()
    twin = replace(person("dana", "finance"), name="d2")
    on = voted(on, vote("d2", on, signed_by="dana"))
    assert rules(on, people={**PEOPLE, "d2": twin}) == set()


def test_the_owner_of_the_agent_may_vote_with_the_conflict_shown() -> None:
    assert rules(voted(asking(FINANCE), "olga")) == {"finance"}


@pytest.mark.parametrize("name", ["gone", "boss", "hr", "nobody"])
def test_only_enabled_approvers_of_an_asking_queue_count(name: str) -> None:
    assert rules(voted(asking(FINANCE), name)) == set()


def test_a_vote_stops_counting_when_its_voter_is_disabled() -> None:
    on = voted(asking(FINANCE), "bob")
    assert rules(on) == {"finance"}
    disabled = {**PEOPLE, "bob": replace(PEOPLE["bob"], enabled=False)}
    assert rules(on, people=disabled) == set()


def test_people_of_another_tenant_do_not_count() -> None:
    moved = {**PEOPLE, "bob": replace(PEOPLE["bob"], tenant="other")}
    assert rules(voted(asking(FINANCE), "bob"), people=moved) == set()


# --- signatures ---------------------------------------------------------------------------------


def flipped(text: str) -> str:
    return ("A" if text[0] != "A" else "B") + text[1:]


def last_bit_ignored(text: str) -> str:
    """Another spelling of the same bytes: base64url has four bits to spare here."""
    return text[:-1] + chr(ord(text[-1]) + 1)


FORGED: dict[str, Callable[[Approval], Vote]] = {
    "unsigned": lambda on: replace(vote("bob", on), signature=""),
    "signed by another": lambda on: vote("bob", on, signed_by="carol"),
    "one bit off": lambda on: replace(
        vote("bob", on), signature=flipped(vote("bob", on).signature)
    ),
    "another spelling": lambda on: replace(
        vote("bob", on), signature=last_bit_ignored(vote("bob", on).signature)
    ),
    "padded": lambda on: replace(vote("bob", on), signature=vote("bob", on).signature + "=="),
    "not base64": lambda on: replace(vote("bob", on), signature="ü" * 86),
    "denial made approval": lambda on: replace(vote("bob", on, "deny"), choice="approve"),
    "time changed": lambda on: replace(vote("bob", on), cast_at_us=NOW_US + 2),
    "reason changed": lambda on: replace(vote("bob", on), reason="I looked closely"),
    "given to another": lambda on: replace(vote("bob", on), person="carol"),
    "moved to another action": lambda on: replace(
        vote("bob", replace(on, action="act-0")), action="act-1"
    ),
    "moved to another digest": lambda on: replace(
        vote("bob", replace(on, request_digest="00" * 32)), request_digest=on.request_digest
    ),
    "of another type": lambda on: replace(vote("bob", on), signature=signed_as_something_else(on)),
    "unspeakable": lambda on: replace(vote("bob", on), reason="\ud800"),
}


def signed_as_something_else(on: Approval) -> str:
    statement = approval.vote_statement(vote("bob", on))
    other = statement.replace(b"bailiwick.vote.v1", b"bailiwick.note.v1")
    assert other != statement
    return urlsafe_b64encode(key("bob").sign(other)).rstrip(b"=").decode()


@pytest.mark.claim("approval.unsigned-vote-does-not-count")
@pytest.mark.parametrize("forgery", FORGED)
def test_a_row_without_the_persons_signature_over_it_counts_for_nothing(forgery: str) -> None:
    on = asking(FINANCE)
    forged = FORGED[forgery](on)
    assert rules(voted(on, "bob")) == {"finance"}
    assert rules(voted(on, forged)) == set()
    with pytest.raises(ApprovalError):
        approval.check_vote(on, forged, PEOPLE, CALLER, NOW_US + 2)


@pytest.mark.claim("approval.unsigned-vote-does-not-count")
def test_an_unsigned_denial_does_not_deny() -> None:
    on = asking(FINANCE)
    forged = replace(vote("carol", on, "deny", reason="no"), signature="")
    on = voted(on, "bob", forged)
    assert approval.denied(on, on.request_digest, PEOPLE, CALLER) is None
    assert rules(on) == {"finance"}


@pytest.mark.claim("approval.per-request-digest")
def test_votes_on_one_request_are_nothing_to_an_equal_looking_one() -> None:
    """The same refund proposed twice, a rule added later, a pre-state that moved."""
    on = asking(FINANCE)
    votes = (vote("bob", on), vote("lena", on))
    moved = replace(SITUATION, before={"charge": {"refunded_minor": 7500}})
    for later in (
        asking(FINANCE, LEGAL),
        asking(replace(FINANCE, text_hash="00" * 32)),
        asking(FINANCE, situation=moved),
        approval.request(
            replace(ACTION, id="act-2"),
            SITUATION,
            replace(DECISION, asks=(FINANCE,)),
            TOOL,
            now_us=NOW_US,
            park_until_us=NOW_US + HOUR_US,
        ),
    ):
        assert rules(replace(later, votes=votes)) == set()
        # Nor does the old request answer for the new question.
        old = replace(on, votes=votes)
        assert approval.evidence(old, later.request_digest, PEOPLE, CALLER, NOW_US + 2) == ()


# --- denial, expiry, state ----------------------------------------------------------------------


def test_one_valid_denial_denies_whatever_the_others_say() -> None:
    on = asking(FINANCE)
    no = vote("carol", on, "deny", reason="the invoice is a copy")
    on = voted(on, "bob", no)
    assert approval.denied(on, on.request_digest, PEOPLE, CALLER) == no
    assert rules(on) == set()


@pytest.mark.parametrize("name", ["dana", "gone", "hr", "boss"])
def test_a_denial_by_who_may_not_vote_denies_nothing(name: str) -> None:
    on = asking(FINANCE)
    on = voted(on, vote(name, on, "deny", reason="no"))
    assert approval.denied(on, on.request_digest, PEOPLE, CALLER) is None


def test_no_request_is_no_evidence_and_no_denial() -> None:
    assert approval.evidence(None, "00" * 32, PEOPLE, CALLER, NOW_US) == ()
    assert approval.denied(None, "00" * 32, PEOPLE, CALLER) is None


@pytest.mark.claim("approval.expiry-is-denial")
@pytest.mark.parametrize(
    ("now_us", "counts"),
    [(NOW_US + HOUR_US - 1, True), (NOW_US + HOUR_US, False), (NOW_US + 9 * HOUR_US, False)],
)
def test_votes_are_worth_nothing_from_the_end_on(now_us: int, counts: bool) -> None:
    on = asking(FINANCE)
    assert rules(voted(on, "bob"), now_us) == ({"finance"} if counts else set())
    if counts:
        approval.check_vote(on, vote("bob", on), PEOPLE, CALLER, now_us)
    else:
        with pytest.raises(ApprovalError) as fault:
            approval.check_vote(on, vote("bob", on), PEOPLE, CALLER, now_us)
        assert fault.value.code == "approval_expired"


@pytest.mark.claim("approval.expiry-is-denial")
def test_a_vote_that_says_itself_it_came_late_does_not_count() -> None:
    on = asking(FINANCE)
    late = approval.sign_vote(replace(vote("bob", on), cast_at_us=NOW_US + HOUR_US), key("bob"))
    assert rules(voted(on, late)) == set()


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("open", True),
        ("granted", True),
        ("denied", False),
        ("expired", False),
        ("consumed", False),
        ("withdrawn", False),
    ],
)
def test_evidence_is_given_once_and_only_by_a_living_request(state: Any, counts: bool) -> None:
    on = replace(voted(asking(FINANCE), "bob"), state=state)
    assert rules(on) == ({"finance"} if counts else set())


# --- casting ------------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Approval], tuple[Approval, Vote]]] = {
    "approval_closed": lambda on: (replace(on, state="granted"), vote("bob", on)),
    "vote_without_reason": lambda on: (on, vote("bob", on, "deny", reason=" \n")),
    "already_voted": lambda on: (voted(on, "bob"), vote("bob", on, "deny", reason="no")),
    "vote_stale": lambda on: (on, vote("bob", replace(on, request_digest="00" * 32))),
    "voter_unknown": lambda on: (on, vote("nobody", on)),
    "voter_disabled": lambda on: (on, vote("gone", on)),
    "voter_not_entitled": lambda on: (on, vote("hr", on)),
    "voter_is_requester": lambda on: (on, vote("dana", on)),
    "vote_unsigned": lambda on: (on, vote("bob", on, signed_by="hr")),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_vote_that_may_not_be_cast_is_refused_with_its_code(code: str) -> None:
    on, cast = REFUSED[code](asking())
    with pytest.raises(ApprovalError) as fault:
        approval.check_vote(on, cast, PEOPLE, CALLER, NOW_US + 2)
    assert fault.value.code == code


@pytest.mark.parametrize("choice", ["approve", "deny"])
def test_an_entitled_person_may_vote_either_way(choice: Literal["approve", "deny"]) -> None:
    on = voted(asking(OVER_50, NEW_PAYEE), "carol")
    approval.check_vote(on, vote("bob", on, choice, reason="seen"), PEOPLE, CALLER, NOW_US + 2)


def test_a_voter_votes_again_when_the_question_has_changed() -> None:
    old = asking(FINANCE)
    on = replace(asking(FINANCE, LEGAL), votes=(vote("bob", old),))
    approval.check_vote(on, vote("bob", on), PEOPLE, CALLER, NOW_US + 2)


def test_a_message_shows_no_control_characters_of_a_name() -> None:
    on = asking(FINANCE)
    with pytest.raises(ApprovalError) as fault:
        approval.check_vote(on, vote("\x1b[2Jbob\u202e", on), PEOPLE, CALLER, NOW_US + 2)
    assert "\\u{1b}[2Jbob\\u{202e}" in fault.value.message
