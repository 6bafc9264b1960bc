"""The one writer: group commit, and no answer before COMMIT returns.

Callers put members on a list; whatever is there when the writer comes round becomes one
transaction, and all of them are answered at once. Statements run on the event loop's thread, where
the callers are: two threads that hand the interpreter to each other at every statement cost four
times as much. What can wait, for the disk or for another process, runs in a thread of its own: the
COMMIT, and a BEGIN that finds the file busy.

When a batch dies (a full disk takes the whole transaction with it), the room that was kept for that
is given up, and it is tried again; then each member is tried alone, so that one too many does not
fail its neighbours.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bailiwick.config import Settings
from bailiwick.errors import StoreError, StoreFenced, StoreUnavailable
from bailiwick.store.batch import Batch, WroteInVain
from bailiwick.store.queue import BatchQueue, Member, answer
from bailiwick.store.reserve import Reserve

Work = Callable[[Batch], Any]

_DISK_LOOK_US = 100_000
_BUSY_MS = 5_000
# A lone commit as quick as this is made in place, on the event loop's thread.
_QUICK_SYNC_US = 5_000


DURABLE = ("wal", "full")
# What opening meets on a disk that has no room for the write-ahead log's index.
_NO_INDEX = "SQLITE_IOERR_SHMSIZE"
_LEVELS = ("off", "normal", "full", "extra")


class Writer(BatchQueue[Work]):
    """Owns the writing connection. It belongs to the event loop that first submits to it."""

    def __init__(
        self,
        file: Path,
        settings: Settings,
        now_us: Callable[[], int],
        committed: Callable[[Batch], None],
        known_holds: Mapping[tuple[str, str], bytes],
    ) -> None:
        super().__init__(settings.batch_limit, settings.batch_gap_ms)
        self._file = file
        self._settings = settings
        self._now_us = now_us
        self._committed = committed
        self._known_holds = known_holds
        self._broken = False
        self._busy = False
        self._sync_us = 0
        self._disk_looked_us = 0
        self._disk_is_low = False
        self._reserve = Reserve(file)
        self._connection = connect(file)
        self._connection.execute("pragma busy_timeout = 0")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bailiwick-store")

    @property
    def idle(self) -> sqlite3.Connection | None:
        """The connection, while it is in no transaction and in no thread's hands."""
        return None if self._busy else self._connection

    async def close(self) -> None:
        """Everything submitted is answered and the connection is closed."""
        await self._drained()
        self._thread.shutdown()
        self._connection.close()

    async def _serve(self, members: list[Member[Work]]) -> None:
        self._busy = True
        try:
            await self._transact(members)
            self._busy = False
        except Exception as error:  # noqa: BLE001 - the writer must outlive any member
            self._busy = self._broken
            if _is_full(error) and not self._broken and self._reserve.give_up():
                await self._serve(members)
                return
            if len(members) > 1 and not self._broken:
                for member in members:
                    await self._serve([member])
                return
            for member in members:
                member.error = fault_of(error) if isinstance(error, sqlite3.Error) else error
        answer(members)

    async def _transact(self, members: list[Member[Work]]) -> None:
        if self._broken:
            raise _broken()
        try:
            batch = await self._carry(members, savepoints=False)
        except WroteInVain:
            batch = await self._carry(members, savepoints=True)
        try:
            await self._sync(len(members))
        except sqlite3.Error as error:
            self._roll_back()
            # After a failed sync nobody can say what the disk holds: only a full disk and a busy
            # file are known to have written nothing.
            self._broken = error.sqlite_errorname not in {"SQLITE_FULL", "SQLITE_BUSY"}
            raise (_broken() if self._broken else error) from error
        self._committed(batch)
        if batch.erased:
            await self._scrub()

    async def _scrub(self) -> None:
        """What was erased leaves the write-ahead log too, unless somebody is reading just now."""
        with suppress(sqlite3.Error):
            await self._in_thread("pragma wal_checkpoint(truncate)")

    async def _carry(self, members: list[Member[Work]], *, savepoints: bool) -> Batch:
        """Begin a transaction and have everybody's work done in it; it is left open."""
        await self._begin()
        try:
            batch = Batch(
                self._connection,
                self._now_us(),
                disk_is_low=self._is_disk_low(),
                savepoints=savepoints,
                known_holds=self._known_holds,
            )
            for member in members:
                member.answer = member.work(batch)
            batch.write_balances()
        except BaseException:
            self._roll_back()
            raise
        return batch

    async def _begin(self) -> None:
        try:
            self._connection.execute("begin immediate")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY":
                raise
            self._connection.execute(f"pragma busy_timeout = {_BUSY_MS}")
            try:
                await self._in_thread("begin immediate")
            finally:
                self._connection.execute("pragma busy_timeout = 0")

    async def _sync(self, members: int) -> None:
        """COMMIT. A lone member on a quick disk is not worth the two hand-overs to a thread.

        There is nobody else whom the thread would let go on; what else the loop has to do waits
        for the few milliseconds that the average of late commits says it will be.
        """
        began_us = time.monotonic_ns() // 1000
        if members == 1 and self._sync_us < _QUICK_SYNC_US:
            self._connection.execute("commit")
        else:
            await self._in_thread("commit")
        took_us = time.monotonic_ns() // 1000 - began_us
        self._sync_us += (took_us - self._sync_us) // 8

    async def _in_thread(self, statement: str) -> None:
        def run() -> None:
            # To its last row: no COMMIT succeeds beside a statement that has not ended.
            self._connection.execute(statement).fetchall()

        loop = asyncio.get_running_loop()
        # Shielded: a cancelled pump must not leave the connection in a thread's hands.
        await asyncio.shield(loop.run_in_executor(self._thread, run))

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("rollback")

    def _is_disk_low(self) -> bool:
        now_us = time.monotonic_ns() // 1000
        if now_us - self._disk_looked_us > _DISK_LOOK_US:
            self._disk_looked_us = now_us
            room = os.statvfs(self._file.parent)
            free = room.f_bavail * room.f_frsize
            self._disk_is_low = free < self._settings.free_space_watermark_mb * 1024 * 1024
            if not self._disk_is_low:
                self._reserve.keep(free)
        return self._disk_is_low


def _is_full(error: Exception) -> bool:
    # An error of the module itself, such as a value that cannot be bound, has no name.
    return getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"


def _broken() -> StoreFenced:
    return StoreFenced(
        "a commit's fate is not known to this process",
        code="store_broken",
        help="restart the process; recovery looks up what was under way",
    )


def connect(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a connection in autocommit, with full durability. Raises `StoreUnavailable`."""
    try:
        connection = _reading(file) if read_only else _connection(file)
    except sqlite3.Error as error:
        raise fault_of(error) from error
    try:
        connection.execute("pragma synchronous = full")
        if not read_only:
            connection.execute("pragma journal_mode = wal")
            _insist(connection)
        # What is erased is written over, rather than left in the file's free space.
        connection.execute("pragma secure_delete = on")
        # Hot pages (budgets, index edges) are copied back once in 4,000 pages, not in 1,000.
        connection.execute("pragma wal_autocheckpoint = 4000")
        # Pages of the mapped part count as this process's memory; more of it was not faster.
        connection.execute("pragma mmap_size = 16777216")
    except sqlite3.Error as error:
        connection.close()
        raise fault_of(error) from error
    except StoreUnavailable:
        connection.close()
        raise
    return connection


def _connection(file: Path, how: str = "") -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?{how}" if how else file,
        uri=bool(how),
        isolation_level=None,
        check_same_thread=False,
        timeout=5.0,
        cached_statements=256,
    )


def _reading(file: Path) -> sqlite3.Connection:
    """Open for reading, also where nothing can be written: SQLite then cannot make its index.

    Without a write-ahead log nobody has the file open who could write it, and it is read as it is.
    """
    connection = _connection(file, "mode=ro")
    try:
        connection.execute("pragma user_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        name = error.sqlite_errorname
        known = ("SQLITE_READONLY", "SQLITE_CANTOPEN", _NO_INDEX)
        if not name.startswith(known) or not file.exists():
            raise
        log = file.with_name(f"{file.name}-wal")
        if log.exists() and log.stat().st_size:
            raise StoreUnavailable(
                f"`{log}` cannot be read where nothing can be written",
                code="store_read_only",
                help="copy the database with it to a folder that you may write, and look there",
            ) from error
        return _connection(file, "mode=ro&immutable=1")
    return connection


def in_force(connection: sqlite3.Connection) -> tuple[str, str]:
    """The journal mode and the synchronous level that a connection has, not those it was given."""
    (mode,) = connection.execute("pragma journal_mode").fetchone()
    (level,) = connection.execute("pragma synchronous").fetchone()
    return mode, _LEVELS[level]


def _insist(connection: sqlite3.Connection) -> None:
    if in_force(connection) != DURABLE:
        mode, level = in_force(connection)
        raise StoreUnavailable(
            f"the database has the journal mode `{mode}` and is synced `{level}`",
            code="store_not_durable",
            help="keep it in a file on a local disk that takes a write-ahead log",
        )


def fault_of(error: sqlite3.Error) -> StoreError:
    """Say what a SQLite error means for the caller: nothing was written."""
    name = getattr(error, "sqlite_errorname", "")
    full = ("disk_full", "the disk is full", "free some space; nothing was lost")
    known = {
        "SQLITE_FULL": full,
        _NO_INDEX: full,
        "SQLITE_READONLY": (
            "store_read_only",
            "the database cannot be written",
            "check the file's and its folder's permissions",
        ),
        "SQLITE_BUSY": (
            "store_busy",
            "another process holds the database",
            "try again; if it lasts, find the process that holds the file",
        ),
        "SQLITE_CORRUPT": (
            "store_corrupt",
            "the database is damaged",
            "stop, keep a copy, and restore the newest backup",
        ),
        "SQLITE_NOTADB": (
            "store_corrupt",
            "the file is not a database",
            "check the `store` setting",
        ),
        "SQLITE_CANTOPEN": (
            "store_missing",
            "the database cannot be opened",
            "check the `store` setting and the folder's permissions",
        ),
    }
    prefix = next((key for key in known if name.startswith(key)), "")
    code, message, help = known.get(
        prefix, ("store_unavailable", f"the database refused: {error}", "see the message")
    )
    return StoreUnavailable(message, code=code, help=help)
