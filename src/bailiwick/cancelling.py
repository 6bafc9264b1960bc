"""An agent takes back what it asked for, while people still think about it.

Only a parked action can be cancelled, and only by its owner: the same tenant, agent and subject. It
ends as `refused` with the code `cancelled`, which frees its name and its effect key; the request to
people is withdrawn in the same commit, so that no vote counts after it. A person's no that came
first stands.
"""

from bailiwick import cases, identity, ledger, store
from bailiwick.cases import refusals
from bailiwick.nouns import Caller, Outcome, Wake
from bailiwick.ports import World

_DECIDED = frozenset({"denied_by_people", "approval_expired"})


async def cancel(
    world: World, id: str, *, agent: str, subject: str, within: Caller | None = None
) -> Outcome:
    """Cancel an owner's parked action and give its outcome; every no is an outcome too.

    `within` is whose token must cover the action, if it is asked for with a token. Codes of a no:
    action_unknown, resource_not_granted, not_parked, contended. Raises `StoreUnavailable`.
    """
    tenant = world.settings.tenant
    for _ in range(world.settings.rejudge_limit):
        control = await world.store.control(tenant)
        action = await world.store.action(tenant, id)
        if action is None or (action.agent, action.subject) != (agent, subject):
            return cases.refused(refusals.no_action(id))
        resource = action.resource
        if within and resource and not identity.covers(within, action.tool, resource):
            return cases.refused(identity.not_granted(action.tool, resource))
        if action.state != "parked":
            return cases.refused(refusals.not_parked(action, f"is {action.state}"))
        now_us = await world.store.now_us()
        case = await cases.reopen(world, control, Wake(tenant=tenant, action=id), now_us)
        if isinstance(case, Outcome) or case.action.state != "parked":
            continue
        if case.no is not None and case.no.code in _DECIDED:
            return cases.refused(refusals.not_parked(action, f"was decided: {case.no.message}"))
        entries = await ledger.refused(world, case, refusals.CANCELLED)
        written = await store.refuse(world, case, refusals.CANCELLED, entries)
        outcome = await cases.answer(world, written, refusals.CANCELLED)
        if outcome is not None:
            return outcome
    return cases.contended()
