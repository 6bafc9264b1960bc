"""Which keys there are: a record for each that was added or retired, and when a log key counts.

A project's first keys are as old as its ledger; a use (token, log, vault) is spoken of from its
second key on. While a rotation of the log's key overlaps, every key of it signs every head.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from bailiwick.errors import BadInput, LedgerError, StoreUnavailable
from bailiwick.ledger import entries, records
from bailiwick.ledger.note import NoteKey
from bailiwick.ledger.sealing import NONCE_BYTES, RunKey
from bailiwick.ledger.sequencing import log_keys
from bailiwick.ports import World
from bailiwick.transactions import Commit, Committed, EpochIs, Op, RaiseEpoch

_TRIES = 100
_ADDED, _RETIRED = "key-added", "key-retired"


class Tenure(NamedTuple):
    """The sizes of the tree, both included, whose heads a key of the log may sign; None: no end."""

    vkey: str
    first: int
    last: int | None

    def covers(self, size: int) -> bool:
        """Whether its signature counts under a head of this size."""
        return self.first <= size and (self.last is None or size <= self.last)


async def note_keys(world: World) -> list[str]:
    """Record which keys are new or gone since the ledger last spoke of keys; give their names.

    Each is a control change of its own. Nobody is named: whoever can write the folder did it.
    """
    tenant, noted = world.settings.tenant, list[str]()
    for _ in range(_TRIES):
        epoch = await world.store.epoch(tenant)
        change = next(_unsaid(world, await changes(world)), None)
        if change is None or epoch == 0:
            return noted
        name, what, vkey = change
        envelope: records.Envelope = {"tenant": tenant, "at_us": await world.store.now_us()}
        control = records.control(
            **envelope,
            epoch=max(epoch, 1) + 1,
            change=what,
            scope=None,
            target=name,
            by=[],
            reason_commitment=None,
        )
        ops: list[Op] = [entries.append("control", None, control)]
        if vkey:
            word = "added" if what == _ADDED else "retired"
            key = records.checkpoint_key(**envelope, vkey=vkey, change=cast("Any", word), by=[])
            ops.append(entries.append("checkpoint_key", None, key))
        guarded = (EpochIs(epoch=epoch), RaiseEpoch(), *ops)
        done = await world.store.commit(Commit(tenant=tenant, ops=guarded))
        if isinstance(done, Committed):
            noted.append(f"{what} {name}")
        elif done.code != "epoch_moved":
            raise LedgerError(f"the keys could not be recorded: {done.code}", code=done.code)
    raise StoreUnavailable("control kept changing", code="contended", help="try again")


async def tenures(world: World) -> list[Tenure]:
    """For each key of the log, oldest first, the sizes at which it counts, by the log's records.

    A key counts from the first head that covers the record which adds it, the first key from the
    beginning; a retired one until the last head without the record that retires it.
    """
    found: dict[str, Tenure] = {}
    for index, fields in await changes(world):
        vkey = str(fields.get("vkey"))
        if fields["kind"] != "checkpoint_key" or index is None:
            continue
        if fields["change"] == "retired" and vkey in found:
            found[vkey] = found[vkey]._replace(last=index)
        elif fields["change"] == "added" and vkey not in found:
            found[vkey] = Tenure(vkey, index + 1 if found else 0, None)
    for key in reversed(log_keys(world.keys)):
        found.setdefault(key.vkey, Tenure(key.vkey, 0, None))
    return list(found.values())


async def keys_at(world: World, size: int) -> list[NoteKey]:
    """Those of the log's keys here whose signatures count under a head of this size."""
    standing = {each.vkey for each in await tenures(world) if each.covers(size)}
    return [key for key in log_keys(world.keys) if key.vkey in standing]


Change = tuple[int | None, Mapping[str, object]]


async def changes(world: World) -> list[Change]:
    """The records of control changes and keys, with their leaf indices; a damaged one is left out.

    It is `ledger verify` that finds the damage.
    """
    found: list[Change] = []
    for record in await world.ledger.records(0, 0, of="control"):
        with suppress(LedgerError, BadInput):
            found.append((record.leaf_index, records.decode(record.body)))
    return found


def _unsaid(world: World, said: list[Change]) -> Iterator[tuple[str, str, str]]:
    """What the records do not say yet: a key's name, what became of it, its vkey if the log's."""
    names: dict[str, bool] = {}
    vkeys: dict[str, bool] = {}
    for _, fields in said:
        if fields["tenant"] != world.settings.tenant:
            continue
        if fields["kind"] == "checkpoint_key":
            vkeys[str(fields["vkey"])] = fields["change"] == "added"
        elif fields["change"] in (_ADDED, _RETIRED):
            names[str(fields["target"])] = fields["change"] == _ADDED
    loaded = {use: [f"{use}/{kid}" for kid in kids] for use, kids in world.keys.ids().items()}
    public = dict(zip(loaded["log"], (key.vkey for key in log_keys(world.keys)), strict=True))
    for use, keys in loaded.items():
        if len(keys) == 1 and keys[0].startswith(f"{use}/1-") and keys[0] not in names:
            continue
        for name in reversed(keys):
            if not names.get(name):
                yield name, _ADDED, public.get(name, "")
    # Kids and vkeys were recorded in pairs, so that they are gone in the same order.
    gone = iter([vkey for vkey, added in vkeys.items() if added and vkey not in public.values()])
    for name, added in names.items():
        use = name.partition("/")[0]
        if added and name not in loaded.get(use, ()):
            yield name, _RETIRED, next(gone, "") if use == "log" else ""


# --- the keys of runs ----------------------------------------------------------------------------


class Rewrapped(NamedTuple):
    """A step: runs looked at, wrapped anew, and lost; the last one, None if it is the end."""

    looked: int
    rewrapped: int
    lost: int
    last: str | None


async def rewrap(world: World, tenant: str, after: str, limit: int) -> Rewrapped:
    """Wrap the keys of the next runs after an id by the newest vault key, where another one did.

    A run is lost when no vault key here unwraps its key, which is then left as it is.
    """
    found = await world.due.run_keys(tenant, after, limit)
    newest, kek = world.keys.vault_keys()[0]
    moved: list[tuple[str, bytes, bytes]] = []
    lost = 0
    for run, wrapped in found:
        under, key = unwrapped(world, tenant, run, wrapped)
        if key is None:
            lost += 1
        elif under != newest:
            nonce = world.random(NONCE_BYTES)
            moved.append((run, wrapped, key.wrap(kek, tenant=tenant, run=run, nonce=nonce)))
    done = await world.due.rewrap(tenant, moved) if moved else 0
    return Rewrapped(len(found), done, lost, found[-1][0] if len(found) == limit else None)


def unwrapped(
    world: World, tenant: str, run: str, wrapped: bytes
) -> tuple[str, RunKey] | tuple[None, None]:
    """The id of the vault key that wrapped a run's key, and that key; None if it is not here."""
    for kid, kek in world.keys.vault_keys():
        with suppress(LedgerError):
            return kid, RunKey.unwrap([kek], wrapped, tenant=tenant, run=run)
    return None, None
