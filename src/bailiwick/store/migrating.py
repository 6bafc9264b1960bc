"""Plain SQL migrations, carried out by yoyo. Opened by name, since it is needed once a file."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import yoyo

from bailiwick.errors import StoreFenced
from bailiwick.store.database import SCHEMA_VERSION, own, schema_version
from bailiwick.store.writer import connect, fault_of

_FOLDER = Path(__file__).parent / "migrations" / "sqlite"


def migrate(file: Path) -> Path | None:
    """Bring a file to this program's schema; an existing one is copied beside itself first.

    Gives the copy; None where there was nothing to copy, or nothing to do. Raises `StoreFenced`
    when the file is newer than this program, or another process owns it.
    """
    version = schema_version(file)
    if version == SCHEMA_VERSION:
        return None
    if version > SCHEMA_VERSION:
        raise StoreFenced(
            f"`{file}` was written by a newer program",
            code="schema_version",
            help="start the newer program",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = own(file)
    try:
        copy = _copy(file) if file.exists() and file.stat().st_size else None
        # Made here, so that nobody else can read it: SQLite gives its other files the same mode.
        _make(file)
        backend = yoyo.get_backend(f"sqlite:///{file}")
        with closing(backend.connection), backend.lock():
            backend.apply_migrations(backend.to_apply(yoyo.read_migrations(str(_FOLDER))))
    except sqlite3.Error as error:
        raise fault_of(error) from error
    finally:
        os.close(lock)
    return copy


def _copy(file: Path) -> Path:
    """Copy through SQLite: what a killed owner left in its write-ahead log belongs to it."""
    copy = file.with_suffix(f".before-v{SCHEMA_VERSION}")
    copy.unlink(missing_ok=True)
    _make(copy)
    with closing(connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _make(file: Path) -> None:
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
