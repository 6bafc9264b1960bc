"""What the vault keeps: erasure on somebody's word, and the legal holds that stand against it.

Erasing is for good, so it takes two people as soon as there are two who may. A hold is placed at
once by one of them, and lifted by two.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, cast

from msgspec.structs import replace

from bailiwick import ledger
from bailiwick.errors import BadInput, ControlError
from bailiwick.housekeeping import erasing
from bailiwick.nouns import Action, Erasure, LegalHold, Person
from bailiwick.operations.changes import (
    Consent,
    Moved,
    Parameters,
    change,
    contended,
    control,
    recorded,
    second_person,
)
from bailiwick.operations.channel import text_of
from bailiwick.operations.stories import existing, newest_first
from bailiwick.ports import ControlState, World
from bailiwick.transactions import Append, PutLegalHold
from bailiwick.values import JSON, shown

_TRIES = 20
_LONGEST_REASON = 1000
_LISTED = 20
_MOVED = frozenset({"action_moved", "run_kept"})


async def vault_erase(world: World, person: Person, given: Parameters) -> JSON:
    """Erase the payloads of a run, an action or a subject, for good.

    What took one of these actions back, or was to, was told a copy of what is erased, and goes
    with it, in whichever run it is; `undoing` names it. Refused while something of a run that it
    touches is open (`run_open`), under a legal hold (`legal_hold`), and when nothing is left of it
    (`already_erased`).
    """
    kind, target = _meant(given, ("run", "action", "subject"))
    reason = _reason(given)
    state = await world.store.control(person.tenant)
    own, undoing = await _meant_by(world, kind, target)
    found = _kept(kind, target, (*own, *undoing))
    await _free(world, state, found)
    body: dict[str, JSON] = {kind: target}
    consent = await second_person(world, person, "vault erase", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    epoch, keys = state.epoch, 0
    for number, chunk in enumerate(erasing.chunks(found)):
        if number:
            consent = Consent(consent.by)
        epoch, gone = await _erased(world, consent, chunk, kind, reason=reason, target=target)
        keys += gone
    return {
        "epoch": epoch,
        kind: target,
        "erased": len(found),
        "run_keys": keys,
        "undoing": [each.id for each in undoing if each.erased is None],
    }


async def vault_hold(world: World, person: Person, given: Parameters) -> JSON:
    """Place a legal hold on a run or a subject, at once: nothing of it is erased from now on."""
    kind, target = _meant(given, ("run", "subject"))
    state = await world.store.control(person.tenant)
    if _standing(state, kind, target) is not None:
        raise ControlError(
            f"the {kind} `{shown(target)}` is under a legal hold already",
            code="already_held",
            help="see `bailiwick vault holds`",
        )
    hold = LegalHold(
        kind=cast("Literal['run', 'subject']", kind),
        target=target,
        by=person.name,
        reason=_reason(given),
        since_us=await world.store.now_us(),
    )
    consent = Consent((person.name,), epoch=state.epoch)
    epoch = await _put(world, consent, "vault hold", hold)
    covers = await _present(world, kind, target)
    return {"epoch": epoch, kind: target, "covers": len(covers)}


async def vault_release_hold(world: World, person: Person, given: Parameters) -> JSON:
    """Lift a legal hold; with two people who may, the second one does it."""
    kind, target = _meant(given, ("run", "subject"))
    state = await world.store.control(person.tenant)
    hold = _standing(state, kind, target)
    if hold is None:
        raise ControlError(
            f"the {kind} `{shown(target)}` is under no legal hold",
            code="not_held",
            help="see `bailiwick vault holds`",
        )
    body: dict[str, JSON] = {kind: target}
    consent = await second_person(world, person, "vault release-hold", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    lifted = replace(hold, lifted_by=consent.by)
    epoch = await _put(world, consent, "vault release-hold", lifted)
    return {"epoch": epoch, kind: target}


async def vault_holds(world: World, person: Person, _: Parameters) -> JSON:
    """The legal holds that stand."""
    return [
        {
            "kind": hold.kind,
            "target": hold.target,
            "by": hold.by,
            "reason": hold.reason,
            "since_us": hold.since_us,
        }
        for hold in (await world.store.control(person.tenant)).holds
    ]


async def vault_overdue(world: World, person: Person, _: Parameters) -> JSON:
    """The runs that retention has to leave alone though their time is over, and what is open."""
    found = await erasing.overdue(world, person.tenant)
    return cast("JSON", [each._asdict() for each in found])


def held_as(world: World, hold: LegalHold) -> str:
    """How what is held stands in the records."""
    return _recorded_as(world, hold.kind, hold.target)


def _recorded_as(world: World, kind: str, target: str) -> str:
    """How a run, action or subject stands in a record: a subject as its pseudonym."""
    if kind != "subject":
        return target
    return ledger.pseudonym(world, world.settings.tenant, "subject", target)


# --- what is meant -------------------------------------------------------------------------------


def _meant(given: Parameters, kinds: Sequence[str]) -> tuple[str, str]:
    named = [(kind, text_of(given, kind)) for kind in kinds if given.get(kind)]
    if len(named) != 1:
        raise BadInput(
            "it is not said what is meant, or more than one thing is",
            code="parameter_invalid",
            help=f"name one: {', '.join(f'`--{kind}`' for kind in kinds)}",
        )
    return named[0]


def _reason(given: Parameters) -> str:
    reason = text_of(given, "reason", "").strip()
    if not 0 < len(reason) <= _LONGEST_REASON:
        raise BadInput(
            f"the reason has no or more than {_LONGEST_REASON} characters",
            code="parameter_invalid",
            help="say why, for whoever asks where it is",
        )
    return reason


def _standing(state: ControlState, kind: str, target: str) -> LegalHold | None:
    own = (each for each in state.holds if (each.kind, each.target) == (kind, target))
    return next(own, None)


async def _present(world: World, kind: str, target: str) -> list[Action]:
    """The actions of a run or a subject that are not erased."""
    if kind == "subject":
        history = newest_first(world)
        return [each async for each in history if each.subject == target and each.erased is None]
    found: list[Action] = []
    after = ""
    while page := await world.keeping.kept(world.settings.tenant, target, after, erasing.TOGETHER):
        found += page
        after = page[-1].id
    return found


async def _meant_by(world: World, kind: str, target: str) -> tuple[list[Action], list[Action]]:
    """What is named, and what undoes it or its undoing; oldest first. Raises `ControlError`."""
    since_us = 0
    if kind == "action":
        since_us = (await existing(world, target)).created_at_us
    elif kind == "run" and (run := await world.shelf.run(world.settings.tenant, target)):
        since_us = run.started_at_us
    own: list[Action] = []
    undoing: dict[str, list[Action]] = defaultdict(list)
    async for action in newest_first(world, since_us):
        if target == (action.id if kind == "action" else getattr(action, kind)):
            own.append(action)
        elif action.undoes:
            undoing[action.undoes].append(action)
    if not own:
        raise ControlError(
            f"there is no action of the {kind} `{shown(target)}`",
            code=f"{kind}_unknown",
            help="see `bailiwick actions list`",
        )
    reached = own[::-1]
    for action in reached:  # which grows meanwhile
        reached += undoing.pop(action.id, ())
    return reached[: len(own)], sorted(reached[len(own) :], key=lambda each: each.id)


def _kept(kind: str, target: str, every: Sequence[Action]) -> list[Action]:
    """Those that are not erased yet. Raises `ControlError` when there are none."""
    kept = [each for each in every if each.erased is None]
    if not kept:
        by = cast("Erasure", every[-1].erased)
        raise ControlError(
            f"the {kind} `{shown(target)}` was erased already, by {by.by or 'its retention'}",
            code="already_erased",
            help=f"`bailiwick actions show {every[-1].id}` says when and why",
        )
    return kept


async def _free(world: World, state: ControlState, found: Sequence[Action]) -> None:
    """Refuse what is under a legal hold, and what is still open, with the names of it."""
    for action in found:
        hold = erasing.holding(state, action)
        if hold is not None:
            raise ControlError(
                f"the {hold.kind} `{shown(hold.target)}` is under a legal hold of"
                f" {shown(hold.by)}: {shown(hold.reason)}",
                code="legal_hold",
                help="two people lift it with `bailiwick vault release-hold`",
            )
    busy = await erasing.unsettled(world, state.tenant)
    ids = [id for run in sorted({each.run for each in found}) for id in busy.get(run, ())]
    if ids:
        raise _open(ids)


def _open(ids: Sequence[str]) -> ControlError:
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return ControlError(
        f"still open in the same run: {', '.join(ids[:_LISTED])}{more}",
        code="run_open",
        help="decide, resolve or wait for what is parked, in doubt or in flight, then erase",
    )


# --- writing -------------------------------------------------------------------------------------


async def _erased(
    world: World,
    consent: Consent,
    chunk: Sequence[Action],
    kind: str,
    *,
    reason: str,
    target: str,
) -> tuple[int, int]:
    """Erase some actions under a new epoch; give it, and how many runs lost their key.

    The first of several goes by the consent's epoch; the others look again for themselves.
    """
    tenant = world.settings.tenant
    scope = "run" if kind == "run" else None
    named = _recorded_as(world, kind, target)

    def record(epoch: int, at_us: int) -> tuple[Append, ...]:
        said = recorded(world, consent, "vault erase", epoch, at_us, scope=scope, target=named)
        return (said,)

    for _ in range(_TRIES):
        state = await world.store.control(tenant)
        await _free(world, state, chunk)
        held = consent._replace(epoch=state.epoch if consent.epoch is None else consent.epoch)
        erasure = Erasure(
            at_us=await world.store.now_us(),
            by=consent.by[-1],
            reason=reason,
            epoch=max(cast("int", held.epoch), 1) + 1,
        )
        ops = await erasing.erasing(world, tenant, chunk, erasure)
        try:
            epoch = await change(world, held, "vault erase", ops, record)
        except Moved:
            if consent.epoch is not None:
                raise
            continue
        except ControlError as fault:
            if fault.code in _MOVED and consent.epoch is not None:
                raise Moved from fault
            if fault.code not in _MOVED:
                raise
            continue
        for run in erasing.dropped(ops):
            world.vault.forget(tenant, run)
        return epoch, len(erasing.dropped(ops))
    raise contended()


async def _put(world: World, consent: Consent, what: str, hold: LegalHold) -> int:
    return await control(
        world,
        consent,
        what,
        (PutLegalHold(hold=hold),),
        scope="run" if hold.kind == "run" else None,
        target=held_as(world, hold),
    )
