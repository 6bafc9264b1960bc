"""The spine's transactions, as data: refuse, park, intend (step 8), conclude (step 11), resolve."""

from typing import Literal

from msgspec.structs import replace

from bailiwick import announcing
from bailiwick.nouns import (
    Action,
    Decision,
    EffectReport,
    MatchedRule,
    Refusal,
    State,
    Verification,
)
from bailiwick.ports import Case, World
from bailiwick.transactions import (
    AddParked,
    Blocked,
    Carry,
    Claim,
    CloseApproval,
    Commit,
    Entries,
    EpochIs,
    Free,
    InsertAction,
    MoveAction,
    Op,
    OpenApproval,
    Settle,
    Take,
    UseMandate,
)

# Between the end of settling and the end of the lease there is room to read back, twice at worst.
_LEASE_MARGIN_US = 2_000_000


async def refuse(world: World, case: Case, no: Refusal, entries: Entries) -> Action | Blocked:
    """Write a no. A parked action gives up what it claimed; people's no stays under its name.

    What its agent cancelled frees the name, unless a person's no is there by now.
    """
    cancelled = no.code == "cancelled"
    state: State = "denied" if no.step == 7 and not cancelled else "refused"
    action = replace(
        case.action,
        state=state,
        step=no.step,
        code=no.code,
        message=no.message,
        decision=_kept(case.decision) or _earlier(case.action),
        resource=case.situation.resource if case.situation else case.action.resource,
        release=case.control.release or "",
        park_until_us=None,
        lease_until_us=None,
        updated_at_us=case.now_us,
        timings_us=tuple(case.steps_us),
    )
    # A parked action may always end, but for want of room: then it waits for that.
    room = not case.stored or no.code == "disk_low"
    guard = EpochIs(epoch=case.control.epoch, room=room)
    ops: tuple[Op, ...] = (guard, *entries.ops)
    if case.stored:
        closed = {"denied": "denied", "refused": "withdrawn"}[state]
        standing = ("open", "granted") if cancelled else ("open", "granted", "denied")
        ops = (
            guard,
            *_freed(action),
            AddParked(run=action.run, since_us=action.created_at_us),
            CloseApproval(action=action.id, expect=standing, state=closed),
            *entries.ops,
        )
        asks = case.action.decision.asks if case.action.decision else ()
        ops += announcing.decided(world.settings, action, asks, no.code, case.now_us)
    return await _commit(world, case, action, ops)


async def park(world: World, case: Case, entries: Entries) -> Action | Blocked:
    """Write that the action waits for people; nothing waits in memory."""
    approval, situation = case.approval, case.situation
    assert approval is not None
    assert situation is not None
    action = replace(
        case.action,
        state="parked",
        step=7,
        code="approval_required",
        message="people are asked; the action waits for their votes",
        decision=_kept(case.decision),
        resource=situation.resource,
        effect_key=situation.effect_key,
        release=case.control.release or "",
        park_until_us=approval.expires_at_us,
        lease_until_us=None,
        updated_at_us=case.now_us,
        timings_us=tuple(case.steps_us),
    )
    ops: tuple[Op, ...] = (EpochIs(epoch=case.control.epoch, room=True), *entries.ops)
    ops = (*ops, *_claimed(case, situation.effect_key), OpenApproval(approval=approval))
    if approval.requested_at_us == case.now_us:  # it is a new request, not one that still waits
        levels, facts = case.bundle.queues, situation.facts
        ops += announcing.asked(world.settings, action, approval, levels, facts)
    return await _commit(world, case, action, ops)


def prepare(world: World, case: Case) -> None:
    """Give the action what its intent will say: the decision, the deadline, the lease."""
    situation, tool = case.situation, case.tool
    assert situation is not None
    deadline_at_us = case.now_us + int(tool.timeout_s * 1_000_000)
    settled_at_us = deadline_at_us + int(tool.settles_within_s * 1_000_000)
    case.action = replace(
        case.action,
        decision=_kept(case.decision),
        resource=situation.resource,
        release=case.control.release or "",
        deadline_at_us=deadline_at_us,
        ahead=_names(case),
        lease_owner=world.owner,
        lease_until_us=settled_at_us + _reading_us(case) + _LEASE_MARGIN_US,
        intended_at_us=case.now_us,
        updated_at_us=case.now_us,
    )


async def intend(world: World, case: Case, entries: Entries) -> Action | Blocked:
    """Commit to doing it: epoch, holds, approval, state, effect key, arguments and record."""
    key = case.situation.effect_key if case.situation else None
    action = replace(
        case.action,
        state="intended",
        step=8,
        code="",
        message="",
        effect_key=key,
        intent_hash=entries.hash,
    )
    ops: list[Op] = [EpochIs(epoch=case.control.epoch, room=True)]
    if case.price.holds:
        ops.append(Take(action=action.id, holds=case.price.holds, lift=case.price.over))
    ops += _claimed(case, key)
    ops += _used(case)
    if case.stored:
        waited = AddParked(run=action.run, since_us=action.created_at_us)
        consumed = CloseApproval(action=action.id, expect=("open", "granted"), state="consumed")
        ops += (waited, consumed)
    return await _commit(world, case, action, (*ops, *entries.ops))


async def conclude(
    world: World,
    case: Case,
    report: EffectReport,
    verification: Verification | None,
    writes: tuple[Op, ...],
) -> Action | Blocked:
    """Commit the outcome, the settled hold and the record; an uncertain one keeps its hold."""
    verdict = verification.verdict if verification else None
    now_us = await world.store.now_us()
    action = replace(
        case.action,
        state=report.status,
        step=11,
        code=report.code,
        # What a provider said is a payload: it is in the vault, with the result.
        message=verification.reason if verification else "",
        verdict=verdict,
        cost_micro_usd=case.tool.cost_micro_usd if report.status != "failed" else 0,
        lease_until_us=None,
        updated_at_us=now_us,
        timings_us=tuple(case.steps_us),
    )
    ops: list[Op] = [*writes]
    if case.tool.effect == "read":
        ops = [
            EpochIs(epoch=case.control.epoch, room=True),
            Take(action=action.id, holds=case.price.holds, lift=case.price.over),
            *_used(case),
            *ops,
        ]
        decision, release = _kept(case.decision), case.control.release or ""
        action = replace(
            action, resource=None, ahead=_names(case), decision=decision, release=release
        )
        if case.stored:
            waited = AddParked(run=action.run, since_us=action.created_at_us)
            consumed = CloseApproval(action=action.id, expect=("open", "granted"), state="consumed")
            ops += (waited, consumed)
    if report.status == "failed":
        # Certainly not done: the money was never at stake, but a call was made.
        spent = {hold.cap.unit: 0 for hold in case.price.holds if hold.cap.unit != "calls"}
        ops += (Settle(action=action.id, spent=spent), *_freed(action))
    elif report.status == "done" and verdict != "contradicted":
        ops.append(Settle(action=action.id))
    if case.tool.data_classes:
        # Before anybody is told: whatever the run proposes after that is judged by it.
        ops.append(Carry(run=action.run, classes=case.tool.data_classes))
    return await _commit(world, case, action, tuple(ops))


def _kept(decision: Decision | None) -> Decision | None:
    if decision is None:
        return None
    rules = tuple(MatchedRule(id=rule.id, effect=rule.effect) for rule in decision.rules)
    return replace(decision, rules=rules)


def _earlier(action: Action) -> Decision | None:
    """The decision of an action that is refused without another one, with the release it was of."""
    decision = action.decision
    return replace(decision, release=decision.release or action.release) if decision else None


def _reading_us(case: Case) -> int:
    """How long reading back may take: one look begun before the write settled, and one after."""
    reader = case.tool.reader
    tools = case.bundle.catalogue.tools
    if reader is None or reader.tool not in tools:
        return 0
    return 2 * int(tools[reader.tool].timeout_s * 1_000_000)


def undoing_key(action: str) -> str:
    """The effect key of taking an action back; no tool's own can be it, for its first character."""
    return f"\x1fundo:{action}"


def _claimed(case: Case, key: str | None) -> tuple[Op, ...]:
    """Claim the keys of today's situation; what was claimed before it moved is given up."""
    ops: tuple[Op, ...] = () if case.action.effect_key == key else _freed(case.action)
    claims = (Claim(key=each, action=case.action.id) for each in _keys(case.action, key))
    return (*ops, *claims)


def _used(case: Case) -> tuple[Op, ...]:
    """What the action draws on that people signed ahead: none of it has run out by now."""
    return tuple(
        UseMandate(mandate=each.id, action=case.action.id, until_us=each.until_us)
        for each in case.ahead
    )


def _names(case: Case) -> tuple[str, ...]:
    return tuple(each.id for each in case.ahead)


def _freed(action: Action) -> tuple[Op, ...]:
    return tuple(Free(key=key, action=action.id) for key in _keys(action, action.effect_key))


def _keys(action: Action, effect_key: str | None) -> tuple[str, ...]:
    """What an action claims: its tool's effect key, and that it takes another action back."""
    undoing = undoing_key(action.undoes) if action.undoes else None
    return tuple(key for key in (effect_key, undoing) if key is not None)


async def resolve(
    world: World,
    action: Action,
    status: Literal["done", "failed"],
    units: tuple[str, ...],
    writes: tuple[Op, ...],
) -> Action | Blocked:
    """Commit what people found out about an outcome in doubt; `units` are those of its holds.

    What was done is spent as held; what was not gives back all but the calls, and its effect key.
    """
    resolved = replace(
        action,
        state=status,
        version=action.version + 1,
        verdict=None,
        code="resolved",
        message=f"a person found out that it is {status}",
        cost_micro_usd=action.cost_micro_usd if status == "done" else 0,
        updated_at_us=await world.store.now_us(),
    )
    ops: tuple[Op, ...] = (*writes, Settle(action=action.id))
    if status == "failed":
        spent = {unit: 0 for unit in units if unit != "calls"}
        ops = (*writes, Settle(action=action.id, spent=spent), *_freed(action))
    row = MoveAction(action=resolved)
    result = await world.store.commit(Commit(tenant=action.tenant, ops=(*ops, row)))
    return result if isinstance(result, Blocked) else resolved


async def _commit(
    world: World, case: Case, action: Action, ops: tuple[Op, ...]
) -> Action | Blocked:
    """Commit with the action's own row: inserted if it is new, else moved by one version."""
    row: Op
    if case.stored:
        action = replace(action, version=action.version + 1)
        row = MoveAction(action=action)
    else:
        row = InsertAction(action=action)
    result = await world.store.commit(Commit(tenant=action.tenant, ops=(*ops, row)))
    if isinstance(result, Blocked):
        if result.code == "run_key_moved":
            world.vault.forget(action.tenant, action.run)
        return result
    case.action, case.stored = action, True
    return action
