"""The named SQL, loaded once. Every statement lives in `sql/queries.sql` with a sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, LiteralString, cast

import aiosql

_QUERIES = aiosql.from_path(
    Path(__file__).parent / "sql" / "queries.sql", "apsycopg", mandatory_parameters=False
)

# Written by hand, every one: nothing that somebody said is ever part of a statement's text.
SQL: Mapping[str, LiteralString] = {
    name: cast("LiteralString", getattr(_QUERIES, name).sql)
    for name in _QUERIES.available_queries
    if not name.endswith("_cursor")
}

Row = tuple[Any, ...]
Values = Mapping[str, object]
