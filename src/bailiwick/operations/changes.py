"""Control changes: each is one transaction that raises the control epoch and leaves a record.

A change that loosens is proposed by one person and made by another, when there are two who may.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from bailiwick import identity, ledger, limits, telemetry
from bailiwick.errors import ControlError, StoreUnavailable
from bailiwick.ledger import records
from bailiwick.nouns import Person, Scope
from bailiwick.ports import World
from bailiwick.transactions import (
    Append,
    Blocked,
    CloseChange,
    Commit,
    Committed,
    EpochIs,
    Op,
    PutChange,
    RaiseEpoch,
)
from bailiwick.values import JSON

Parameters = Mapping[str, JSON]

_CHANGE_OPEN_US = 24 * 3600 * 1_000_000
_TRIES = 50
_NAME = re.compile(r"\w[\w.:/+*#-]{0,255}").fullmatch


class Moved(Exception):
    """Another change was first: the command has to look again at what it goes by."""


class Consent(NamedTuple):
    """Who makes a change, what closes the proposal of the first of two, and under which epoch.

    Without an epoch nothing was read for the change, so that it fits whatever came before it.
    """

    by: tuple[str, ...]
    ops: tuple[Op, ...] = ()
    epoch: int | None = None


async def change(
    world: World,
    consent: Consent,
    what: str,
    ops: tuple[Op, ...],
    record: Callable[[int, int], tuple[Append, ...]],
) -> int:
    """Commit a change under a new epoch, with the records that `record(epoch, at_us)` makes.

    One of them names the epoch, so that no epoch is without its record. Gives the new epoch. Raises
    `ControlError` when a guard does not hold, `Moved` when another change came after the epoch of
    the consent, `StoreUnavailable` when control never stands still.
    """
    tenant = world.settings.tenant
    raised = () if any(isinstance(op, RaiseEpoch) for op in ops) else (RaiseEpoch(),)
    for _ in range(_TRIES):
        epoch = await world.store.epoch(tenant) if consent.epoch is None else consent.epoch
        begun = max(epoch, 1) + 1  # a tenant's first change begins its second epoch
        leaves = record(begun, await world.store.now_us())
        guarded = (EpochIs(epoch=epoch), *raised, *ops, *consent.ops, *leaves)
        done = await world.store.commit(Commit(tenant=tenant, ops=guarded))
        if isinstance(done, Committed):
            telemetry.changed(world, leaves)
            return begun
        if done.code != "epoch_moved":
            raise refused(what, done)
        if consent.epoch is not None:
            raise Moved
    raise contended()


async def control(
    world: World,
    consent: Consent,
    what: str,
    ops: tuple[Op, ...],
    *,
    scope: str | None = None,
    target: str | None = None,
) -> int:
    """Make a control change with its record; give the new epoch. Raises as `change` does.

    A target that is no plain name stands in the record as a pseudonym.
    """

    def record(epoch: int, at_us: int) -> tuple[Append, ...]:
        return (recorded(world, consent, what, epoch, at_us, scope=scope, target=target),)

    return await change(world, consent, what, ops, record)


def recorded(
    world: World,
    consent: Consent,
    what: str,
    epoch: int,
    at_us: int,
    *,
    scope: str | None = None,
    target: str | None = None,
) -> Append:
    """The record of a control change that begins an epoch."""
    fields = records.control(
        tenant=world.settings.tenant,
        at_us=at_us,
        epoch=epoch,
        change=what.replace(" ", "-"),
        scope=cast("Scope | None", scope),
        target=named(world, target) or None,
        by=pseudonyms(world, consent.by),
        reason_commitment=None,
    )
    return ledger.append("control", None, fields)


def named(world: World, target: str | None) -> str:
    """How a target stands in the records: in clear if it is a plain name."""
    if not target or _NAME(target):
        return target or ""
    return ledger.pseudonym(world, world.settings.tenant, "target", target)


async def second_person(
    world: World, person: Person, kind: str, body: Mapping[str, JSON], epoch: int
) -> Consent | dict[str, JSON]:
    """The consent to a change that loosens, or what it waits for.

    With two people who may, the first who asks proposes it, and another who asks for the same
    makes it; `kind` is the command, `epoch` was read before anything that the change goes by.
    Nothing but the proposal is written here.
    """
    tenant = person.tenant
    people = await world.register.people(tenant)
    able = [each for each in people if each.enabled and identity.allowed(each.roles, kind)]
    if not limits.needs_second(kind, len(able)):
        return Consent((person.name,), epoch=epoch)
    same = [
        each
        for each in await world.register.changes(tenant)
        if each.kind == kind and dict(each.body) == dict(body)
    ]
    # Whoever may not do it any more has not consented to it.
    others = {each.name for each in able if each.name != person.name}
    consenting = [each.proposed_by for each in same if each.proposed_by in others]
    if consenting:
        # All of them are closed: one that was left would let one person make the change again.
        ops = tuple(_closed(each, person) for each in same)
        return Consent((consenting[0], person.name), ops, epoch)
    for waiting in same:
        if waiting.proposed_by == person.name:
            return _waits(waiting)
    now_us = await world.store.now_us()
    proposed = PutChange(
        id=f"chg_{now_us:014x}{world.random(4).hex()}",
        kind=kind,
        body=body,
        proposed_by=person.name,
        expires_at_us=now_us + _CHANGE_OPEN_US,
    )
    await world.store.commit(Commit(tenant=tenant, ops=(proposed,)))
    return _waits(proposed)


def _closed(change: PutChange, by: Person) -> CloseChange:
    state = "withdrawn" if change.proposed_by == by.name else "made"
    return CloseChange(id=change.id, decided_by=by.name, state=state)


async def changes_list(world: World, person: Person, _: Parameters) -> JSON:
    """The changes that wait for a second person."""
    return [
        {
            "id": waiting.id,
            "kind": waiting.kind,
            "body": waiting.body,
            "proposed_by": waiting.proposed_by,
            "expires_at_us": waiting.expires_at_us,
        }
        for waiting in await world.register.changes(person.tenant)
    ]


def pseudonyms(world: World, names: tuple[str, ...]) -> list[str]:
    """How people stand in the records."""
    return [ledger.pseudonym(world, world.settings.tenant, "person", name) for name in names]


def refused(what: str, by: Blocked) -> ControlError:
    """Why a change could not be made."""
    known = {
        "not_stopped": (
            "nothing is stopped under that scope and target",
            "see `bailiwick stops list`",
        ),
        "run_open": (
            "something of the run is parked, in flight or in doubt",
            "decide, resolve or wait for it, then erase",
        ),
        "change_moved": ("the change was decided or has expired", "propose it again"),
    }
    message, help = known.get(by.code, (f"the {what} could not be made: {by.code}", "try again"))
    return ControlError(message, code=by.code, help=help)


def contended() -> StoreUnavailable:
    """The fault when control never stands still."""
    return StoreUnavailable("control kept changing", code="contended", help="try again")


def _waits(proposed: PutChange) -> dict[str, JSON]:
    return {
        "waiting": proposed.id,
        "change": proposed.kind,
        "proposed_by": proposed.proposed_by,
        "expires_at_us": proposed.expires_at_us,
        "message": "another person who may do this has to ask for the same",
    }
