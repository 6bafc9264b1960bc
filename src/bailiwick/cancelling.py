"""An agent takes back what it asked for, while people still think about it.

Only a parked action can be cancelled, and only by its owner: the same tenant, agent and subject. It
ends as `refused` with the code `cancelled`, which frees its name and its effect key; the request to
people is withdrawn in the same commit, so that no vote counts after it. A person's no that came
first stands.
"""

from bailiwick import cases, identity, ledger, store
from bailiwick.nouns import Action, Caller, Outcome, Refusal, Wake
from bailiwick.ports import World
from bailiwick.values import shown

_CANCELLED = Refusal(
    step=7,
    code="cancelled",
    message="the agent took it back before people had decided",
    help="propose it again if it is wanted after all",
)
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
            return cases.refused(_unknown(id))
        resource = action.resource
        if within and resource and not identity.covers(within, action.tool, resource):
            return cases.refused(identity.not_granted(action.tool, resource))
        if action.state != "parked":
            return cases.refused(_not_parked(action, f"is {action.state}"))
        now_us = await world.store.now_us()
        case = await cases.reopen(world, control, Wake(tenant=tenant, action=id), now_us)
        if isinstance(case, Outcome) or case.action.state != "parked":
            continue
        if case.no is not None and case.no.code in _DECIDED:
            return cases.refused(_not_parked(action, f"was decided: {case.no.message}"))
        entries = await ledger.refused(world, case, _CANCELLED)
        written = await store.refuse(world, case, _CANCELLED, entries)
        outcome = await cases.answer(world, written, _CANCELLED)
        if outcome is not None:
            return outcome
    return cases.contended()


def _unknown(id: str) -> Refusal:
    return Refusal(
        step=2,
        code="action_unknown",
        message=f"this agent and subject have no action `{shown(id)}`",
        help="cancel by the id that the parked outcome gave, as the same agent and subject",
    )


def _not_parked(action: Action, how: str) -> Refusal:
    return Refusal(
        step=7,
        code="not_parked",
        message=f"action `{action.id}` {how}; only what waits for people can be cancelled",
        help="ask for its outcome",
        details={"action": action.id, "state": action.state},
    )
