"""keys: list the key files, and give the tokens or the vault a new one."""

import os
from typing import get_args

import click

from bailiwick import identity
from bailiwick.cli.frame import OK, Frame, Group, pass_frame
from bailiwick.cli.telling import line, table
from bailiwick.identity.keyring import DOES, KeyFile, Rolling
from bailiwick.wiring import keys_folder

_STILL_DOES = {"token": "verifies tokens", "vault": "unwraps the keys of older runs"}
_AFTER: dict[str, tuple[str, ...]] = {
    "token": (
        "it signs from the next start of the process that owns the database on",
        "the older ones still verify: remove their files once what they signed has expired",
    ),
    "vault": (
        "it wraps the keys of new runs from the next start of the process that owns the database",
        "the keys of older runs stay wrapped by the older vault keys: keep those files as long as",
        "anybody needs the payloads of these runs, since nothing else opens them",
    ),
}


@click.group("keys", cls=Group)
def keys() -> None:
    """The key files. Whoever may write their folder needs no leave: nobody has to be logged in."""


@keys.command("list")
@pass_frame
def keys_list(frame: Frame) -> int:
    """List the key files and what each does; none of them is read."""
    found = identity.list_keys(keys_folder(frame.enter()))
    rows = [(each.use, each.kid, _does(each), str(each.path)) for each in found]
    frame.tell(
        [dict(zip(("use", "kid", "does", "file"), row, strict=True)) for row in rows],
        table(["USE", "ID", "DOES", "FILE"], [list(row) for row in rows], "there are no keys"),
    )
    return OK


@keys.command("rotate")
@click.argument("use", type=click.Choice(get_args(Rolling)))
@pass_frame
def keys_rotate(frame: Frame, use: Rolling) -> int:
    """Add a new key for the USE; the older ones are kept and still read what they wrote.

    The keys of the log and of the pseudonyms and the one for equality cannot be changed yet.
    """
    folder = keys_folder(frame.enter())
    kid = identity.rotate_key(folder, use, os.urandom)
    told = [f"there is a new {use} key {kid} in {line(str(folder))}", *_AFTER[use]]
    frame.tell({"use": use, "kid": kid}, [*told, "back the folder up, apart from the database"])
    return OK


def _does(key: KeyFile) -> str:
    return (_STILL_DOES if key.older else DOES).get(key.use, "nothing: the newest one does it")


COMMANDS = (keys,)
