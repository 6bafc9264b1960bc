"""The named SQL, loaded once. Every statement lives in `sql/queries.sql` with a sentence."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiosql

_QUERIES = aiosql.from_path(
    Path(__file__).parent / "sql" / "queries.sql", "sqlite3", mandatory_parameters=False
)
_TEXT: dict[str, str] = {
    name: getattr(_QUERIES, name).sql
    for name in _QUERIES.available_queries
    if not name.endswith("_cursor")
}

Row = tuple[Any, ...]


def run(connection: sqlite3.Connection, name: str, values: Mapping[str, object]) -> int:
    """Execute a statement and give the number of rows it changed."""
    return connection.execute(_TEXT[name], values).rowcount


def insert(connection: sqlite3.Connection, name: str, values: Mapping[str, object]) -> int:
    """Execute an insert and give the new row's number."""
    row = connection.execute(_TEXT[name], values).lastrowid
    assert row is not None
    return row


def run_many(
    connection: sqlite3.Connection, name: str, rows: Iterable[Mapping[str, object]]
) -> None:
    """Execute a statement once for each row of parameters."""
    connection.executemany(_TEXT[name], rows)


def one(connection: sqlite3.Connection, name: str, values: Mapping[str, object]) -> Row | None:
    """Give the first row, or None."""
    row: Row | None = connection.execute(_TEXT[name], values).fetchone()
    return row


def every(connection: sqlite3.Connection, name: str, values: Mapping[str, object]) -> list[Row]:
    """Give all rows."""
    return connection.execute(_TEXT[name], values).fetchall()
