"""Votes: signed statements by people over one request digest, and what they prove.

Only an approver's own Ed25519 signature (RFC 8032) over exactly the digest that is asked makes a
vote count; a row in the store is worth nothing by itself. The same rule is applied when a vote is
cast and each time it is counted, so that an account disabled in between no longer counts.
"""

from collections.abc import Callable, Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bailiwick.approval.electorate import NOBODY, Ahead, People, queues_of
from bailiwick.approval.quorum import assign, satisfied
from bailiwick.approval.signing import is_signed, signature
from bailiwick.errors import ApprovalError, BadInput
from bailiwick.nouns import Approval, Ask, Caller, Person, Vote
from bailiwick.values import canonical, shown

STATEMENT_TYPE = "bailiwick.vote.v1"


def vote_statement(vote: Vote) -> bytes:
    """Give the bytes that a voter signs: all of the vote but its signature, canonical JSON."""
    lent = {"on_behalf_of": vote.on_behalf_of} if vote.on_behalf_of else {}
    return canonical(
        {
            **lent,
            "type": STATEMENT_TYPE,
            "action": vote.action,
            "person": vote.person,
            "choice": vote.choice,
            "request_digest": vote.request_digest,
            "reason": vote.reason,
            "cast_at_us": vote.cast_at_us,
        }
    )


def sign_vote(vote: Vote, key: Ed25519PrivateKey) -> Vote:
    """Give the vote with its signature, 64 bytes as base64url without padding (RFC 7515 §2)."""
    return replace(vote, signature=signature(key, vote_statement(vote)))


def check_vote(
    approval: Approval,
    vote: Vote,
    people: People,
    caller: Caller,
    now_us: int,
    *,
    signed: bool = True,
) -> None:
    """Return if the vote may be cast, else raise `ApprovalError` saying why not.

    `caller` is who proposed the action; without `signed` the vote is one that could be signed yet.
    Codes: approval_closed, approval_expired, vote_without_reason, already_voted,
    delegation_missing, and those of `objection`.
    """
    if approval.state != "open":
        raise ApprovalError(
            f"the request on action `{approval.action}` is {approval.state}",
            code="approval_closed",
            help="look at the action; it no longer waits for votes",
        )
    if _expired(approval, now_us):
        raise ApprovalError(
            f"the request on action `{approval.action}` has expired, which denies it",
            code="approval_expired",
            help="the action has to be proposed again",
        )
    if vote.choice == "deny" and not vote.reason.strip():
        raise ApprovalError(
            "a denial has no reason",
            code="vote_without_reason",
            help="say why, so that whoever asked can do better",
        )
    if found := objection(approval, vote, people, caller, signed=signed):
        raise found
    if vote.on_behalf_of and not queues_of(vote, people, now_us):
        raise _not_lent(vote)
    cast = [each for each in approval.votes if each.request_digest == approval.request_digest]
    # A lent vote that no longer counts does not keep its lender from voting.
    over = [
        each for each in cast if each.on_behalf_of and objection(approval, each, people, caller)
    ]
    if any(
        each.person == vote.person or (each not in over and _same_voter(each, vote, people))
        for each in cast
    ):
        raise ApprovalError(
            f"`{shown(vote.person)}` has voted on action `{approval.action}` already",
            code="already_voted",
            help="one person votes once on an action; another person has to",
        )


def hindrance(
    approval: Approval,
    person: Person,
    people: People,
    caller: Caller,
    now_us: int,
    *,
    on_behalf_of: str = "",
) -> ApprovalError | None:
    """Say why a person could not vote for the request now, or None if they could."""
    vote = Vote(
        action=approval.action,
        person=person.name,
        choice="approve",
        request_digest=approval.request_digest,
        reason="",
        cast_at_us=now_us,
        signature="",
        on_behalf_of=on_behalf_of,
    )
    try:
        check_vote(approval, vote, people, caller, now_us, signed=False)
    except ApprovalError as fault:
        return fault
    return None


def evidence(
    approval: Approval | None,
    digest: str,
    people: People,
    caller: Caller,
    now_us: int,
    *,
    ahead: Ahead = NOBODY,
) -> tuple[str, ...]:
    """Name the rules that valid votes satisfy now, in order; none after expiry or a denial.

    Counted are the signed votes over exactly `digest` of distinct, enabled people who are
    approvers for the rule's queue and are not the requester, each for one rule at most. `ahead`
    are the people who signed ahead, each with the rules for which that counts.
    """
    if approval is None or approval.state not in ("open", "granted"):
        return ()
    if _expired(approval, now_us) or denied(approval, digest, people, caller) is not None:
        return ()
    given = tally(approval, digest, people, caller, ahead=ahead)
    waiting = {ask.rule for ask, voters in given if not satisfied(ask, voters)}
    return tuple(dict.fromkeys(ask.rule for ask, _ in given if ask.rule not in waiting))


def denied(approval: Approval | None, digest: str, people: People, caller: Caller) -> Vote | None:
    """Give the first valid vote that denies the request, if there is one: one is enough."""
    votes = _valid(approval, digest, people, caller)
    return next((vote for vote in votes if vote.choice == "deny"), None)


def tally(
    approval: Approval | None,
    digest: str,
    people: People,
    caller: Caller,
    *,
    ahead: Ahead = NOBODY,
) -> tuple[tuple[Ask, tuple[str, ...]], ...]:
    """Give each asking rule with the people whose approval counts for it, given now or ahead."""
    asks = approval.asks if approval else ()
    votes = [vote for vote in _valid(approval, digest, people, caller) if vote.choice == "approve"]
    group_of = _groups(votes, people)
    voters: dict[str, set[str]] = {}
    seen: dict[str, str] = {}
    for vote in sorted(votes, key=lambda vote: vote.person):
        # Two accounts with one key are one person; so are who lends a vote and who casts it.
        if seen.setdefault(group_of(vote.person), vote.person) == vote.person:
            queues = queues_of(vote, people, vote.cast_at_us)
            voters[vote.person] = set(_rules(approval, queues))
    for name in sorted(ahead):
        if seen.setdefault(group_of(name), name) == name and name not in voters:
            voters[name] = set(ahead[name])
    return assign(asks, voters)


def _rules(approval: Approval | None, queues: frozenset[str]) -> Iterator[str]:
    """The asking rules that people of some queues may vote for, as it was escalated."""
    for ask in approval.asks if approval else ():
        if approval and not queues.isdisjoint(approval.serving(ask)):
            yield ask.rule


def approvers(approval: Approval, people: People, caller: Caller) -> frozenset[str]:
    """Name the people who approve the request by a valid vote of their own."""
    votes = _valid(approval, approval.request_digest, people, caller)
    return frozenset(vote.person for vote in votes if vote.choice == "approve")


def objection(
    approval: Approval, vote: Vote, people: People, caller: Caller, *, signed: bool = True
) -> ApprovalError | None:
    """Say why a vote cannot count on this request, or None if it can.

    Without `signed` its signature is not looked at.

    Codes: vote_stale, vote_late, voter_unknown, voter_disabled, delegation_missing,
    voter_not_entitled, voter_is_requester, vote_unsigned.
    """
    name = shown(vote.person)
    if vote.action != approval.action or vote.request_digest != approval.request_digest:
        return ApprovalError(
            f"the vote of `{name}` is about another request",
            code="vote_stale",
            help="open the request as it is now and vote on that",
        )
    if vote.cast_at_us >= approval.expires_at_us:
        return ApprovalError(f"the vote of `{name}` came after the end", code="vote_late")
    person = people.get(vote.person)
    if person is None or (person.name, person.tenant) != (vote.person, approval.tenant):
        return ApprovalError(f"there is no account `{name}`", code="voter_unknown")
    if not person.enabled:
        return ApprovalError(f"the account `{name}` is disabled", code="voter_disabled")
    queues = sorted({queue for ask in approval.asks for queue in approval.serving(ask)})
    serves = queues_of(vote, people, vote.cast_at_us)
    if vote.on_behalf_of and not serves:
        return _not_lent(vote)
    if "approver" not in person.roles or serves.isdisjoint(queues):
        return ApprovalError(
            f"`{name}` is not an approver for `{', '.join(queues)}`",
            code="voter_not_entitled",
            help="a person who is an approver for one of these queues has to vote",
        )
    voices = [people[each] for each in (vote.person, vote.on_behalf_of) if each]
    if any(is_requester(each, people, caller) for each in voices):
        return ApprovalError(
            f"`{name}` is who asks, or votes for who asks, and may not vote on it",
            code="voter_is_requester",
            help="another person has to vote",
        )
    if signed and not _signed(vote, person):
        return ApprovalError(
            f"the vote of `{name}` has no valid signature",
            code="vote_unsigned",
            help="votes are signed with the voter's own key; log in and vote again",
        )
    return None


def is_requester(person: Person, people: People, caller: Caller) -> bool:
    """Say whether the person asks: as subject, in the delegation chain, or by another account.

    Names are compared without regard to case; two accounts with one key are one person.
    """
    asking = {name.casefold() for name in (caller.subject, caller.agent, *caller.actors)}
    keys = {each.public_key for each in people.values() if each.name.casefold() in asking}
    return person.name.casefold() in asking or person.public_key in keys


def _valid(
    approval: Approval | None, digest: str, people: People, caller: Caller
) -> tuple[Vote, ...]:
    if approval is None or approval.request_digest != digest:
        return ()
    return tuple(
        vote for vote in approval.votes if objection(approval, vote, people, caller) is None
    )


def _expired(approval: Approval, now_us: int) -> bool:
    return now_us >= approval.expires_at_us


def _same_voter(one: Vote, other: Vote, people: People) -> bool:
    """Whether two votes are one person's: cast by, or lent by, the same one."""
    first, second = _voices(one, people), _voices(other, people)
    return not first.isdisjoint(second)


def _voices(vote: Vote, people: People) -> set[str]:
    """The keys of who casts a vote and of whose it is."""
    named = (people.get(name) for name in (vote.person, vote.on_behalf_of) if name)
    return {person.public_key for person in named if person is not None}


def _groups(votes: Sequence[Vote], people: People) -> Callable[[str], str]:
    """Tell of each name which person it stands for, as one key of all that are the same."""
    joined: dict[str, str] = {}

    def find(key: str) -> str:
        while key in joined:
            key = joined[key]
        return key

    for vote in votes:
        first, *rest = (find(key) for key in sorted(_voices(vote, people)))
        for key in rest:
            if key != first:
                joined[key] = first
    return lambda name: find(people[name].public_key)


def _not_lent(vote: Vote) -> ApprovalError:
    lender = shown(vote.on_behalf_of)
    return ApprovalError(
        f"`{lender}` has not lent `{shown(vote.person)}` a vote for this moment",
        code="delegation_missing",
        help="see `bailiwick delegation list`; only its own person lends a vote",
    )


def _signed(vote: Vote, person: Person) -> bool:
    try:
        return is_signed(person, vote.signature, vote_statement(vote))
    except BadInput:
        return False
