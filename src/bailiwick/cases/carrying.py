"""What the spine asks the organs for a case: reads, rules, the send, the look afterwards."""

import asyncio
from collections.abc import Mapping
from functools import partial

from bailiwick import execution, ledger, limits, telemetry, verification
from bailiwick.nouns import (
    Action,
    EffectReport,
    Refusal,
    Verification,
    mode_of,
)
from bailiwick.ports import Case, Question, World
from bailiwick.transactions import Commit, Committed, EpochIs, MarkBreaker
from bailiwick.values import JSON

_LOOK_AGAIN_S = 0.25


async def started(world: World, case: Case) -> tuple[int, int] | None:
    """When the run began and how long it was parked, until now too, if it has only so long."""
    if case.manifest.max_runtime_seconds is None:
        return None
    run = await world.shelf.run(case.caller.tenant, case.action.run)
    if run is None:
        return None
    parked_us = run.parked_us
    if case.action.state == "parked":
        # As `AddParked` will count it: waits that overlap count once.
        begun_us = max(case.action.created_at_us, run.parked_until_us)
        parked_us += max(0, await world.store.now_us() - begun_us)
    return run.started_at_us, parked_us


async def read_before(
    world: World, case: Case, arguments: Mapping[str, JSON]
) -> Mapping[str, JSON] | Refusal:
    """Step 4's reads: what the tool wants to know of the world before it is decided."""
    case.carried = await _carried(world, case)
    before: dict[str, JSON] = {}
    for name, reader in case.tool.before.items():
        names = {"args": arguments, "before": before, "action": execution.action_names(case.action)}
        seen = await execution.read(world, case.bundle, case.tool, reader, names)
        if isinstance(seen, Refusal):
            return seen
        before[name] = seen
    return before


async def _carried(world: World, case: Case) -> frozenset[str]:
    """The classes of the data that the run was shown, or the run of what is undone by it.

    They are read only where a rule looks at them; what is shown is written down in any case.
    """
    if not case.bundle.policies.reads_data_classes:
        return frozenset()
    tenant, runs = case.caller.tenant, {case.action.run}
    if case.action.undoes:
        undone = await world.store.action(tenant, case.action.undoes)
        runs.update({undone.run} if undone else ())
    rows = [await world.shelf.run(tenant, run) for run in sorted(runs)]
    return frozenset().union(*(row.classes for row in rows if row is not None))


def question(case: Case) -> Question:
    """What the policy is asked about the case, with the evidence so far."""
    assert case.situation is not None
    return Question(
        caller=case.caller,
        tool=case.tool.name,
        situation=case.situation,
        over=case.price.over,
        evidence=tuple(case.evidence),
        now_us=case.now_us,
        sources=case.proposal.sources,
        mode=case.mode,
        data_classes=tuple(sorted(case.carried.union(case.situation.data_classes))),
    )


async def execute(world: World, case: Case) -> EffectReport:
    """Step 9: do it, under the control epoch that it was judged by."""
    assert case.situation is not None
    return await execution.execute(
        world,
        case.bundle,
        case.action,
        case.tool,
        case.situation.arguments,
        before=case.situation.before,
        epoch=case.control.epoch,
    )


def can_be_looked_up(case: Case, effect: EffectReport) -> bool:
    """Whether recovery can still find out what became of a send in doubt: by reader or by key."""
    tool = case.tool
    asked = tool.find is not None or tool.key_retention_s is not None
    return effect.status == "unknown" and tool.effect == "write" and asked


async def reconcile(world: World, case: Case) -> EffectReport | None:
    """Step 9 after a crash: find out what became of it. None: it is too early to say."""
    assert case.situation is not None
    return await execution.reconcile(
        world,
        case.bundle,
        case.action,
        case.tool,
        case.situation.arguments,
        before=case.situation.before,
        now_us=case.now_us,
    )


async def verify(world: World, case: Case, effect: EffectReport) -> Verification | None:
    """Step 10: look until the expectation holds, or the write must have settled."""
    tool, action = case.tool, case.action
    if tool.effect == "read" or effect.status != "done":
        return None
    assert case.situation is not None
    names: dict[str, JSON] = {
        "args": case.situation.arguments,
        "before": case.situation.before,
        "action": execution.action_names(action),
        "result": effect.result,
    }
    began_us = action.intended_at_us or action.created_at_us
    # The last send has just ended, if one was made; before a crash it ended by the deadline.
    sent_us = await world.store.now_us() if effect.sends else action.deadline_at_us or began_us
    settled_at_us = sent_us + int(tool.settles_within_s * 1_000_000)
    while True:
        left_us = settled_at_us - await world.store.now_us()
        after: JSON | Refusal = None
        if tool.reader is not None:
            after = await execution.read(world, case.bundle, tool, tool.reader, names, step=10)
        look = partial(verification.judge, case.bundle.catalogue, tool, names, effect, after=after)
        verified = look(touched=(), settled=left_us <= 0)
        if verified.verdict == "contradicted" and action.resource is not None:
            # Before anybody is accused: did another governed write touch the same resource?
            since = await world.shelf.touched_since(action.tenant, action.resource, began_us)
            verified = look(touched=since, settled=True)
        if tool.reader is None or verified.verdict != "unverifiable" or left_us <= 0:
            return verified
        await asyncio.sleep(min(left_us / 1_000_000, _LOOK_AGAIN_S))


async def breaker_marks(
    world: World, case: Case, effect: EffectReport, verified: Verification | None
) -> tuple[MarkBreaker, ...]:
    """What the outcome does to the breakers; a success says something only after a failure."""
    marks = limits.breaker_mark(world.settings, case.tool, effect, verified)
    tenant = case.action.tenant
    told = [
        mark
        for mark in marks
        if mark.failed or await world.shelf.breaker(tenant, mark.target) is not None
    ]
    return (*told, *limits.outcome_mark(case.manifest, case.tool, effect, verified))


async def degrade(world: World, action: Action, case: Case) -> None:
    """Put the agent back to reading with a tool that went wrong too often: a change by nobody.

    The outcome is written by now. If this cannot be, the next bad outcome does it.
    """
    if case.manifest.max_error_ppm is None:
        return
    newest = await world.shelf.breaker(action.tenant, limits.outcomes_of(action.agent, action.tool))
    setting = limits.degraded(case.manifest, case.tool, newest, await world.store.now_us())
    while setting is not None:
        control = await world.store.control(action.tenant)
        set_to = mode_of(action.tool, (action.agent,), settings=control.modes)
        if not limits.is_tighter(setting.mode, set_to):
            return
        record = ledger.mode_set(action.tenant, setting, control.epoch + 1)
        ops = (EpochIs(epoch=control.epoch), *limits.mode_ops(setting), record)
        if isinstance(await world.store.commit(Commit(tenant=action.tenant, ops=ops)), Committed):
            telemetry.changed(world, (record,))
            return
