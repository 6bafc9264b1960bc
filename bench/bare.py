"""The bare pipeline: what any durable, policy-checked call must at least do.

Parse, validate, decide, canonicalise, and two group commits of one row each (before the effect and
after it), on the same libraries and the same durability as the spine: no identity, no budgets, no
vault, no ledger, no effect, no reading back. It is the floor that the spine is measured against.

It decides over the same 100 rules, parsed once, as who uses the engine plainly does. What waits for
a commit is one transaction, while the callers go on: in a file, synced in a thread, or on a
PostgreSQL server.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import cedarpy
import jsonschema_rs
import psycopg
import rfc8785

from bench.load import AGENT_NAME, ARGUMENTS_SCHEMA, TOOL_NAME, cedar_rules, cedar_schema

Row = tuple[str, bytes]


class GroupCommit:
    """Rows into one table; whatever waits is one transaction, which `write` makes durable."""

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._pump: asyncio.Task[None] | None = None

    async def commit(self, row: Row) -> None:
        """Return when the row is durable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((row, future))
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._drain())
        await future

    async def _drain(self) -> None:
        while self._waiting:
            members, self._waiting = self._waiting, []
            await self._write([row for row, _ in members])
            for _, future in members:
                future.set_result(None)


@asynccontextmanager
async def in_file(file: Path) -> AsyncIterator[GroupCommit]:
    """Group commits into an SQLite file, synced in a thread."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table rows (id integer primary key, kind text, body blob)")
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)

    async def write(rows: Sequence[Row]) -> None:
        connection.execute("begin immediate")
        connection.executemany("insert into rows (kind, body) values (?, ?)", rows)
        await loop.run_in_executor(thread, connection.execute, "commit")

    try:
        yield GroupCommit(write)
    finally:
        thread.shutdown()
        connection.close()


@asynccontextmanager
async def on_server(url: str) -> AsyncIterator[GroupCommit]:
    """Group commits on a PostgreSQL server: one statement, so one round trip, a transaction."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "create table rows (id bigserial primary key, kind text, body bytea)"
        )
        insert = (
            "insert into rows (kind, body)"
            " select * from unnest(cast(%s as text[]), cast(%s as bytea[]))"
        )

        async def write(rows: Sequence[Row]) -> None:
            values = ([kind for kind, _ in rows], [body for _, body in rows])
            await connection.execute(insert, values, prepare=True)

        yield GroupCommit(write)


class Bare:
    """The pipeline, ready to be called."""

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits
        self._validator = jsonschema_rs.validator_for(ARGUMENTS_SCHEMA)
        self._schema = cedarpy.Schema.from_str(cedar_schema())
        rules = cedar_rules(matching=True) + cedar_rules(matching=False)
        self._policies = cedarpy.PolicySet.from_str("\n".join(rules))
        self._entities = cedarpy.Entities.from_json_str("[]", schema=self._schema)

    async def call(self, raw: bytes) -> None:
        """One call: durable before and after."""
        arguments = json.loads(raw)
        self._validator.validate(arguments)
        request = {
            "principal": {"type": "Agent", "id": AGENT_NAME},
            "action": {"type": "Action", "id": TOOL_NAME},
            "resource": {"type": "Charge", "id": arguments["charge"]},
            "context": {
                "facts": {
                    "value": arguments["amount_minor"],
                    "currency": arguments["currency"],
                }
            },
        }
        decided = cedarpy.is_authorized(request, self._policies, self._entities, self._schema)
        assert decided.decision == cedarpy.Decision.Allow, decided.diagnostics.errors
        body = rfc8785.dumps(arguments)
        await self._commits.commit(("intended", body))
        await self._commits.commit(("concluded", body))
