"""A store by itself: a fresh file, its doors, and actions made of nothing but a name."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bailiwick.config import Settings
from bailiwick.nouns import Action, Caller, Cap, Capability, Hold
from bailiwick.ports import Blocked, Commit, Committed, Op, RaiseEpoch
from bailiwick.store import Database, SqliteDue, SqliteShelf, SqliteStore
from bailiwick.store.migrating import migrate

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


@dataclass
class Depot:
    """An open file. `now_us` is the store's clock, which stands still unless a test moves it."""

    file: Path
    database: Database
    store: SqliteStore
    shelf: SqliteShelf
    clock: list[int]

    def due(self, lease_s: float = 5.0) -> SqliteDue:
        return SqliteDue(self.database, int(lease_s * 1_000_000))

    async def commit(self, *ops: Op) -> Committed | Blocked:
        return await self.store.commit(Commit(tenant=TENANT, ops=ops))

    async def together(self, *members: tuple[Op, ...]) -> list[Committed | Blocked]:
        """Commit several members at once: one batch, in this order."""
        return list(await asyncio.gather(*(self.commit(*ops) for ops in members)))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What another process would read."""
        with closing(sqlite3.connect(f"{self.file.as_uri()}?mode=ro", uri=True)) as reader:
            return reader.execute(query).fetchall()

    def balances(self) -> Mapping[str, tuple[int, int]]:
        found = self.rows("select node, spent, held from budgets")
        return {node: (spent, held) for node, spent, held in found}


@asynccontextmanager
async def depot(folder: Path, *, alone: bool = True, **settings: Any) -> AsyncIterator[Depot]:
    """A file in a folder, made if it is not there, open until the block ends."""
    file = folder / "store.sqlite"
    if alone:
        migrate(file)
    clock = [NOW_US]
    of = Settings(**{"free_space_watermark_mb": 0, "batch_gap_ms": 0.0, **settings})
    database = Database(file, of, lambda: clock[0], alone=alone)
    try:
        store = SqliteStore(database)
        made = Depot(file, database, store, SqliteShelf(database), clock)
        if alone and await store.epoch(TENANT) == 0:
            await made.commit(RaiseEpoch())
        yield made
    finally:
        await database.close()


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
