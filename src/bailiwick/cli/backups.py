"""backup, restore: copies of a project, made while it works; the drill shows that they serve."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import click
import msgspec

from bailiwick import operations
from bailiwick.cli.frame import FOUND, OK, Command, Frame, pass_frame
from bailiwick.cli.telling import at, line
from bailiwick.errors import BadInput
from bailiwick.values import JSON

Object = Mapping[str, JSON]


@click.command("backup", cls=Command)
@click.argument("folder", required=False, type=click.Path(path_type=Path, resolve_path=True))
@click.option("--drill", is_flag=True, help="Make one, restore it elsewhere, verify, tidy up.")
@pass_frame
def backup(frame: Frame, folder: Path | None, drill: bool) -> int:
    """Copy the project into FOLDER, which is not there yet, while its owner works.

    The database as of one moment and the project's files; not the keys, which belong elsewhere.
    Needs nobody to be logged in. With `--drill` exit code 1 if the drill does not pass.
    """
    if (folder is None) != drill:
        raise BadInput("there is neither a folder nor `--drill`, or both", code="usage")
    settings = frame.enter()
    if folder is None:
        told: Object = asyncio.run(operations.drill(settings))
        frame.tell(told, list(_drilled(told)))
        return OK if told["passed"] else FOUND
    made = operations.backup(settings, folder)
    held = made.contents
    lines = [
        f"backed up into {line(str(folder))}: {held.actions} actions, {held.records} records,"
        f" a log of {held.tree_size}",
        f"the {len(made.keys)} keys are not in it: keep a copy of them in another place",
    ]
    if held.open_actions:
        lines.append(f"{held.open_actions} actions are open in it: after a restore they go on")
    frame.tell(msgspec.to_builtins(made), lines)
    return OK


def _drilled(told: Object) -> Iterator[str]:
    held = cast("Object", told["contents"])
    yield "the drill passed" if told["passed"] else "the drill did NOT pass"
    yield f"  backed up in {told['backup_ms']} ms, restored and verified in {told['restore_ms']} ms"
    same = "the same as" if told["same_contents"] else "NOT the same as"
    yield f"  {held['actions']} actions, {held['records']} records: {same} in the backup"
    yield from _findings(told)


@click.command("restore", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, resolve_path=True),
    help="An empty folder, or one that holds the keys.",
)
@pass_frame
def restore(frame: Frame, folder: Path, target: Path) -> int:
    """Restore the backup FOLDER into another folder. Nothing is overwritten.

    Every file is compared with its digest first; then the ledger is verified, if the keys are
    there. Exit code 1 if keys are missing or something is found.
    """
    told: Object = asyncio.run(operations.restore(folder, target))
    lines = [
        f"restored into {line(str(target))}, as it was at {at(told['made_at_us'])}",
        f"perhaps {told['perhaps_forgotten']} intents are forgotten, if it went on as on the day"
        f" before ({told['intents_last_day']} intents): compare with the providers first",
    ]
    frame.tell(told, [*lines, *_findings(told)])
    for file in cast("list[str]", told["missing_keys"]):
        frame.warn(
            f"the key {line(file)} is not there, or another one: put it into the keys' folder"
        )
    return OK if told["verified"] and not told["missing_keys"] else FOUND


def _findings(told: Object) -> Iterator[str]:
    verified = {True: "the ledger verifies", False: "the ledger does NOT verify"}
    yield f"  {verified.get(cast('bool', told['verified']), 'the ledger could not be verified')}"
    payload = {True: "a payload opens", False: "NO payload opens"}
    yield f"  {payload.get(cast('bool', told['payload']), 'no payload was opened')}"
    for each in cast("list[Object]", told["findings"]):
        yield f"  {line(each['what'])}: {line(each['reason'])}"


COMMANDS = (backup, restore)
