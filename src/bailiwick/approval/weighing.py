"""Weighing: the request as it stands today, and what the votes cast so far say of it."""

from collections.abc import Sequence

from msgspec.structs import replace

from bailiwick.approval.ahead import broken_for, draws, standing_for, used, voices
from bailiwick.approval.electorate import People, electorate
from bailiwick.approval.request import request
from bailiwick.approval.votes import denied, evidence, tally
from bailiwick.nouns import Action, Approval, Caller, Refusal
from bailiwick.nouns.mandates import StandingApproval
from bailiwick.ports import Case, World
from bailiwick.values import shown


async def closed(world: World, action: Action, now_us: int) -> Refusal | None:
    """The no that a parked action has had already: by people, or because its time is over.

    It stands whatever the rules, the budgets and the pre-state say by now. Otherwise a rule that
    no longer asks would carry out what nobody approved, and a pre-state that moved would take a
    denial back.
    """
    kept = await world.shelf.approval(action.tenant, action.id)
    if kept is not None:
        people = await electorate(world, await world.store.control(action.tenant))
        if (no := _denied(kept, people, action.caller)) is not None:
            return no
    return _expired(action.park_until_us, now_us)


async def weigh(world: World, case: Case) -> Refusal | None:
    """Set the case's request to people, and as evidence the rules that their votes satisfy.

    Votes on another digest (a changed rule, value or pre-state) say nothing about this request.
    A valid denial, or the end of the request's time, refuses: no answer in time is a denial. Where
    votes do not suffice, standing approvals are looked at; what they give is drawn on with the
    intent, as holds.
    """
    assert case.situation is not None
    assert case.decision is not None
    action = case.action
    park_until_us = action.park_until_us or case.now_us + _patience_us(world, case)
    case.evidence = {}
    case.approval = request(
        action,
        case.situation,
        case.decision,
        case.tool,
        now_us=case.now_us,
        park_until_us=park_until_us,
        over=case.price.over,
    )
    if (no := _expired(park_until_us, case.now_us)) is not None:
        return no
    kept = await world.shelf.approval(action.tenant, action.id) if case.stored else None
    if kept is None or kept.request_digest != case.approval.request_digest:
        kept = case.approval
    # Asked again it is open: of what was granted, the evidence may be gone.
    case.approval = replace(kept, state="open")
    if not kept.votes and not case.control.mandates:
        return None
    people = await electorate(world, case.control)
    if (no := _denied(kept, people, case.caller)) is not None:
        return no
    case.evidence = _evidence(kept, people, case)
    open_still = kept.state in ("open", "granted")
    if len(case.evidence) < len(kept.asks) and not case.price.over and open_still:
        await _look_ahead(world, case, kept, people)
    return None


def _patience_us(world: World, case: Case) -> int:
    """How long people have: as the settings say, or less if a queue that is asked has less."""
    assert case.decision is not None
    levels = (case.bundle.queues.get(ask.queue) for ask in case.decision.asks)
    bounds = [level.expire_after_us for level in levels if level and level.expire_after_us]
    return min([world.settings.park_seconds * 1_000_000, *bounds])


async def _look_ahead(world: World, case: Case, kept: Approval, people: People) -> None:
    """Let what was signed ahead make up what votes lack, if with it nothing is lacking.

    An emergency comes last: a broken glass lets pass only what nothing else does. It is no yes to
    a request that is over.
    """
    assert case.situation is not None
    facts = case.situation.facts
    found = await standing_for(
        world,
        case.control.mandates,
        kept.asks,
        people,
        caller=case.caller,
        tool=case.tool.name,
        resource=case.situation.resource,
        facts=facts,
        now_us=case.now_us,
    )
    given = _evidence(kept, people, case, found)
    lacking = [ask.rule for ask in kept.asks if ask.rule not in given]
    broken = broken_for(
        case.control.mandates,
        [ask for ask in kept.asks if ask.rule in lacking],
        people,
        caller=case.caller,
        tool=case.tool.name,
        now_us=case.now_us,
    )
    if len(broken) < len(lacking):
        return
    standing = used(kept, people, case.caller, found, given)
    case.evidence = {**given, **{rule: (glass.person,) for rule, glass in broken.items()}}
    case.ahead = (*standing, *dict.fromkeys(broken.values()))
    holds = [hold for each in standing for hold in draws(each, facts)]
    case.price = replace(case.price, holds=(*holds, *case.price.holds))


def _evidence(
    kept: Approval, people: People, case: Case, found: Sequence[StandingApproval] = ()
) -> dict[str, tuple[str, ...]]:
    digest, ahead = kept.request_digest, voices(found, kept.asks, people)
    given = evidence(kept, digest, people, case.caller, case.now_us, ahead=ahead)
    counted = tally(kept, digest, people, case.caller, ahead=ahead)
    return {ask.rule: names for ask, names in counted if ask.rule in given}


def _denied(kept: Approval, people: People, caller: Caller) -> Refusal | None:
    """The no of people; what closed the request stands, whatever became of its voter."""
    no = denied(kept, kept.request_digest, people, caller)
    if no is None and kept.state != "denied":
        return None
    return Refusal(
        step=7,
        code="denied_by_people",
        message=f"`{shown(no.person)}` denied it: {shown(no.reason)}" if no else "it was denied",
        help="the same call gets the same answer; change the request, or ask the person",
    )


def _expired(park_until_us: int | None, now_us: int) -> Refusal | None:
    if park_until_us is None or now_us < park_until_us:
        return None
    return Refusal(
        step=7,
        code="approval_expired",
        message="nobody approved it in time, and no answer is a denial",
        help="propose it again if it is still wanted",
    )
