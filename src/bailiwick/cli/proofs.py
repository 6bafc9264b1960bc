"""ledger: verify it, prove single records, write it out for others to verify."""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import click

from bailiwick import ledger as log
from bailiwick import operations
from bailiwick.cli.frame import FOUND, OK, Frame, Group, pass_frame
from bailiwick.cli.reaching import ask, beside, in_place
from bailiwick.cli.telling import line
from bailiwick.config import Settings
from bailiwick.errors import StoreFenced
from bailiwick.values import JSON, counted

Object = Mapping[str, JSON]

_FOLDER = click.Path(path_type=Path, file_okay=False, resolve_path=True)


@click.group("ledger", cls=Group)
def ledger() -> None:
    """The record of everything: verify it, prove from it, hand it to others."""


@ledger.command("verify")
@pass_frame
def verify(frame: Frame) -> int:
    """Verify the ledger against its signed head, and the database against the ledger.

    Needs nobody to be logged in, and runs beside a working owner. Exit code 1 if anything is found.
    """
    answer = asyncio.run(_verified(frame.enter()))
    found = cast("list[Object]", answer["findings"])
    lines = [f"{line(each['what'])}: {line(each['reason'])}" for each in found]
    if found:
        lines.append(
            f"NOT VERIFIED: {counted(len(found), 'finding')} in {_records(answer['size'])}"
        )
    else:
        lines += [
            f"verified: {_records(answer['size'])}, {_many(answer['actions'], 'action')}",
            f"root {answer['root']}; the signed head is of {_records(answer['signed'])}",
        ]
    if answer["unsequenced"]:
        lines.append(f"{_records(answer['unsequenced'])} without a place in the log yet")
    frame.tell(answer, [*lines, str(answer["witness"])])
    return FOUND if found else OK


@ledger.command("keys")
@pass_frame
def keys(frame: Frame) -> int:
    """List the log's keys, each with the sizes of the tree from and to which its signature counts.

    The lines are what `bailiwick_verify.py` reads with `--keys FILE`. Needs no log-in.
    """
    found = asyncio.run(_keys(frame.enter()))
    rows = [f"{each.vkey} {each.first} {'-' if each.last is None else each.last}" for each in found]
    frame.tell([each._asdict() for each in found], rows)
    return OK


@ledger.command("prove")
@click.argument("of")
@click.option("--to", "folder", type=_FOLDER, help="Where to write; by default, here.")
@pass_frame
def prove(frame: Frame, of: str, folder: Path | None) -> int:
    """Write the records OF an action's id, or the one at an index, each with its receipt.

    A receipt (`.tlog-proof`) can be verified by anyone, offline.
    """
    target = folder or Path.cwd()
    answer = cast("Object", ask(frame, "ledger prove", of=of))
    target.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    for each in cast("list[Object]", answer["proofs"]):
        for suffix, content in ((".json", each["record"]), (".tlog-proof", each["receipt"])):
            path = target / f"record-{each['index']}{suffix}"
            written.append(str(path))
            path.write_bytes(base64.b64decode(str(content)))
    lines = [*written, f"key {answer['vkey']}", "verify with, for each record:"]
    lines.append("  python bailiwick_verify.py receipt RECORD RECEIPT --key KEY")
    frame.tell({"files": written, "vkey": answer["vkey"]}, lines)
    return OK


@ledger.command("export")
@click.argument("folder", type=_FOLDER)
@pass_frame
def export(frame: Frame, folder: Path) -> int:
    """Write the whole ledger below a new FOLDER, for others to verify. Needs no log-in."""
    answer = asyncio.run(_exported(frame.enter(), folder))
    lines = [
        f"{_records(answer['records'])} in {answer['folder']}",
        f"key {answer['vkey']}",
        "verify with: python bailiwick_verify.py verify FOLDER --key KEY",
    ]
    frame.tell(answer, lines)
    return OK


def _many(number: JSON, noun: str) -> str:
    return counted(cast("int", number), noun)


def _records(number: JSON) -> str:
    return _many(number, "record")


async def _keys(settings: Settings) -> list[log.Tenure]:
    async with beside(settings) as world:
        return await log.tenures(world)


async def _verified(settings: Settings) -> dict[str, JSON]:
    async with beside(settings) as world:
        return await operations.audit(world)


async def _exported(settings: Settings, folder: Path) -> dict[str, JSON]:
    try:
        async with in_place(settings) as world:
            await log.sequence(world.ledger, world.keys)
            return await operations.export(world, folder)
    except StoreFenced as fault:
        if fault.code != "store_owned":
            raise
    async with beside(settings) as world:
        return await operations.export(world, folder)


COMMANDS = (ledger,)
