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
from bailiwick.cli.people import waiting
from bailiwick.cli.reaching import ask, beside, in_place
from bailiwick.cli.telling import at, line
from bailiwick.config import Settings
from bailiwick.errors import StoreFenced
from bailiwick.ports import World
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
    if answer["other_tenants"]:
        lines.append(
            f"the rows of {_many(answer['other_tenants'], 'other tenant')} are verified"
            " in their own projects"
        )
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
    lines.append("  python -m bailiwick_verify receipt RECORD RECEIPT --key KEY")
    frame.tell({"files": written, "vkey": answer["vkey"]}, lines)
    return OK


@ledger.command("export")
@click.argument("folder", type=_FOLDER, required=False)
@click.option("--tiles", type=_FOLDER, help="Bring this folder's tiles up to date instead.")
@pass_frame
def export(frame: Frame, folder: Path | None, tiles: Path | None) -> int:
    """Write the whole ledger below a new FOLDER, for others to verify. Needs no log-in.

    With `--tiles` the folder may hold tiles of an earlier time (C2SP tlog-tiles).
    """
    if (folder is None) == (tiles is None):
        raise click.UsageError("give either FOLDER or --tiles")
    answer = asyncio.run(_exported(frame.enter(), folder, tiles))
    lines = [
        f"{_records(answer['records'])} in {answer['folder']}",
        f"key {answer['vkey']}",
        "verify with: python -m bailiwick_verify verify FOLDER --key KEY",
        "(where this is not installed, its one file `bailiwick_verify.py` does)",
    ]
    frame.tell(answer, lines)
    return OK


def _many(number: JSON, noun: str) -> str:
    return counted(cast("int", number), noun)


def _records(number: JSON) -> str:
    return _many(number, "record")


@ledger.command("witness")
@pass_frame
def witness(frame: Frame) -> int:
    """Show what the witness has cosigned and how far it lags. Exit code 1 if it does not answer."""
    state = asyncio.run(_witness(frame.enter()))
    if state["witness"] is None:
        frame.tell(state, [operations.NO_WITNESS])
        return OK
    lines = [
        f"{line(state['witness'])} has cosigned {state['cosigned']} of {state['signed']} records"
    ]
    if state["cosigned_at_us"] is not None:
        lines.append(f"last at {at(state['cosigned_at_us'])}")
    if not state["answers"]:
        lines.append(f"{line(state['said'])}: {state['lag']} records wait for it")
    elif state["holds"] != state["cosigned"]:
        lines.append(f"it says that it holds {state['holds']} records")
    if state["held"]:
        lines.append("THE LEDGER IS HELD: nothing is written; see `bailiwick stops list`")
    frame.tell(state, lines)
    return OK if state["answers"] and not state["held"] else FOUND


@ledger.command("accept-restore")
@pass_frame
def accept_restore(frame: Frame) -> int:
    """Accept that the database is older than what tiles or the witness know, and write again.

    What was done after it was copied stays done in the world, and its records are not here: look
    at the tiles, and at the providers, before. With two administrators both have to ask for it.
    """
    answer = cast("Object", ask(frame, "ledger accept-restore"))
    if (waits := waiting(frame, answer)) is not None:
        return waits
    heads = ", ".join(map(str, cast("list[JSON]", answer["heads"])))
    frame.tell(answer, [f"the ledger goes on without what was known as {heads}; it says so itself"])
    return OK


async def _witness(settings: Settings) -> dict[str, JSON]:
    async with beside(settings) as world:
        return await operations.witness_state(world)


async def _keys(settings: Settings) -> list[log.Tenure]:
    async with beside(settings) as world:
        return await log.tenures(world)


async def _verified(settings: Settings) -> dict[str, JSON]:
    async with beside(settings) as world:
        return await operations.audit(world)


async def _exported(settings: Settings, folder: Path | None, tiles: Path | None) -> dict[str, JSON]:
    async def write(world: World) -> dict[str, JSON]:
        if tiles is not None:
            return await operations.project(world, tiles)
        assert folder is not None
        return await operations.export(world, folder)

    try:
        async with in_place(settings) as world:
            await log.grow(world)
            return await write(world)
    except StoreFenced as fault:
        if fault.code != "store_owned":
            raise
    async with beside(settings) as world:
        return await write(world)


COMMANDS = (ledger,)
