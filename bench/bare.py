"""The bare pipeline: what any durable, policy-checked call must at least do.

Parse, validate, decide, canonicalise, and two group commits of one row each (before the effect and
after it), on the same libraries and the same durability as the spine: no identity, no budgets, no
vault, no ledger, no effect, no reading back. It is the floor that the spine is measured against.

It decides over the same 100 rules, parsed once, as who uses the engine plainly does. What waits for
a commit is one transaction, synced in a thread, so that the callers go on meanwhile.
"""

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cedarpy
import jsonschema_rs
import rfc8785

from bench.load import AGENT_NAME, ARGUMENTS_SCHEMA, TOOL_NAME, cedar_rules, cedar_schema

Row = tuple[str, bytes]


class GroupCommit:
    """Rows into one table; whatever waits is one transaction, synced in a thread."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = full")
        self._connection.execute("create table rows (id integer primary key, kind text, body blob)")
        self._thread = ThreadPoolExecutor(1)
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
        loop = asyncio.get_running_loop()
        while self._waiting:
            members, self._waiting = self._waiting, []
            self._connection.execute("begin immediate")
            self._connection.executemany(
                "insert into rows (kind, body) values (?, ?)", [row for row, _ in members]
            )
            await loop.run_in_executor(self._thread, self._connection.execute, "commit")
            for _, future in members:
                future.set_result(None)

    def close(self) -> None:
        """Give the file back."""
        self._thread.shutdown()
        self._connection.close()


class Bare:
    """The pipeline, ready to be called."""

    def __init__(self, folder: Path) -> None:
        self._commits = GroupCommit(folder / "bare.sqlite")
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

    def close(self) -> None:
        """Give the files back."""
        self._commits.close()
