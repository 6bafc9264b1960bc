"""The named SQL, loaded once. Every statement lives in `sql/queries.sql` with a sentence.

Parameters have names there and here, and are handed over by their position: SQLite would ask for
the name of each one at every execution.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import aiosql

_QUERIES = aiosql.from_path(
    Path(__file__).parent / "sql" / "queries.sql", "sqlite3", mandatory_parameters=False
)
_PARAMETER = re.compile(r"'[^']*'|:([a-z_]+)")

Values = Mapping[str, object]


class _Statement(NamedTuple):
    """A statement with numbered parameters, and what puts named values in their order."""

    text: str
    ordered: Callable[[Values], tuple[object, ...]]


def _statement(text: str) -> _Statement:
    names: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]  # a literal text, which may hold a colon
        if name not in names:
            names.append(name)
        return f"?{names.index(name) + 1}"

    text = _PARAMETER.sub(numbered, text)
    if len(names) < 2:
        return _Statement(text, lambda values: tuple([values[name] for name in names]))
    return _Statement(text, itemgetter(*names))


_STATEMENTS: dict[str, _Statement] = {
    name: _statement(getattr(_QUERIES, name).sql)
    for name in _QUERIES.available_queries
    if not name.endswith("_cursor")
}

Row = tuple[Any, ...]


def run(connection: sqlite3.Connection, name: str, values: Values) -> int:
    """Execute a statement and give the number of rows it changed."""
    text, ordered = _STATEMENTS[name]
    return connection.execute(text, ordered(values)).rowcount


def insert(connection: sqlite3.Connection, name: str, values: Values) -> int:
    """Execute an insert and give the new row's number."""
    text, ordered = _STATEMENTS[name]
    row = connection.execute(text, ordered(values)).lastrowid
    assert row is not None
    return row


def run_many(connection: sqlite3.Connection, name: str, rows: Iterable[Values]) -> None:
    """Execute a statement once for each row of parameters."""
    text, ordered = _STATEMENTS[name]
    connection.executemany(text, map(ordered, rows))


def one(connection: sqlite3.Connection, name: str, values: Values) -> Row | None:
    """Give the first row, or None."""
    text, ordered = _STATEMENTS[name]
    row: Row | None = connection.execute(text, ordered(values)).fetchone()
    return row


def every(connection: sqlite3.Connection, name: str, values: Values) -> list[Row]:
    """Give all rows."""
    text, ordered = _STATEMENTS[name]
    return connection.execute(text, ordered(values)).fetchall()
