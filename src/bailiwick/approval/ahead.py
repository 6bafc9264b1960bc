"""Standing approvals: what people signed ahead, when it covers a call, and what it still has left.

A standing approval counts as its signer's vote for the rules that it names, as long as their text
is the one that was signed: so a quorum is still a number of distinct people. Its count and its sum
are caps of a budget node of its own, which the intent's commit takes like any other. It never lifts
a budget.
"""

from collections.abc import Iterator, Mapping, Sequence

from bailiwick.approval.electorate import People
from bailiwick.approval.statements import is_signed_by
from bailiwick.approval.votes import approvers, is_requester
from bailiwick.nouns import Approval, Ask, Caller, Cap, Hold, Person, Resource, names_tool
from bailiwick.nouns.mandates import BreakGlass, Mandate, StandingApproval
from bailiwick.ports import World
from bailiwick.values import JSON


async def standing_for(
    world: World,
    mandates: Sequence[Mandate],
    asks: Sequence[Ask],
    people: People,
    *,
    caller: Caller,
    tool: str,
    resource: Resource | None,
    facts: Mapping[str, JSON],
    now_us: int,
) -> tuple[StandingApproval, ...]:
    """Give the standing approvals that cover a call for some of the asking rules, with room left.

    The first to run out comes first. Those of people who ask, or may not vote any more, are none.
    """
    found = [
        each.statement
        for each in mandates
        if each.ended_at_us is None
        and isinstance(each.statement, StandingApproval)
        and _covers(each.statement, caller, tool, resource, facts=facts, now_us=now_us)
        and _stands(each.statement, asks, people, caller)
    ]
    usable = []
    for standing in sorted(found, key=lambda each: (each.until_us, each.id)):
        holds = draws(standing, facts)
        balances = await world.shelf.balances(caller.tenant, [hold.cap for hold in holds])
        if all(
            balance.spent + balance.held + hold.amount <= hold.cap.limit
            for hold, balance in zip(holds, balances, strict=True)
        ):
            usable.append(standing)
    return tuple(usable)


def broken_for(
    mandates: Sequence[Mandate],
    asks: Sequence[Ask],
    people: People,
    *,
    caller: Caller,
    tool: str,
    now_us: int,
) -> dict[str, BreakGlass]:
    """Give the asking rules that pass in an emergency, each with the grant by which it does."""
    found: dict[str, BreakGlass] = {}
    for mandate in mandates:
        glass = mandate.statement
        if not isinstance(glass, BreakGlass) or mandate.ended_at_us is not None:
            continue
        person = people.get(glass.person)
        if (
            person is None
            or not person.enabled
            or "responder" not in person.roles
            or (glass.tenant, glass.agent) != (caller.tenant, caller.agent)
            or not names_tool(glass.tool, tool)
            or not glass.from_us <= now_us < glass.until_us
            or is_requester(person, people, caller)
            or not is_signed_by(glass, person)
        ):
            continue
        signed = {(each.rule, each.queue, each.text_hash) for each in glass.rules}
        for ask in asks:
            if (ask.rule, ask.queue, ask.text_hash) in signed:
                found.setdefault(ask.rule, glass)
    return found


def draws(standing: StandingApproval, facts: Mapping[str, JSON]) -> tuple[Hold, ...]:
    """Give what one action takes of a standing approval: one of its count, and of its sum."""
    count = Cap(node=standing.node, unit="calls", limit=standing.max_actions)
    holds = (Hold(cap=count, amount=1),)
    value = facts.get("value")
    if standing.max_value is None or type(value) is not int:
        return holds
    unit = f"value:{standing.currency}"
    cap = Cap(node=standing.node, unit=unit, limit=standing.max_value)
    return (*holds, Hold(cap=cap, amount=value))


def voices(
    found: Sequence[StandingApproval], asks: Sequence[Ask], people: People
) -> dict[str, set[str]]:
    """Give the people who signed ahead, each with the rules for which that counts."""
    voices: dict[str, set[str]] = {}
    for standing in found:
        rules = served(standing, asks, people[standing.person])
        voices.setdefault(standing.person, set()).update(rules)
    return voices


def used(
    approval: Approval,
    people: People,
    caller: Caller,
    found: Sequence[StandingApproval],
    given: Mapping[str, Sequence[str]],
) -> tuple[StandingApproval, ...]:
    """Give the standing approvals that the evidence `given` rests on: where no vote was cast."""
    voted = approvers(approval, people, caller)
    resting = [
        next(
            each
            for each in found
            if each.person == name and rule in served(each, approval.asks, people[name])
        )
        for rule, names in given.items()
        for name in names
        if name not in voted
    ]
    return tuple(dict.fromkeys(resting))


def served(standing: StandingApproval, asks: Sequence[Ask], signer: Person) -> Iterator[str]:
    """Give the asking rules for which it counts: named, unchanged, and in the signer's queues."""
    signed = {(each.rule, each.queue, each.text_hash) for each in standing.rules}
    for ask in asks:
        if (ask.rule, ask.queue, ask.text_hash) in signed and ask.queue in signer.queues:
            yield ask.rule


def _covers(
    standing: StandingApproval,
    caller: Caller,
    tool: str,
    resource: Resource | None,
    *,
    facts: Mapping[str, JSON],
    now_us: int,
) -> bool:
    if (standing.tenant, standing.agent) != (caller.tenant, caller.agent):
        return False
    if not standing.from_us <= now_us < standing.until_us or not names_tool(standing.tool, tool):
        return False
    if resource is None:
        return False
    touched = (f"{resource.type}:{resource.id}", f"{resource.type}:*", "*")
    return standing.resource in touched and _measured(standing, facts)


def _measured(standing: StandingApproval, facts: Mapping[str, JSON]) -> bool:
    """Whether what is at stake can be counted on its sum; what has no value counts nothing."""
    value = facts.get("value")
    if "value" not in facts and "currency" not in facts:
        return True
    if standing.max_value is None or facts.get("currency") != standing.currency:
        return False
    return type(value) is int and value >= 0


def _stands(
    standing: StandingApproval, asks: Sequence[Ask], people: People, caller: Caller
) -> bool:
    person = people.get(standing.person)
    return (
        person is not None
        and person.enabled
        and "approver" in person.roles
        and not is_requester(person, people, caller)
        and any(served(standing, asks, person))
        and is_signed_by(standing, person)
    )
