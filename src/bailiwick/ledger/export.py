"""Exports: the whole ledger as a folder of static files, in the layout of C2SP tlog-tiles v0.1.0.

    checkpoint              the signed tree head; its size says how many records there are
    tile/entries/<N>        256 records, each preceded by its length (16 bits, big endian)
    tile/0/<N>              their 256 leaf hashes, 32 bytes each
    tile/<L>/<N>            at level L, the roots of 256 full tiles of level L - 1

`<N>` counts from 0 and is written in groups of three digits, all but the last with an `x` before
it: `x001/x234/067`. The last file of a level, if it is not full, is named `<N>.p/<width>`. Any
tool that reads tlog-tiles can read an export; `bailiwick_verify.py` verifies it offline.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from bailiwick.errors import LedgerError
from bailiwick.ledger.note import parse, parse_checkpoint
from bailiwick.ledger.records import MAX_RECORD_BYTES
from bailiwick.ledger.tree import TILE_HEIGHT, TILE_WIDTH, Frontier, append, leaf_hash, root

CHECKPOINT = "checkpoint"


def tile_path(level: int | None, index: int, width: int = TILE_WIDTH) -> str:
    """Name a tile's file: of hashes at a level, or of entries where the level is None."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{'entries' if level is None else level}/{'/'.join(groups)}{partial}"


def export_files(records: Iterable[bytes], checkpoint: bytes) -> Iterator[tuple[str, bytes]]:
    """Give every file of an export, (path, content), from all records in the order of the tree.

    Holds one tile of each level in memory. The checkpoint comes last and only if the records are
    exactly those it speaks of; else raises `LedgerError` (`export_mismatch`). Its signature is
    not looked at.
    """
    head = parse_checkpoint(parse(checkpoint).text)
    source, frontier = iter(records), Frontier()
    levels: list[_Level] = [_Level(0)]
    while bundle := list(islice(source, TILE_WIDTH)):
        yield tile_path(None, frontier.size // TILE_WIDTH, len(bundle)), entry_bundle(bundle)
        hashes = list(map(leaf_hash, bundle))
        frontier, completed = append(frontier, hashes)
        yield from levels[0].add(hashes)
        for level, _, node in completed:
            if level % TILE_HEIGHT == 0:
                if level // TILE_HEIGHT == len(levels):
                    levels.append(_Level(len(levels)))
                yield from levels[level // TILE_HEIGHT].add([node])
    for each in levels:
        yield from each.rest()
    if (frontier.size, root(frontier)) != (head.size, head.root):
        raise LedgerError(
            f"the records do not give the checkpoint's tree of {head.size}",
            code="export_mismatch",
            help="export all records in the order of the tree, up to the checkpoint's size",
        )
    yield CHECKPOINT, checkpoint


def write_export(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write the files of an export below a folder that is new or empty; never overwrites."""
    for name, content in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)


class _Level:
    """The tile that is being filled at one level."""

    def __init__(self, level: int) -> None:
        self._level, self._index, self._hashes = level, 0, list[bytes]()

    def add(self, hashes: list[bytes]) -> Iterator[tuple[str, bytes]]:
        self._hashes += hashes
        if len(self._hashes) == TILE_WIDTH:
            yield tile_path(self._level, self._index), b"".join(self._hashes)
            self._index, self._hashes = self._index + 1, []

    def rest(self) -> Iterator[tuple[str, bytes]]:
        if self._hashes:
            width = len(self._hashes)
            yield tile_path(self._level, self._index, width), b"".join(self._hashes)


def entry_bundle(records: list[bytes]) -> bytes:
    """Give the content of a tile of entries: each record, preceded by its length."""
    if any(len(record) > MAX_RECORD_BYTES for record in records):
        raise LedgerError("a record is larger than an entry may be", code="record_too_large")
    return b"".join(len(record).to_bytes(2, "big") + record for record in records)
