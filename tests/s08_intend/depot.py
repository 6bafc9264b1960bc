"""A store by itself, of either kind: its doors, and actions made of nothing but a name."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg

from bailiwick.config import Settings
from bailiwick.nouns import Action, Caller, Cap, Capability, Hold
from bailiwick.ports import Due, Keeping, Ledger, Register, Shelf, Store
from bailiwick.store import postgres
from bailiwick.store.migrating import migrate
from bailiwick.store.sqlite import (
    Database,
    SqliteDue,
    SqliteKeeping,
    SqliteLedger,
    SqliteRegister,
    SqliteShelf,
    SqliteStore,
)
from bailiwick.transactions import Blocked, Commit, Committed, Op, RaiseEpoch

TENANT = "acme"
NOW_US = 1_800_000_000_000_000
CALLER = Caller(
    tenant=TENANT,
    agent="clerk",
    subject="sue",
    capability=Capability(
        id="jti-1", run="run-1", grants=(), issued_at_us=0, expires_at_us=0, key_thumbprint="t"
    ),
)


class Where(NamedTuple):
    """A store that is not open: an SQLite file's path, or a PostgreSQL database's address."""

    store: str

    @property
    def is_file(self) -> bool:
        return not self.store.startswith("postgresql:")

    @property
    def file(self) -> Path:
        return Path(self.store)


def within(folder: Path) -> Where:
    """An SQLite file in a folder."""
    return Where(str(folder / "store.sqlite"))


@dataclass
class Depot:
    """An open store. `now_us` is the store's clock, which stands still unless a test moves it."""

    where: Where
    store: Store
    shelf: Shelf
    register: Register
    ledger: Ledger
    keeping: Keeping
    due_of: Callable[[int], Due]
    clock: list[int]
    database: Any

    @property
    def file(self) -> Path:
        return self.where.file

    def due(self, lease_s: float = 5.0) -> Due:
        return self.due_of(int(lease_s * 1_000_000))

    async def commit(self, *ops: Op) -> Committed | Blocked:
        return await self.store.commit(Commit(tenant=TENANT, ops=ops))

    async def together(self, *members: tuple[Op, ...]) -> list[Committed | Blocked]:
        """Commit several members at once: one batch, in this order."""
        return list(await asyncio.gather(*(self.commit(*ops) for ops in members)))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What another process would read."""
        if not self.where.is_file:
            with psycopg.connect(self.where.store) as connection:
                return connection.execute(query.encode()).fetchall()
        with closing(sqlite3.connect(f"{self.where.file.as_uri()}?mode=ro", uri=True)) as reader:
            return reader.execute(query).fetchall()

    def balances(self) -> Mapping[str, tuple[int, int]]:
        found = self.rows("select node, spent, held from budgets")
        return {node: (spent, held) for node, spent, held in found}


@asynccontextmanager
async def depot(where: Where, *, alone: bool = True, **settings: Any) -> AsyncIterator[Depot]:
    """A store, made if it is not there, open until the block ends."""
    clock = [NOW_US]
    given = {"free_space_watermark_mb": 0, "batch_gap_ms": 0.0, "store": where.store, **settings}
    made, close = (_file if where.is_file else _shared)(where, Settings(**given), clock, alone)
    try:
        if alone and await made.store.epoch(TENANT) == 0:
            await made.commit(RaiseEpoch())
        yield made
    finally:
        await close()


Opened = tuple[Depot, Callable[[], Awaitable[None]]]


def _file(where: Where, of: Settings, clock: list[int], alone: bool) -> Opened:
    if alone:
        migrate(where.file)
    database = Database(where.file, of, lambda: clock[0], alone=alone)
    made = Depot(
        where,
        SqliteStore(database),
        SqliteShelf(database),
        SqliteRegister(database),
        SqliteLedger(database),
        SqliteKeeping(database),
        lambda lease_us: SqliteDue(database, lease_us),
        clock,
        database,
    )
    return made, database.close


def _shared(where: Where, of: Settings, clock: list[int], alone: bool) -> Opened:
    database = postgres.PostgresDatabase(postgres.Address(where.store), of, lambda: clock[0])
    made = Depot(
        where,
        postgres.PostgresStore(database),
        postgres.PostgresShelf(database),
        postgres.PostgresRegister(database),
        postgres.PostgresLedger(database),
        postgres.PostgresKeeping(database),
        lambda lease_us: postgres.PostgresDue(database, lease_us),
        clock,
        database,
    )
    return made, database.close


def action(name: str, **members: Any) -> Action:
    """An action that is to be inserted."""
    plain = Action(
        id=f"act-{name}",
        tenant=TENANT,
        agent="clerk",
        subject="sue",
        run="run-1",
        tool="desk.note",
        tool_digest="0" * 64,
        name=f"key:{name}",
        attempt=1,
        state="intended",
        version=1,
        arguments_mac="",
        caller=CALLER,
        created_at_us=NOW_US,
        updated_at_us=NOW_US,
        lease_owner="me",
        lease_until_us=NOW_US + 5_000_000,
    )
    return msgspec.structs.replace(plain, **members)


def hold(node: str, amount: int, limit: int = 100) -> Hold:
    return Hold(cap=Cap(node=node, unit="calls", limit=limit), amount=amount)
