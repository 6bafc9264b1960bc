"""Erasing payloads, because somebody says so or because their time is over.

Payload and salt lie in one ciphertext and go together; when nothing of a run is left its key goes
too. What is parked, in flight or in doubt may still be needed: its run is left alone, as is what
is under a legal hold. The records stay, and their commitments, which nobody can open any more.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bailiwick import ledger
from bailiwick.errors import BailiwickError
from bailiwick.ledger import records
from bailiwick.nouns import RETENTION_DAYS, Action, Erasure, LegalHold, Listed, Manifest
from bailiwick.ports import ControlState, World
from bailiwick.transactions import (
    Commit,
    Committed,
    DropRunKey,
    EpochIs,
    Erase,
    Op,
    PutRound,
    RaiseEpoch,
    RunIsClosed,
)

TOGETHER = 500

_ROUND = "retention"
_RUNS = 1000
_DAY_US = 86_400_000_000
_PAUSE_US = 3_600_000_000
_LEASE_US = 60_000_000
_UNSETTLED: tuple[Listed, ...] = ("parked", "intended", "unknown", "contradicted")


class Overdue(NamedTuple):
    """A run whose time is over in part: what is `open` in it keeps these `actions` from erasure.

    They are those that have been due since `since_us`, and at most 500.
    """

    run: str
    open: Sequence[str]
    actions: Sequence[str]
    since_us: int


def holding(control: ControlState, action: Action) -> LegalHold | None:
    """The legal hold that an action is under, on its run or on its subject."""
    own = {"run": action.run, "subject": action.subject}
    return next((hold for hold in control.holds if own.get(hold.kind) == hold.target), None)


async def unsettled(world: World, tenant: str) -> dict[str, list[str]]:
    """The runs in which something is parked, in flight or in doubt, each with those actions."""
    found: dict[str, list[str]] = defaultdict(list)
    before = None
    while page := await world.register.actions(tenant, _UNSETTLED, TOGETHER, before):
        for action in page:
            found[action.run].append(action.id)
        before = page[-1].id
    return found


async def erasing(
    world: World, tenant: str, actions: Sequence[Action], erasure: Erasure
) -> tuple[Op, ...]:
    """The operations that erase so many actions, and drop the keys of runs that are empty then."""
    chosen: dict[str, set[str]] = defaultdict(set)
    for action in actions:
        chosen[action.run].add(action.id)
    ops: list[Op] = [RunIsClosed(run=run) for run in chosen]
    ops += (Erase(action=_erased(action, erasure)) for action in actions)
    for run, ids in chosen.items():
        kept = await world.keeping.kept(tenant, run, "", len(ids) + 1)
        if {action.id for action in kept} <= ids:
            ops.append(DropRunKey(run=run))
    return tuple(ops)


def dropped(ops: Iterable[Op]) -> list[str]:
    """The runs whose keys the operations drop."""
    return [op.run for op in ops if isinstance(op, DropRunKey)]


async def retain(world: World, tenant: str) -> int:
    """Erase the next of what has been kept long enough; give how many actions' payloads went.

    A round goes through the runs by name, so many at a time, and begins again an hour after its
    end. Two processes never make the same step: each is claimed for a minute.
    """
    before = await world.keeping.round(tenant, _ROUND, _LEASE_US)
    if before is None:
        return 0
    control = await world.store.control(tenant)
    now_us = await world.store.now_us()
    if (manifests := await _manifests(world, control)) is None:
        return 0  # everything is kept, and looked at again
    runs = [run for run, _ in await world.due.run_keys(tenant, before, _RUNS)]
    busy = await unsettled(world, tenant) if runs else {}
    settled = [run for run in runs if run not in busy]
    due: list[Action] = []
    reached = runs[-1] if runs else ""
    for at, run in enumerate(settled):
        due += await _due(world, control, manifests, run, now_us=now_us, most=TOGETHER - len(due))
        if len(due) == TOGETHER:
            reached = settled[at - 1] if at else before  # the rest of the run comes next
            break
    is_over = len(runs) < _RUNS and len(due) < TOGETHER
    later = PutRound(
        name=_ROUND,
        reached="" if is_over else reached,
        due_at_us=now_us + _PAUSE_US if is_over else 0,
    )
    return await _committed(world, control, due, later, before=before, now_us=now_us)


async def overdue(world: World, tenant: str) -> list[Overdue]:
    """The runs that retention has to leave alone though their time is over, the oldest first.

    A legal hold is no such reason: who placed it wants it so. Nothing is told while the active
    release cannot be read.
    """
    control = await world.store.control(tenant)
    now_us = await world.store.now_us()
    if (manifests := await _manifests(world, control)) is None:
        return []
    found: list[Overdue] = []
    for run, open in (await unsettled(world, tenant)).items():
        due = await _due(world, control, manifests, run, now_us=now_us, most=TOGETHER)
        if due:
            since_us = min(_over_at_us(manifests, action) for action in due)
            found.append(Overdue(run, sorted(open), [each.id for each in due], since_us))
    return sorted(found, key=lambda each: each.since_us)


async def _manifests(world: World, control: ControlState) -> Mapping[str, Manifest] | None:
    """What the active release says of its agents; None if it cannot be read."""
    try:
        return (await world.bundle(control.tenant, control.release)).manifests
    except BailiwickError:
        return None


def _over_at_us(manifests: Mapping[str, Manifest], action: Action) -> int:
    """When the time of an action's payloads is over."""
    manifest = manifests.get(action.agent)
    days = manifest.retention_days if manifest else RETENTION_DAYS
    return action.updated_at_us + days * _DAY_US


async def _due(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    run: str,
    *,
    now_us: int,
    most: int,
) -> list[Action]:
    """At most so many of a run's actions whose time is over, and which nobody holds."""
    found: list[Action] = []
    after = ""
    while page := await world.keeping.kept(control.tenant, run, after, TOGETHER):
        for action in page:
            if _over_at_us(manifests, action) <= now_us and holding(control, action) is None:
                found.append(action)
            if len(found) == most:
                return found
        after = page[-1].id
    return found


async def _committed(
    world: World,
    control: ControlState,
    due: Sequence[Action],
    later: PutRound,
    *,
    before: str,
    now_us: int,
) -> int:
    """Erase under a new epoch, with one record of how much; where the round got stands with it."""
    if not due:
        await world.store.commit(Commit(tenant=control.tenant, ops=(later,)))
        return 0
    epoch = max(control.epoch, 1) + 1
    erasure = Erasure(at_us=now_us, by="", reason="retention", epoch=epoch)
    ops = await erasing(world, control.tenant, due, erasure)
    fields = records.control(
        tenant=control.tenant,
        at_us=now_us,
        epoch=epoch,
        change="retention",
        scope=None,
        target=f"actions:{len(due)}/run-keys:{len(dropped(ops))}",
        by=(),
        reason_commitment=None,
    )
    record = ledger.append("control", None, fields)
    whole = (EpochIs(epoch=control.epoch), RaiseEpoch(), *ops, later, record)
    done = await world.store.commit(Commit(tenant=control.tenant, ops=whole))
    if not isinstance(done, Committed):
        # Something moved: the step is taken again, by whoever ticks next.
        again = PutRound(name=_ROUND, reached=before, due_at_us=0)
        await world.store.commit(Commit(tenant=control.tenant, ops=(again,)))
        return 0
    for run in dropped(ops):
        world.vault.forget(control.tenant, run)
    return len(due)


def _erased(action: Action, erasure: Erasure) -> Action:
    """The action without what was said; a message may quote an argument."""
    return replace(action, version=action.version + 1, message="", erased=erasure)


def chunks(actions: Sequence[Action]) -> Iterator[Sequence[Action]]:
    """So many at a time as one transaction erases."""
    for at in range(0, len(actions), TOGETHER):
        yield actions[at : at + TOGETHER]
