"""Lists reach PostgreSQL as they are, whatever their texts hold."""

from typing import Any

import psycopg
import pytest

from bailiwick.store.postgres.arrays import ColumnDumper
from tests.postgres import Server

NASTY = ['"', "\\", '","', "{a,b}", "NULL", "null", "", " ", "é😀", "a\nb\tc", "'; drop", '\\","x']


@pytest.mark.claim("store.arrays-exact")
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", NASTY),
        ("text", [*NASTY, None]),
        ("text", []),
        ("text", [None]),
        ("bytea", [b"", b"\0\xff\\", b'"{},', None]),
        ("bigint", [0, -1, 2**62, None]),
        ("boolean", [True, False, None]),
    ],
)
def test_a_list_comes_back_as_it_was_sent(server: Server, kind: str, values: list[Any]) -> None:
    with psycopg.connect(server.url()) as connection:
        connection.adapters.register_dumper(list, ColumnDumper)
        asked = connection.execute(f"select cast(%s as {kind}[])".encode(), [values]).fetchone()
    assert asked == (values,)


@pytest.mark.claim("store.arrays-exact")
@pytest.mark.parametrize("values", [["a\0b", "c"], ["a\0b", None], [1.5], [["a"]]])
def test_what_would_not_come_back_so_is_not_sent(values: list[Any]) -> None:
    with pytest.raises(psycopg.DataError, match=r"U\+0000|array"):
        ColumnDumper(list).dump(values)
