"""What is in doubt: outcomes nobody knows or that the world contradicts. People find out."""

import asyncio
from collections.abc import Sequence
from typing import Literal, cast

from bailiwick import ledger, store
from bailiwick.errors import BadInput, ControlError, LedgerError
from bailiwick.ledger import records
from bailiwick.nouns import Action, Listed, Person
from bailiwick.operations.changes import Parameters, pseudonyms
from bailiwick.operations.channel import text_of
from bailiwick.operations.stories import existing, summary
from bailiwick.ports import World
from bailiwick.transactions import Blocked
from bailiwick.values import JSON

_DOUBTFUL: tuple[Listed, ...] = ("unknown", "intended", "contradicted")
_PAGE = 500
_MAX_EVIDENCE = 4000
_TRIES = 3
# Recovery asks a provider for ten minutes at most.
_PATIENCE_US = 900_000_000


async def in_doubt_list(world: World, person: Person, _: Parameters) -> JSON:
    """Unknown and contradicted outcomes, and intents whose lease has run out."""
    now_us = await world.store.now_us()
    return [
        {**summary(action), "doubt": doubt}
        for action in await doubtful(world)
        if (doubt := doubt_of(action, now_us))
    ]


async def in_doubt_resolve(world: World, person: Person, given: Parameters) -> JSON:
    """Say what became of an action, with the evidence: a record of its own."""
    action = await existing(world, text_of(given, "action"))
    status, evidence = text_of(given, "status"), text_of(given, "evidence").strip()
    if status not in ("done", "failed"):
        raise BadInput("`status` is not done or failed", code="parameter_invalid")
    if not 0 < len(evidence) <= _MAX_EVIDENCE:
        raise BadInput(
            f"the evidence has no or more than {_MAX_EVIDENCE} characters",
            code="parameter_invalid",
            help="say how you know: what you looked at, and what it showed",
        )
    for _ in range(_TRIES):
        done = await _resolved(world, person, action, status, evidence)
        if not isinstance(done, Blocked):
            return summary(done)
        if done.code == "run_key_moved":
            world.vault.forget(action.tenant, action.run)
        action = await existing(world, action.id)
    raise ControlError(
        "the action changed while it was resolved", code=done.code, help="look at it as it is now"
    )


async def _resolved(
    world: World, person: Person, action: Action, status: str, evidence: str
) -> Action | Blocked:
    stuck = _is_stuck(action, await world.store.now_us())
    if action.intent_hash is None or not (stuck or _is_open(action)):
        raise ControlError(
            f"action `{action.id}` is {action.state}, and not in doubt",
            code="not_in_doubt",
            help="list what is with `bailiwick in-doubt list`",
        )
    told: dict[str, JSON] = {"by": person.name, "status": status, "evidence": evidence}
    epoch = await world.store.epoch(action.tenant)
    sealed, commitment = await world.vault.seal(action, "resolution", told, epoch)
    holds = await _holds(world, action)
    became: Literal["done", "failed"] = "done" if status == "done" else "failed"
    fields = records.resolved(
        tenant=action.tenant,
        at_us=await world.store.now_us(),
        action=action.id,
        intent_hash=action.intent_hash,
        status=became,
        by=pseudonyms(world, (person.name,)),
        evidence_commitment=commitment,
        settled=holds,
    )
    writes = (*sealed, ledger.append("resolved", action.id, fields))
    units = tuple({hold["unit"] for hold in holds})
    return await store.resolve(world, action, became, units, writes)


async def _holds(world: World, action: Action) -> list[records.HoldEntry]:
    """The nodes and units that the intent's record names."""
    for stored in await world.ledger.records(0, 0, of=(action.tenant, action.id)):
        fields = records.decode(stored.body)
        if fields["kind"] == "intended":
            return cast("list[records.HoldEntry]", fields["holds"])
    raise LedgerError(
        f"the record of the intent of action `{action.id}` is gone",
        code="record_missing",
        help="run `bailiwick ledger verify`",
    )


async def doubtful(world: World) -> Sequence[Action]:
    """The actions that may be in doubt, oldest first."""
    found: list[Action] = []
    before = None
    while page := await world.register.actions(world.settings.tenant, _DOUBTFUL, _PAGE, before):
        found += page
        before = page[-1].id
        await asyncio.sleep(0)  # a long list must not keep a kill waiting
    return found[::-1]


def doubt_of(action: Action, now_us: int) -> str:
    """Why an action is in doubt; empty if it is not."""
    if action.state == "unknown":
        return "nobody knows whether it was done"
    if action.state == "done" and action.verdict == "contradicted":
        return "it was answered as done, and the world does not show it"
    if _is_stuck(action, now_us):
        return "it has not been looked up in time; resolve it if you know"
    if action.state == "intended" and (action.lease_until_us or 0) <= now_us:
        return "its process is gone; it is being looked up"
    return ""


def _is_stuck(action: Action, now_us: int) -> bool:
    """Whether recovery should have ended: perhaps it cannot, its payload or release being gone."""
    return action.state == "intended" and (action.deadline_at_us or 0) + _PATIENCE_US <= now_us


def _is_open(action: Action) -> bool:
    contradicted = action.state == "done" and action.verdict == "contradicted"
    return action.state == "unknown" or contradicted
