"""Weighing: the request as it stands today, and what the votes cast so far say of it."""

from bailiwick.approval.request import request
from bailiwick.approval.votes import denied, evidence, tally
from bailiwick.nouns import Refusal
from bailiwick.ports import Case, World
from bailiwick.values import shown


async def weigh(world: World, case: Case) -> Refusal | None:
    """Set the case's request to people, and as evidence the rules that their votes satisfy.

    Votes on another digest (a changed rule, value or pre-state) say nothing about this request.
    A valid denial, or the end of the request's time, refuses: no answer in time is a denial.
    """
    assert case.situation is not None
    assert case.decision is not None
    action = case.action
    park_until_us = action.park_until_us or case.now_us + world.settings.park_seconds * 1_000_000
    case.evidence = {}
    case.approval = request(
        action,
        case.situation,
        case.decision,
        case.tool,
        now_us=case.now_us,
        park_until_us=park_until_us,
    )
    if case.now_us >= park_until_us:
        return Refusal(
            step=7,
            code="approval_expired",
            message="nobody approved it in time, and no answer is a denial",
            help="propose it again if it is still wanted",
        )
    kept = await world.shelf.approval(action.tenant, action.id) if case.stored else None
    if kept is None or kept.request_digest != case.approval.request_digest:
        return None
    case.approval = kept
    people = {person.name: person for person in await world.register.people(action.tenant)}
    digest = kept.request_digest
    no = denied(kept, digest, people, case.caller)
    # A denial that has closed the request stands, even if its voter has lost the account since.
    if no is not None or kept.state == "denied":
        said = f"`{shown(no.person)}` denied it: {shown(no.reason)}" if no else "it was denied"
        return Refusal(
            step=7,
            code="denied_by_people",
            message=said,
            help="the same call gets the same answer; change the request, or ask the person",
        )
    given = evidence(kept, digest, people, case.caller, case.now_us)
    counted = tally(kept, digest, people, case.caller)
    case.evidence = {ask.rule: names for ask, names in counted if ask.rule in given}
    return None
