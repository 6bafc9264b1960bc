"""Plain SQL migrations, carried out by yoyo. Opened by name, since it is needed once a file."""

import os
import shutil
from pathlib import Path

import yoyo

from bailiwick.errors import StoreFenced
from bailiwick.store.database import SCHEMA_VERSION, own, schema_version

_FOLDER = Path(__file__).parent / "migrations" / "sqlite"


def migrate(file: Path) -> bool:
    """Bring a file to this program's schema; an existing one is copied beside itself first.

    True if anything was done. Raises `StoreFenced` when the file is newer than this program, or
    another process owns it.
    """
    version = schema_version(file)
    if version == SCHEMA_VERSION:
        return False
    if version > SCHEMA_VERSION:
        raise StoreFenced(
            f"`{file}` was written by a newer program",
            code="schema_version",
            help="start the newer program",
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = own(file)
    try:
        if file.exists() and file.stat().st_size:
            shutil.copy2(file, file.with_suffix(f".before-v{SCHEMA_VERSION}"))
        # Made here, so that nobody else can read it: SQLite gives its other files the same mode.
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        backend = yoyo.get_backend(f"sqlite:///{file}")
        with backend.lock():
            backend.apply_migrations(backend.to_apply(yoyo.read_migrations(str(_FOLDER))))
        backend.connection.close()
    finally:
        os.close(lock)
    return True
