"""A copy of an SQLite file while its owner works, and what is in it."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from bailiwick.errors import StoreUnavailable
from bailiwick.store import statements as sql
from bailiwick.store.database import schema_version
from bailiwick.store.writer import connect, fault_of

_DAY_US = 86_400_000_000


class Contents(Struct, frozen=True, kw_only=True):
    """What a database file holds: its schema, its log's size and newest head, and how much.

    `open_actions` are parked, in flight or unknown; `intents_last_day` those of the last 24 hours.
    """

    schema_version: int
    tree_size: int
    checkpoint: str
    actions: int
    records: int
    payloads: int
    runs: int
    open_actions: int
    intents_last_day: int


def copy_database(file: Path, target: Path) -> None:
    """Copy a database as of one moment, durably; its owner goes on meanwhile. Mode 0600.

    Raises `StoreUnavailable`; `store_corrupt` if the copy is not sound.
    """
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            closing(connect(file, read_only=True)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("pragma journal_mode = delete")
            (said,) = copy.execute("pragma quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise fault_of(error) from error
    if said != "ok":
        raise StoreUnavailable(
            f"`{file}` is damaged: {said}",
            code="store_corrupt",
            help="stop, keep a copy, and restore the newest backup",
        )
    with target.open("rb") as written:
        os.fsync(written.fileno())


def contents(file: Path, now_us: int) -> Contents:
    """Look into a database file. Raises `StoreUnavailable`."""
    try:
        with closing(connect(file, read_only=True)) as connection:
            counts = sql.one(connection, "contents", {"since_us": now_us - _DAY_US})
            head = sql.one(connection, "newest_checkpoint", {})
    except sqlite3.Error as error:
        raise fault_of(error) from error
    assert counts is not None
    names = ("tree_size", "actions", "records", "payloads", "runs", "open_actions")
    told: Mapping[str, int] = dict(zip((*names, "intents_last_day"), counts, strict=True))
    return Contents(schema_version=schema_version(file), checkpoint=head[1] if head else "", **told)
