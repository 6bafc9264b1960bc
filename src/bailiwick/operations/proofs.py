"""Proofs from the ledger: receipts for single records, and the whole of it as files."""

import base64
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bailiwick import ledger
from bailiwick.errors import ControlError, LedgerError
from bailiwick.ledger.export import export_files, write_export
from bailiwick.nouns import Person, Record
from bailiwick.operations.changes import Parameters
from bailiwick.operations.channel import text_of
from bailiwick.ports import Keys, World
from bailiwick.values import JSON, shown

_PAGE = 1000


async def ledger_prove(world: World, person: Person, given: Parameters) -> JSON:
    """Every record of an action, or the one at an index, each with its receipt.

    `of` is an action's id or a leaf index. Bytes are base64.
    """
    return await prove(world, text_of(given, "of"))


async def prove(world: World, of: str) -> JSON:
    """See `ledger_prove`. Raises `ControlError`, or `LedgerError` while no checkpoint covers it."""
    found = await _found(world, of)
    proofs: list[JSON] = []
    for record in found:
        if record.leaf_index is None:
            raise LedgerError(
                f"a record of `{shown(of)}` has no place in the log yet",
                code="not_sequenced",
                help="try again in a second, while the owner of the database runs",
            )
        receipt = await ledger.prove(world.ledger, record.leaf_index)
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
        raise ControlError(
            "the ledger has no checkpoint yet",
            code="ledger_empty",
            help="there is nothing to export before the first record is sequenced",
        )
    size, checkpoint = kept
    bodies = [record.body async for record in sequenced(world, size)]
    write_export(folder, export_files(bodies, checkpoint.encode()))
    return {"folder": str(folder), "records": size, "vkey": vkey(world.keys)}


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


async def _found(world: World, of: str) -> Sequence[Record]:
    if of.isascii() and of.isdecimal() and len(of) < 16:
        found = [
            record
            for record in await world.ledger.records(int(of), 1)
            if record.leaf_index == int(of) and record.body
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


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ControlError(
            f"`{folder}` is not an empty folder",
            code="folder_not_empty",
            help="name a folder that is not there yet",
        )
