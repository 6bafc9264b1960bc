"""One SQLite file: who owns it, its writer, its reading connection, and its schema version."""

import fcntl
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from bailiwick.config import Settings
from bailiwick.errors import StoreFenced, StoreUnavailable
from bailiwick.nouns import Breaker
from bailiwick.store import statements as sql
from bailiwick.store.balances import BalanceKey
from bailiwick.store.batch import Batch
from bailiwick.store.bell import Bell
from bailiwick.store.reserve import Reserve
from bailiwick.store.waiting import Waiting
from bailiwick.store.writer import Writer, connect, fault_of, in_force
from bailiwick.transactions import MarkBreaker

T = TypeVar("T")

SCHEMA_VERSION = 11

_KEPT_BALANCES = 4096
_KEPT_HOLDS = 4096


class Database:
    """An open file. `alone` says that this process holds the owner's lock.

    Without the lock it serves commands beside a running owner: reading, and the few writes that
    must work when the owner does not answer (pulling a kill switch).
    """

    def __init__(
        self, file: Path, settings: Settings, now_us: Callable[[], int], *, alone: bool
    ) -> None:
        self.now_us = now_us
        self.alone = alone
        self.waiting = Waiting()
        # What only the owner changes, the owner need not read again.
        self._balances: OrderedDict[BalanceKey, tuple[int, int]] = OrderedDict()
        self._holds: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self.breakers: dict[tuple[str, str], Breaker | None] = {}
        self._file = file
        self._settings = settings
        self._writer: Writer | None = None
        self._lock = own(file) if alone else None
        try:
            if alone:
                Reserve(file).make_room()
            self.bell, self._reader = _opened(file, alone=alone)
        except BaseException:
            self._give_back_lock()
            raise

    async def write(self, work: Callable[[Batch], T]) -> T:
        """Have `work` done in the next batch; it is durable when this returns."""
        if self._writer is None:
            self._writer = Writer(
                self._file, self._settings, self.now_us, self._committed, self._holds
            )
        answer: T = await self._writer.submit(work)
        return answer

    def one(self, name: str, values: Mapping[str, object]) -> sql.Row | None:
        """Read the first row of a statement, as committed now."""
        try:
            return sql.one(self._idle() or self._reader, name, values)
        except sqlite3.Error as error:
            raise fault_of(error) from error

    def _idle(self) -> sqlite3.Connection | None:
        """The writing connection between two transactions: it knows the newest pages already."""
        return None if self._writer is None else self._writer.idle

    def every(self, name: str, values: Mapping[str, object]) -> list[sql.Row]:
        """Read all rows of a statement, as committed now."""
        try:
            return sql.every(self._reader, name, values)
        except sqlite3.Error as error:
            raise fault_of(error) from error

    def snapshot(self, read: Callable[[], T]) -> T:
        """Have several reads see one state."""
        self._reader.execute("begin")
        try:
            return read()
        finally:
            self._reader.execute("commit")

    def balance(self, key: BalanceKey) -> tuple[int, int]:
        """What a budget node has spent and holds, as committed now."""
        found = self._balances.get(key)
        if found is None or not self.alone:
            tenant, node, unit, bucket = key
            values = {"tenant": tenant, "node": node, "unit": unit, "bucket": bucket}
            row = self.one("balance", values)
            found = (row[0], row[1]) if row else (0, 0)
            self._keep({key: found})
        return found

    def _committed(self, batch: Batch) -> None:
        # Here, where no caller can be cancelled: a change that is durable is heard.
        if batch.controlled:
            self.bell.ring()
        self._keep(batch.balances.written())
        if self.alone:
            self._keep_holds(batch.held)

    def _keep_holds(self, held: Mapping[tuple[str, str], bytes | None]) -> None:
        for action, holds in held.items():
            if holds is None:
                self._holds.pop(action, None)
            else:
                self._holds[action] = holds
        while len(self._holds) > _KEPT_HOLDS:
            self._holds.popitem(last=False)

    def _keep(self, balances: Mapping[BalanceKey, tuple[int, int]]) -> None:
        self._balances.update(balances)
        while len(self._balances) > _KEPT_BALANCES:
            self._balances.popitem(last=False)

    def breaker(self, tenant: str, target: str) -> Breaker | None:
        """A target's recent failures, as committed now."""
        if not self.alone or (tenant, target) not in self.breakers:
            row = self.one("breaker", {"tenant": tenant, "target": target})
            self.breakers[tenant, target] = (
                Breaker(target=target, failures=row[0], open_until_us=row[1], recent=row[2])
                if row
                else None
            )
        return self.breakers[tenant, target]

    def forget_breaker(self, tenant: str, mark: MarkBreaker) -> None:
        """Read the target's failures again next time, unless a success found none to forget."""
        if mark.failed or mark.keep or self.breakers.get((tenant, mark.target)) is not None:
            self.breakers.pop((tenant, mark.target), None)

    async def close(self) -> None:
        """Everything submitted is answered; the file and the lock are given back."""
        # The writing connection closes last: only it can bring the write-ahead log home.
        self._reader.close()
        if self._writer is not None:
            await self._writer.close()
        self.bell.close()
        self._give_back_lock()

    def _give_back_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


def _opened(file: Path, *, alone: bool) -> tuple[Bell, sqlite3.Connection]:
    version = schema_version(file)
    if version != SCHEMA_VERSION:
        raise StoreFenced(
            f"`{file}` has schema version {version}, this program wants {SCHEMA_VERSION}",
            code="schema_version",
            help="run `bailiwick migrate`"
            if version < SCHEMA_VERSION
            else "start the newer program",
        )
    try:
        bell = Bell(file, alone=alone)
    except OSError as error:
        raise _not_writable(error) from error
    try:
        return bell, connect(file, read_only=True)
    except BaseException:
        bell.close()
        raise


def _not_writable(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"`{error.filename}` cannot be written: {error.strerror}",
        code="store_read_only",
        help="check the permissions of the file and of its folder",
    )


def own(file: Path) -> int:
    """Take the owner's lock beside the file. Raises `StoreFenced` if another process has it."""
    try:
        handle = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_writable(error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        owner = owner_of(file)
        raise StoreFenced(
            f"{'another process' if owner is None else f'process {owner}'} owns `{file}`",
            code="store_owned",
            help="try again when it has ended; processes at once need PostgreSQL",
        ) from error
    # Who it is, for people who have to end it; on a full disk nobody's number stands there.
    os.ftruncate(handle, 0)
    with suppress(OSError):
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
    return handle


def owner_of(file: Path) -> int | None:
    """The number of the process that has the owner's lock, if it could write it."""
    try:
        written = Path(f"{file}.lock").read_bytes()
    except OSError:
        return None
    return int(written) if written.strip().isdigit() and is_owned(file) else None


def is_owned(file: Path) -> bool:
    """Whether a process has the owner's lock. Nothing is made or written for the look."""
    try:
        handle = os.open(f"{file}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreUnavailable(
            f"`{error.filename}` cannot be read: {error.strerror}",
            code="store_unreadable",
            help="look as the user to whom the database belongs",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def durability(file: Path) -> tuple[str, str]:
    """The journal mode and the synchronous level that are in force on a connection that writes.

    It is opened as the owner opens its own, which insists on `wal` and `full`.
    """
    connection = connect(file)
    try:
        return in_force(connection)
    except sqlite3.Error as error:
        raise fault_of(error) from error
    finally:
        connection.close()


def schema_version(file: Path) -> int:
    """The version of the schema in the file; 0 for a file that is not there or empty."""
    if not file.exists():
        return 0
    connection = connect(file, read_only=True)
    try:
        row = connection.execute("pragma user_version").fetchone()
    except sqlite3.Error as error:
        raise fault_of(error) from error
    finally:
        connection.close()
    return int(row[0])
