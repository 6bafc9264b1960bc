"""Tiles: the ledger as static files in the layout of C2SP tlog-tiles, kept up to date in place.

They are a projection: whoever deletes the folder gets it back whole. Their head is also a memory of
the log outside its database, so a database that forgot records is found out by it. `export` says
what the files are. Files of the head before this one stay until the next, for readers under way.
"""

import asyncio
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bailiwick.errors import LedgerError
from bailiwick.ledger import note, tree
from bailiwick.ledger.export import CHECKPOINT, entry_bundle, tile_path
from bailiwick.ledger.tree import TILE_HEIGHT, TILE_WIDTH
from bailiwick.ports import Ledger

_TILE = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])"
    r"/(?P<number>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?",
    re.ASCII,
).fullmatch

Span = tuple[int, int, int]  # a tile of a level: the level, its number, how many it holds


def head_in(folder: Path) -> bytes | None:
    """The signed head of the tiles in a folder; None if there are none. It is not verified."""
    try:
        return (folder / CHECKPOINT).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether nobody else writes a folder's tiles until the block ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    handle = os.open(folder.with_name(f".{folder.name}.lock"), flags, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


async def project(ledger: Ledger, folder: Path, keys: list[note.NoteKey]) -> int:
    """Bring a folder's tiles to the newest signed head; give the number of records they then hold.

    The caller has locked the folder. What is there must be an earlier head of this log, and is not
    written again. Each record is compared with its leaf. The head comes last, so that a crash
    leaves the earlier one whole.
    Raises `LedgerError` (`tiles_foreign`, `tile_mismatch`, what a bad head raises), `OSError`.
    """
    kept, there = await ledger.checkpoint(), head_in(folder)
    if kept is None or kept[1].encode() == there:
        return kept[0] if kept else 0
    size, checkpoint = kept[0], kept[1].encode()
    old = note.verify_checkpoint(there, keys).size if there else 0
    if old > size:
        return old  # another process was quicker
    if there is None and await asyncio.to_thread(_is_foreign, folder):
        raise LedgerError(
            f"`{folder}` holds something else than tiles",
            code="tiles_foreign",
            help="name a folder that is new, or empty it",
        )
    for _, number, width in _changed(old, size, levels=1):
        await asyncio.to_thread(_write, folder, *await _bundle(ledger, number, width))
    for level, number, width in _changed(old, size):
        hashes = await _hashes(ledger, level, number, width)
        content = b"".join(hashes.values())
        await asyncio.to_thread(_write, folder, tile_path(level, number, width), content)
    await asyncio.to_thread(_write, folder, CHECKPOINT, checkpoint)
    await asyncio.to_thread(_sweep, folder, old, size)
    return size


async def tile(ledger: Ledger, path: str, size: int) -> bytes | None:
    """The content of one tile of the tree of `size` records, by its path; None if it has none.

    The path is the one that `tile_path` gives: any other way to write it names nothing.
    """
    named = _TILE(path)
    if named is None:
        return None
    level = None if named["level"] == "entries" else int(named["level"])
    number = tile_number(path)
    width = int(named["width"] or TILE_WIDTH)
    there = (size >> TILE_HEIGHT * (level or 0)) - number * TILE_WIDTH
    if path != tile_path(level, number, width) or not 0 < width <= min(there, TILE_WIDTH):
        return None
    if level is None:
        return (await _bundle(ledger, number, width))[1]
    return b"".join((await _hashes(ledger, level, number, width)).values())


def tile_number(path: str) -> int:
    """The number of a tile among those of its level, by a path that is one."""
    named = _TILE(path)
    return int(named["number"].replace("x", "").replace("/", "")) if named else 0


def _is_foreign(folder: Path) -> bool:
    """Whether a folder without a head holds more than what a crash left of the first tiles."""
    return folder.exists() and any(each.name != "tile" for each in folder.iterdir())


def _changed(old: int, new: int, levels: int = 64) -> Iterator[Span]:
    """The tiles of the new tree that the old one has not, level by level."""
    for level in range(levels):
        first, count = old >> TILE_HEIGHT * level, new >> TILE_HEIGHT * level
        if first == count:
            return
        for number in range(first // TILE_WIDTH, -(-count // TILE_WIDTH)):
            yield level, number, min(TILE_WIDTH, count - number * TILE_WIDTH)


async def _bundle(ledger: Ledger, number: int, width: int) -> tuple[str, bytes]:
    first = number * TILE_WIDTH
    bodies = [record.body for record in await ledger.records(first, width)]
    hashes = await _hashes(ledger, 0, number, width)
    for index, hash in hashes.items():
        at = index - first
        if at >= len(bodies) or tree.leaf_hash(bodies[at]) != hash:
            raise _mismatch(f"record {index} is not the one that has its place in the tree")
    return tile_path(None, number, width), entry_bundle(bodies)


async def _hashes(ledger: Ledger, level: int, number: int, width: int) -> Mapping[int, bytes]:
    first = number * TILE_WIDTH
    places = [(TILE_HEIGHT * level, index) for index in range(first, first + width)]
    found = await ledger.nodes(places)
    if len(found) != width:
        raise _mismatch(f"the tree lacks nodes of level {TILE_HEIGHT * level}")
    return {place[1]: found[place] for place in places}


def _write(folder: Path, name: str, content: bytes) -> None:
    """Put a file in its place whole; the head's name is durable on return."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)
    if name != CHECKPOINT:
        return
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path, old: int, new: int) -> None:
    """Remove partial tiles that neither of two heads needs; where a tile is full, all of them."""
    for level in (None, *range(64)):
        height = TILE_HEIGHT * (level or 0)
        number, width = divmod(old >> height, TILE_WIDTH)
        partial = folder / tile_path(level, number, 1)
        if new >> height >= (number + 1) * TILE_WIDTH:
            shutil.rmtree(partial.parent, ignore_errors=True)
        elif partial.parent.is_dir():
            for each in partial.parent.iterdir():
                if not each.name.isdecimal() or int(each.name) < width:
                    each.unlink()
        if not old >> height:
            return


def _mismatch(why: str) -> LedgerError:
    return LedgerError(why, code="tile_mismatch", help="stop, and run `bailiwick ledger verify`")
