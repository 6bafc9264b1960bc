"""Whether the tree is still the one that tiles and witness remember; if not, nothing is written.

A restored backup has forgotten intents: what they did would be done again. So a tree that is
smaller than a head known elsewhere, or another one, pulls a stop of the scope `ledger`, which only
a person lifts, by `bailiwick ledger accept-restore`. While it stands nothing is sequenced either:
the log would sign what contradicts what it signed before. Reads and kills go on.
"""

from pathlib import Path
from typing import Final, NamedTuple

from bailiwick.errors import LedgerError, StoreUnavailable
from bailiwick.ledger import entries, note, records, tree
from bailiwick.ledger.rolling import changes
from bailiwick.ledger.sequencing import frontier, log_keys, sequence
from bailiwick.ledger.tiles import head_in, locked, project
from bailiwick.ledger.witnessing import cosign
from bailiwick.nouns import Stop
from bailiwick.ports import World
from bailiwick.transactions import Commit, Committed, EpochIs, PutStop, RaiseEpoch

SCOPE: Final = "ledger"
_BY = "the ledger"
_TRIES = 50


class Dispute(NamedTuple):
    """A head that our tree does not extend: who knows it with its size, and what is wrong."""

    name: str
    why: str


async def look_back(world: World) -> bool:
    """Compare the tree with the head of the tiles. Whether the ledger is held, by this or before.

    Raises `LedgerError` for a head of the tiles that no key of the log signed.
    """
    dispute = await _tiles(world)
    if dispute is not None:
        await _hold(world, dispute)
    return await held(world)


async def confer(world: World, *, anew: bool = False) -> None:
    """Have the newest head cosigned; a witness that knows another tree holds the ledger.

    Raises `LedgerError` (`ledger_held`, `witness_silent`, `witness_refused`).
    """
    found = await cosign(world, anew=anew)
    if found is not None:
        await _hold(world, Dispute(f"witness:{found[0]}", found[1]))
        if await held(world):
            raise is_held()


async def grow(world: World) -> int:
    """Sequence and sign what was committed, unless the ledger is held; how many got a leaf.

    Raises `LedgerError` as `sequence` does.
    """
    return 0 if await held(world) else await sequence(world.ledger, world.keys)


async def publish(world: World) -> None:
    """Bring the tiles up to date, if there are to be any. Raises `LedgerError`, `OSError`."""
    folder = tiles_folder(world)
    if folder is None or await held(world):
        return
    with locked(folder) as alone:
        if not alone:
            return  # an earlier tick, or another process, is at it
        if dispute := await _tiles(world):
            # A person has accepted it: what the tiles know of the forgotten part is kept aside.
            folder.rename(folder.with_name(f"{folder.name}.before-{dispute.name.split(':')[1]}"))
        await project(world.ledger, folder, log_keys(world.keys))


async def held(world: World) -> bool:
    """Whether a stop of the scope `ledger` stands."""
    control = await world.store.control(world.settings.tenant)
    return any(stop.scope == SCOPE for stop in control.stops)


def is_held() -> LedgerError:
    """The fault that says so."""
    return LedgerError(
        "the tree is not the one that was known: nothing is written or signed",
        code="ledger_held",
        help="see `bailiwick stops list`; restore the newest database, or accept this one with"
        " `bailiwick ledger accept-restore`",
    )


def tiles_folder(world: World) -> Path | None:
    """Where the tiles are, if the settings name a place."""
    return world.settings.path(world.settings.tiles) if world.settings.tiles else None


async def _tiles(world: World) -> Dispute | None:
    folder = tiles_folder(world)
    there = head_in(folder) if folder else None
    if there is None:
        return None
    head = note.verify_checkpoint(there, log_keys(world.keys))
    name = f"tiles:{head.size}:{head.root.hex()[:16]}"
    if head.size > await world.ledger.tree_size():
        return Dispute(name, f"the tiles hold {head.size} records, which is more than there are")
    if tree.root(await frontier(world.ledger, head.size)) != head.root:
        return Dispute(name, f"the tiles hold another tree of {head.size} records")
    return None


async def _hold(world: World, dispute: Dispute) -> None:
    """Pull the stop in every tenant, unless a person has accepted this very dispute."""
    for tenant in await world.due.tenants():
        for _ in range(_TRIES):
            # The epoch first: if a person accepts from here on, the commit is blocked.
            epoch = await world.store.epoch(tenant)
            control = await world.store.control(tenant)
            stands = any(s.scope == SCOPE and s.target == dispute.name for s in control.stops)
            if stands or await _is_accepted(world, dispute):
                break
            if await _pulled(world, tenant, epoch, dispute):
                break
        else:
            raise StoreUnavailable("control kept changing", code="contended", help="try again")


async def _is_accepted(world: World, dispute: Dispute) -> bool:
    return any(
        fields["change"] == "resume"
        and (fields["scope"], fields["target"]) == (SCOPE, dispute.name)
        for _, fields in await changes(world)
        if fields["kind"] == "control"
    )


async def _pulled(world: World, tenant: str, epoch: int, dispute: Dispute) -> bool:
    now_us = await world.store.now_us()
    stop = Stop(scope=SCOPE, target=dispute.name, by=_BY, reason=dispute.why, since_us=now_us)
    fields = records.control(
        tenant=tenant,
        at_us=now_us,
        epoch=epoch + 1,
        change="kill",
        scope=SCOPE,
        target=dispute.name,
        by=[],
        reason_commitment=None,
    )
    record = entries.append("control", None, fields)
    ops = (EpochIs(epoch=epoch), RaiseEpoch(), PutStop(stop=stop), record)
    return isinstance(await world.store.commit(Commit(tenant=tenant, ops=ops)), Committed)
