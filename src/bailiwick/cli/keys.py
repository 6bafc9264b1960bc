"""keys: list the key files, rotate them, wrap the keys of runs anew, retire what is replaced."""

import asyncio
import os
from collections.abc import Mapping
from typing import cast, get_args

import click

from bailiwick import identity, operations
from bailiwick.cli.frame import OK, Frame, Group, pass_frame
from bailiwick.cli.reaching import ask, beside, in_place
from bailiwick.cli.telling import line, table
from bailiwick.config import Settings
from bailiwick.errors import BailiwickError
from bailiwick.housekeeping import begin
from bailiwick.identity.keyring import DOES, KeyFile, Rolling
from bailiwick.values import JSON
from bailiwick.wiring import keys_folder

_STILL_DOES = {
    "token": "verifies tokens",
    "log": "signs the ledger's heads until it is retired",
    "vault": "unwraps the keys of older runs",
}
_AFTER: dict[str, tuple[str, ...]] = {
    "token": (
        "it signs from the next start of the process that owns the database on",
        "the older ones still verify: retire them once what they signed has expired",
    ),
    "log": (
        "from the next start of the process that owns the database on, it signs every head beside",
        "the older ones; give its vkey (`bailiwick ledger keys`) to whoever verifies and to the",
        "witness, then retire the older one with `bailiwick keys retire log`",
    ),
    "vault": (
        "it wraps the keys of new runs from the next start of the process that owns the database",
        "the keys of older runs stay wrapped by the older vault keys until all processes have been",
        "started anew and `bailiwick keys rewrap` is done; then `bailiwick keys retire vault`",
    ),
}
_USE = click.Choice(get_args(Rolling))


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
@click.argument("use", type=_USE)
@pass_frame
def keys_rotate(frame: Frame, use: Rolling) -> int:
    """Add a new key for the USE; the older ones are kept and still read what they wrote.

    The keys of the pseudonyms and the one for equality cannot be changed.
    """
    settings = frame.enter()
    folder = keys_folder(settings)
    kid = identity.rotate_key(folder, use, os.urandom)
    told = [f"there is a new {use} key {kid} in {line(str(folder))}", *_AFTER[use]]
    told.append(_recorded(settings))
    frame.tell({"use": use, "kid": kid}, [*told, "back the folder up, apart from the database"])
    return OK


@keys.command("retire")
@click.argument("use", type=_USE)
@click.argument("kid")
@pass_frame
def keys_retire(frame: Frame, use: Rolling, kid: str) -> int:
    """Delete the file of the key KID, which newer ones of the USE have replaced.

    Refused while runs are under a vault key, or while no other key of the log has signed. A token
    key is not looked for in what it signed: wait until its tokens and sessions have expired.
    """
    settings = frame.enter()
    asyncio.run(_retired(settings, use, kid))
    told = [f"the {use} key {kid} is deleted; a process that is running uses it until it ends"]
    frame.tell({"use": use, "kid": kid}, [*told, _recorded(settings)])
    return OK


@keys.command("rewrap")
@pass_frame
def keys_rewrap(frame: Frame) -> int:
    """Wrap the keys of all runs by the newest vault key, step by step; it can be given again.

    Start every process of the project anew before: one that does not know the newest key could not
    open the payloads of these runs any more.
    """
    looked = rewrapped = lost = 0
    after: JSON = ""
    while after is not None:
        step = cast("Mapping[str, int]", ask(frame, "keys rewrap", after=after))
        looked, lost = looked + step["looked"], lost + step["lost"]
        rewrapped, after = rewrapped + step["rewrapped"], step["next"]
        key = step["key"]
    lines = [f"{rewrapped} of {looked} runs are now under the vault key {key}"]
    if lost:
        lines.append(f"{lost} runs are under a key that is not here: nothing can open them")
    frame.tell({"key": key, "looked": looked, "rewrapped": rewrapped, "lost": lost}, lines)
    return OK


def _recorded(settings: Settings) -> str:
    """Have the ledger say which keys are new or gone, if nobody else owns the database."""
    if not settings.is_shared and not settings.path(settings.store).exists():
        return "there is no database yet that could say so"
    try:
        asyncio.run(_begun(settings))
    except BailiwickError as fault:
        return f"the ledger says so at the next start of the database's owner [{fault.code}]"
    return "the ledger says so"


async def _begun(settings: Settings) -> None:
    async with in_place(settings) as world:
        await begin(world)


async def _retired(settings: Settings, use: Rolling, kid: str) -> None:
    async with beside(settings) as world:
        await operations.retire_key(world, keys_folder(settings), use, kid)


def _does(key: KeyFile) -> str:
    return (_STILL_DOES if key.older else DOES).get(key.use, "nothing: the newest one does it")


COMMANDS = (keys,)
