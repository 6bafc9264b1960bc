"""What a long history costs: `python -m bench.history SECONDS PAST sqlite|postgres`.

One caller's governed writes are timed in two projects, one here and one there by turns, so that
both meet the same moments of machine and disk: one is new, and one has so many past actions.

The past is made of `SEEDS` real actions: their rows in every table that grows with actions
(`TABLES`) are copied, with the project closed, byte for byte but for what must differ: ids, names,
charges, record numbers, the records' hashes, which are computed, and the run, of which `RUN`
actions are one. The program's own sequencer then places the records in the tree and signs it, so
that the ledger is whole and verifies. Only the sealed payloads stay those of the seeds, which the
key of another run does not open: nothing here reads them.

PostgreSQL is vacuumed afterwards, as it does by itself where a past grows slowly.
"""

import asyncio
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg

from bailiwick import Bailiwick, Session, ledger
from bailiwick.config import load_settings
from bailiwick.ledger.tree import leaf_hash
from bailiwick.testing import founded, postgres
from bailiwick.testing.postgres import PostgresServer
from bailiwick.wiring import open_world
from bench.load import AGENT_NAME, TOOL_NAME, arguments, project
from bench.subject import OUT
from bench.timing import phase_seconds, tell

SEEDS, RUN, TOGETHER = 100, 1000, 5000
SEED_RUN = "run-1"
# By table, the column that names the action or the run whose row it is.
TABLES = {"records": "action", "actions": "id", "effect_keys": "action", "payloads": "action"}
OF_RUNS = {"runs": "id", "budgets": "node"}

Row = tuple[Any, ...]
Cell = Callable[[Mapping[str, Any]], Any]


class Store(Protocol):
    """A closed project's database."""

    def read(self, statement: str) -> tuple[Sequence[str], Sequence[Row]]:
        """The columns and rows that a statement gives."""

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add rows to a table."""

    def end(self, numbered: int) -> int:
        """Leave it as a program does that gave out so many record numbers; give its bytes."""


class File:
    """An SQLite file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection = sqlite3.connect(file)
        self._connection.execute("pragma synchronous = off")
        self._connection.execute("pragma cache_size = -500000")

    def read(self, statement: str) -> tuple[Sequence[str], Sequence[Row]]:
        cursor = self._connection.execute(statement)
        return [column for column, *_ in cursor.description], cursor.fetchall()

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        marks = ", ".join("?" * len(columns))
        into = f"insert into {table} ({', '.join(columns)}) values ({marks})"  # noqa: S608
        self._connection.executemany(into, rows)
        self._connection.commit()

    def end(self, numbered: int) -> int:
        self._connection.execute("pragma wal_checkpoint(truncate)")
        self._connection.close()
        return self._file.stat().st_size


class Server:
    """A PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute("set synchronous_commit = off")

    def read(self, statement: str) -> tuple[Sequence[str], Sequence[Row]]:
        cursor = self._connection.execute(statement.encode())
        assert cursor.description is not None
        return [column.name for column in cursor.description], cursor.fetchall()

    def add(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        copy = f"copy {table} ({', '.join(columns)}) from stdin".encode()
        with self._connection.cursor().copy(copy) as copying:
            for row in rows:
                copying.write_row(row)
        if table == "records":
            self.add("unsequenced", ("record",), [row[:1] for row in rows])

    def end(self, numbered: int) -> int:
        self._connection.execute("select setval('record_numbers', %s)", (numbered,))
        self._connection.execute("vacuum (analyze)")
        self._connection.execute("checkpoint")
        _, ((size,),) = self.read("select pg_database_size(current_database())")
        self._connection.close()
        return int(size)


def main() -> None:
    """Make the past, then time both."""
    seconds, wanted, kind = phase_seconds(), int(sys.argv[2]), sys.argv[3]
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as name, serving(kind) as server:
        folders = [Path(name) / each for each in ("new", "full")]
        stores = [server.url(server.create()) if server else None for _ in folders]
        tell(asyncio.run(measured(folders, stores, wanted, seconds)))


def serving(kind: str) -> AbstractContextManager[PostgresServer | None]:
    """A server, if the projects want one."""
    return postgres.serving(durable=True) if kind == "postgres" else nullcontext()


async def measured(
    folders: Sequence[Path], stores: Sequence[str | None], wanted: int, seconds: float
) -> dict[str, float]:
    """One caller's median in both, their ratio, and what the past took to make and to keep."""
    for folder, store in zip(folders, stores, strict=True):
        await founded(folder, project(store=store), people=())
    began = time.perf_counter()
    kept = await with_past(folders[1], wanted)
    made_s = time.perf_counter() - began
    found = await timed(folders, seconds)
    new, full = (statistics.median(latencies) * 1000 for latencies in found)
    worst = [sorted(latencies)[len(latencies) * 99 // 100] * 1000 for latencies in found]
    return {
        "ratio": full / new,
        "new_ms": new,
        "full_ms": full,
        "new_p99_ms": worst[0],
        "full_p99_ms": worst[1],
        "made_s": made_s,
        "gb": kept / 1e9,
    }


async def timed(folders: Sequence[Path], seconds: float) -> list[list[float]]:
    """How long each write took, in seconds, once the program is warm: one here, one there."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Bailiwick.open(folder)) for folder in folders]
        sessions = [
            await each.session(AGENT_NAME, subject="support", run=SEED_RUN) for each in opened
        ]
        latencies: list[list[float]] = [[] for _ in sessions]
        warm = time.perf_counter() + seconds / 2
        until = warm + len(sessions) * seconds
        for number in count():
            for session, of in zip(sessions, latencies, strict=True):
                began = time.perf_counter()
                await refund(session, f"now-{number}")
                if began > warm:
                    of.append(time.perf_counter() - began)
            if time.perf_counter() > until and all(latencies):
                break
        return latencies


async def refund(session: Session, number: str) -> None:
    """One governed write."""
    outcome = await session.act(TOOL_NAME, arguments(number))
    assert outcome.verdict == "verified", outcome


# --- the past ------------------------------------------------------------------------------------


async def with_past(folder: Path, wanted: int) -> int:
    """Give a project so many past actions; how many bytes its database then has."""
    async with Bailiwick.open(folder) as bailiwick:
        session = await bailiwick.session(AGENT_NAME, subject="support", run=SEED_RUN)
        for number in range(SEEDS):
            await refund(session, f"seed-{number:03}")
        await bailiwick.settle()
    settings = load_settings(folder)
    store = Server(settings.store) if settings.is_shared else File(settings.path(settings.store))
    numbered = copy(store, wanted)
    world = open_world(settings)
    try:
        while await ledger.sequence(world.ledger, world.keys):
            pass
    finally:
        await world.close()
    return store.end(numbered)


def copy(store: Store, wanted: int) -> int:
    """Copy the seeds, and give the newest record's number."""
    columns, seeds, run = read_seeds(store)
    ((numbered,),) = store.read("select max(seq) from records")[1]
    for begin in range(0, wanted, TOGETHER):
        rows: dict[str, list[Row]] = {table: [] for table in columns}
        for n in range(begin, min(begin + TOGETHER, wanted)):
            new = {SEED_RUN: f"past-{n // RUN}"}
            if n % RUN == 0:
                run.copy(new, rows)
            seed = seeds[n % len(seeds)]
            numbered = seed.copy({**new, **seed.renamed(n)}, rows, numbered)
        for table, added in rows.items():
            store.add(table, columns[table], added)
    return int(numbered)


class Seed:
    """The rows of one action, or of one run: by table, what each cell of a copy is."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: list[tuple[str, Mapping[str, Any], Sequence[Cell]]] = []

    def add(self, table: str, columns: Sequence[str], row: Row) -> None:
        """Take over a row; its records' hashes are names of the rows that come later."""
        old = dict(zip(columns, row, strict=True))
        if table == "records":
            self._names = (*self._names, old["hash"])
        cells = [cell(*each, self._names) for each in old.items()]
        self._rows.append((table, old, cells))

    def renamed(self, n: int) -> Mapping[str, str]:
        """What a copy's id, arguments and charge are called."""
        id, mac, charge, *_ = self._names
        new_id = f"act_0{n:013x}{os.urandom(8).hex()}"
        return {id: new_id, mac: os.urandom(16).hex(), charge: f"ch_past-{n}"}

    def copy(self, new: Mapping[str, Any], rows: Mapping[str, list[Row]], numbered: int = 0) -> int:
        """Add a copy to the rows, under new names; give the newest record's number."""
        names = dict(new)
        for table, old, cells in self._rows:
            if table == "records":
                numbered += 1
                names[f"seq {old['seq']}"] = numbered
                body = cells[list(old).index("body")](names)
                names[old["hash"]] = leaf_hash(body).hex()
            rows[table].append(tuple([each(names) for each in cells]))
        return numbered


def read_seeds(store: Store) -> tuple[dict[str, Sequence[str]], Sequence[Seed], Seed]:
    """The columns of the tables, the actions that are there, and their run."""
    columns: dict[str, Sequence[str]] = {}
    found: dict[str, dict[str, list[Row]]] = {}
    for table, owner in {**TABLES, **OF_RUNS}.items():
        columns[table], rows = store.read(f"select * from {table} order by 1, 2")  # noqa: S608
        at = columns[table].index(owner)
        found[table] = {}
        for row in rows:
            found[table].setdefault(row[at], []).append(row)
    seeds = []
    for id, (row,) in sorted(found["actions"].items()):
        action = dict(zip(columns["actions"], row, strict=True))
        mac, charge = (
            action["name"].removeprefix("args:"),
            action["resource"].removeprefix("Charge:"),
        )
        seed = Seed((id, mac, charge, SEED_RUN))
        for table in TABLES:
            for each in found[table].get(id, ()):
                seed.add(table, columns[table], each)
        seeds.append(seed)
    run = Seed((SEED_RUN,))
    for table, name in (("runs", SEED_RUN), ("budgets", f"run:{SEED_RUN}")):
        for each in found[table][name]:
            run.add(table, columns[table], each)
    return columns, seeds, run


def cell(column: str, value: Any, names: Sequence[str]) -> Cell:
    """What a cell of a copy is, by the new name of each old one that stands in it."""
    if column == "seq":
        return lambda new: new[f"seq {value}"]
    if column == "records":
        numbers = [f"seq {number}" for number in value.split(",")[:-1]]
        return lambda new: "".join(f"{new[number]}," for number in numbers)
    text = bytes(value).decode() if column == "body" else value
    if not isinstance(text, str):
        return lambda _: value
    parts = re.split(f"({'|'.join(map(re.escape, names))})", text)
    if column == "body":
        return lambda new: "".join([new.get(part, part) for part in parts]).encode()
    return lambda new: "".join([new.get(part, part) for part in parts])


if __name__ == "__main__":
    main()
