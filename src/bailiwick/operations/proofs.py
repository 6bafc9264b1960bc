"""Proofs from the ledger: receipts for single records, and the whole of it as files."""

import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bailiwick import ledger
from bailiwick.errors import BadInput, ControlError, LedgerError
from bailiwick.ledger import note, records
from bailiwick.ledger.export import export_files, write_export
from bailiwick.ledger.tree import TILE_WIDTH, leaf_hash
from bailiwick.nouns import Person, Record
from bailiwick.operations.changes import Consent, Parameters, control, second_person
from bailiwick.operations.channel import text_of
from bailiwick.ports import Keys, World
from bailiwick.transactions import LiftStop
from bailiwick.values import JSON, shown

_PAGE = 1000


async def ledger_prove(world: World, person: Person, given: Parameters) -> JSON:
    """Every record of an action, or the one at an index, each with its receipt.

    `of` is an action's id or a leaf index. Bytes are base64.
    """
    return await prove(world, text_of(given, "of"))


async def ledger_checkpoint(world: World, person: Person, _: Parameters) -> JSON:
    """The newest signed head of the log, a C2SP tlog-checkpoint as text."""
    return (await _head(world))[1]


async def ledger_records(world: World, person: Person, given: Parameters) -> JSON:
    """A page of the log's records from the leaf `first` on. Bytes are base64.

    The log is the database's: of another tenant's record only the hash is told.
    """
    first, limit = given.get("first", 0), given.get("limit", 100)
    if not isinstance(first, int) or not isinstance(limit, int) or not 1 <= limit <= _PAGE:
        raise BadInput(f"`limit` is not from 1 to {_PAGE}", code="parameter_invalid")
    size, _ = await _head(world)
    page = await world.ledger.records(first, min(limit, max(0, size - first)))
    found = [each for each in page if each.leaf_index is not None]
    after = first + len(found)
    return {
        "records": [
            {
                "index": each.leaf_index,
                "record": base64.b64encode(each.body).decode() if _is_own(world, each) else None,
                "hash": leaf_hash(each.body).hex(),
            }
            for each in found
        ],
        "size": size,
        "next": after if found and after < size else None,
    }


async def ledger_tile(world: World, person: Person, given: Parameters) -> JSON:
    """A file of the newest head's tiles, by its path below `tile/` (tlog-tiles); base64.

    Raises `ControlError`: `tile_unknown` for a path that this head's tiles do not have,
    `tile_of_others` for one with records of another tenant.
    """
    size, _ = await _head(world)
    path = f"tile/{text_of(given, 'tile')}"
    content = await ledger.tile(world.ledger, path, size)
    if content is not None and path.startswith("tile/entries/"):
        first = TILE_WIDTH * ledger.tile_number(path)
        if not all(_is_own(world, each) for each in await world.ledger.records(first, TILE_WIDTH)):
            raise ControlError(
                f"`{shown(path)}` has records of another tenant",
                code="tile_of_others",
                help="ask for records by their index; who keeps the database has the whole log",
            )
    if content is None:
        raise ControlError(
            f"the tree of {size} records has no `{shown(path)}`",
            code="tile_unknown",
            help="ask for the checkpoint: its size says which tiles there are",
        )
    return base64.b64encode(content).decode()


async def prove(world: World, of: str) -> JSON:
    """See `ledger_prove`. Raises `ControlError`, or `LedgerError` while no checkpoint covers it.

    A receipt carries the cosignature of the witness, and waits for it if the settings say so.
    """
    found = await _found(world, of)
    required = world.witness is not None and world.witness.required
    proofs: list[JSON] = []
    for record in found:
        if record.leaf_index is None:
            raise LedgerError(
                f"a record of `{shown(of)}` has no place in the log yet",
                code="not_sequenced",
                help="try again in a second, while the owner of the database runs",
            )
        receipt = await ledger.prove(world.ledger, record.leaf_index, cosigned=required)
        proofs.append(
            {
                "index": record.leaf_index,
                "record": base64.b64encode(record.body).decode(),
                "receipt": base64.b64encode(receipt).decode(),
            }
        )
    return {"vkey": vkey(world.keys), "proofs": proofs}


async def export(world: World, folder: Path) -> dict[str, JSON]:
    """Write the whole ledger up to its newest checkpoint below a new or empty folder.

    Raises `ControlError` (`ledger_empty`, `folder_not_empty`), `LedgerError` (`export_mismatch`).
    """
    _check_empty(folder)
    kept = await world.ledger.checkpoint()
    if kept is None:
        raise _empty()
    size, checkpoint = kept
    bodies = [record.body async for record in sequenced(world, size)]
    write_export(folder, export_files(bodies, checkpoint.encode()))
    return {"folder": str(folder), "records": size, "vkey": vkey(world.keys)}


async def project(world: World, folder: Path) -> dict[str, JSON]:
    """Bring the tiles in a folder to the newest checkpoint, or make them there anew.

    Raises `ControlError` (`ledger_empty`), `LedgerError` for tiles that are not of this log.
    """
    with ledger.locked(folder) as alone:
        if not alone:
            raise LedgerError(
                f"the tiles in `{folder}` are being written", code="tiles_busy", help="try again"
            )
        size = await ledger.project(world.ledger, folder, ledger.log_keys(world.keys))
    if not size:
        raise _empty()
    return {"folder": str(folder), "records": size, "vkey": vkey(world.keys)}


async def ledger_accept_restore(world: World, person: Person, _: Parameters) -> JSON:
    """Accept that the tree is not the one that tiles or witness know, and go on: loosening.

    What the forgotten records say was done has been done in the world: whoever accepts has looked.
    """
    state = await world.store.control(person.tenant)
    targets = sorted(stop.target for stop in state.stops if stop.scope == "ledger")
    if not targets:
        raise ControlError(
            "the ledger is not held: there is nothing to accept",
            code="ledger_not_held",
            help="see `bailiwick doctor`",
        )
    body: dict[str, JSON] = {"heads": [*targets]}
    consent = await second_person(world, person, "ledger accept-restore", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    for target in targets:
        lifted = (LiftStop(scope="ledger", target=target),)
        epoch = await control(world, consent, "resume", lifted, scope="ledger", target=target)
        consent = Consent(consent.by)
    return {"epoch": epoch, **body}


async def witness_state(world: World) -> dict[str, JSON]:
    """What the witness has cosigned, what it says that it holds, and how far it lags behind."""
    kept, cosigned = await world.ledger.checkpoint(), await world.ledger.checkpoint(cosigned=True)
    signed = kept[0] if kept else 0
    state: dict[str, JSON] = {
        "signed": signed,
        "cosigned": cosigned[0] if cosigned else 0,
        "lag": signed - (cosigned[0] if cosigned else 0),
        "cosigned_at_us": cosigned_at_us(world, cosigned),
        "held": await ledger.held(world),
    }
    if world.witness is None:
        return {**state, "witness": None}
    state |= {"witness": world.witness.name, "required": world.witness.required}
    origin, _ = world.keys.log_keys()
    try:
        theirs = await world.witness.held(origin)
        head = note.parse_checkpoint(note.parse(theirs).text) if theirs else None
    except LedgerError as fault:
        return {**state, "answers": False, "said": fault.message}
    return {**state, "answers": True, "holds": head.size if head else 0}


def cosigned_at_us(world: World, cosigned: tuple[int, str] | None) -> int | None:
    """When the witness cosigned a head, in microseconds; None if it did not, or somebody else."""
    if cosigned is None or world.witness is None:
        return None
    key = note.parse_vkey(world.witness.vkey)
    for each in note.parse(cosigned[1].encode()).signatures:
        if (each.name, each.key_id) == (key.name, key.id):
            return int.from_bytes(each.data[:8], "big") * 1_000_000
    return None


async def sequenced(world: World, size: int) -> AsyncIterator[Record]:
    """The first `size` records in the order of the tree."""
    first = 0
    while first < size:
        page = await world.ledger.records(first, min(_PAGE, size - first))
        if not page:
            break
        for record in page:
            yield record
        first += len(page)


def vkey(keys: Keys) -> str:
    """The log's newest public key as text (C2SP vkey), by which others verify."""
    return ledger.log_keys(keys)[0].vkey


def _is_own(world: World, record: Record) -> bool:
    """Whether a record is of this tenant; in doubt it is not."""
    try:
        return records.decode(record.body)["tenant"] == world.settings.tenant
    except (BadInput, LedgerError, KeyError):
        return False


async def _head(world: World) -> tuple[int, str]:
    kept = await world.ledger.checkpoint()
    if kept is None:
        raise _empty()
    return kept


async def _found(world: World, of: str) -> Sequence[Record]:
    if of.isascii() and of.isdecimal() and len(of) < 16:
        found = [
            record
            for record in await world.ledger.records(int(of), 1)
            if record.leaf_index == int(of) and record.body and _is_own(world, record)
        ]
    else:
        found = list(await world.ledger.records(0, 0, of=(world.settings.tenant, of)))
    if not found:
        raise ControlError(
            f"there is no record of `{shown(of)}`",
            code="record_unknown",
            help="give an action's id, or the index of a record in the log",
        )
    return found


def _empty() -> ControlError:
    return ControlError(
        "the ledger has no checkpoint yet",
        code="ledger_empty",
        help="there is nothing to export before the first record is sequenced",
    )


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ControlError(
            f"`{folder}` is not an empty folder",
            code="folder_not_empty",
            help="name a folder that is not there yet",
        )
