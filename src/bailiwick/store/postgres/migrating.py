"""Plain SQL migrations, and which programs work with the schema that they leave.

Programs of different versions share a database while they are exchanged. A migration's first line
says what it does to those before it: `-- expand` only adds what they do not look at, and they go on
working; `-- contract` takes something away, and from its commit on they are refused. A contracting
one waits until every transaction is over, and each transaction looks first whether its program is
still among those that may write.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bailiwick.errors import StoreFenced
from bailiwick.store.postgres.connections import Address, fault_of
from bailiwick.store.postgres.statements import SQL

SCHEMA_VERSION = 9
_OLDEST_SERVER = 150_000

FOLDER = Path(__file__).parent.parent / "migrations" / "postgres"

_Connection = psycopg.Connection[tuple[Any, ...]]


class Schema(NamedTuple):
    """A database's newest migration, and the oldest program (by its newest) that may use it."""

    version: int
    oldest: int


class Migration(NamedTuple):
    """One file of the folder."""

    number: int
    contracts: bool
    text: bytes


def prepare(address: Address, *, empty_too: bool) -> None:
    """See that this program may use the database.

    With `empty_too` an empty one is given its tables. Others are migrated when somebody says so.

    Raises `StoreFenced` (`schema_version`, `server_version`), `StoreUnavailable` when the
    server cannot be reached.
    """
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            if connection.info.server_version < _OLDEST_SERVER:
                raise StoreFenced(
                    f"{address}: the server is older than PostgreSQL 15",
                    code="server_version",
                    help="use a newer server",
                )
            schema = schema_of(connection)
            if schema.version == 0 and empty_too:
                schema = _bring_up(connection, FOLDER)
    except psycopg.Error as error:
        raise fault_of(error, address) from error
    if schema.version < SCHEMA_VERSION:
        raise StoreFenced(
            f"{address} has schema version {schema.version}, this program wants {SCHEMA_VERSION}",
            code="schema_version",
            help="run `bailiwick migrate`" if schema.version else "found the project",
        )
    check_program(schema.oldest, address)


def check_program(oldest: int, address: Address) -> None:
    """See that the database's schema still lets this program write. Raises `StoreFenced`."""
    if oldest > SCHEMA_VERSION:
        raise StoreFenced(
            f"{address}: a newer program has changed the schema; this one, of version"
            f" {SCHEMA_VERSION}, may not use it any more",
            code="schema_version",
            help=f"start the newer program, of schema version {oldest} or later",
        )


def migrate(url: str) -> tuple[int, int]:
    """Bring a database that has tables to this program's schema; give the version before and now.

    Raises `StoreFenced` for an empty one, and for one of a newer program that this one may not use.
    """
    address = Address(url)
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            empty = schema_of(connection).version == 0
    except psycopg.Error as error:
        raise fault_of(error, address) from error
    before, now = (0, 0) if empty else bring_up(address)
    prepare(address, empty_too=False)
    return before, now


def bring_up(address: Address, folder: Path = FOLDER) -> tuple[int, int]:
    """Run the migrations that a database lacks; its schema version before and after.

    Raises `StoreUnavailable`; all of them are one transaction.
    """
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            before = schema_of(connection).version
            return before, _bring_up(connection, folder).version
    except psycopg.Error as error:
        raise fault_of(error, address) from error


def schema_of(connection: _Connection) -> Schema:
    """What the database's migrations say; version 0 in an empty one."""
    made = connection.execute(SQL["schema_table"]).fetchone()
    if made is None or made[0] is None:
        return Schema(0, 0)
    row = connection.execute(SQL["schema_version"]).fetchone()
    return Schema(*row) if row else Schema(0, 0)


def _bring_up(connection: _Connection, folder: Path) -> Schema:
    with connection.transaction():
        connection.execute(SQL["migration_lock"])
        for each in _migrations(folder):
            schema = schema_of(connection)
            if each.number > schema.version:
                _migrate(connection, each, schema.oldest)
        return schema_of(connection)


def _migrate(connection: _Connection, each: Migration, oldest: int) -> None:
    if each.number == 1:
        connection.execute(SQL["make_schema_table"])
    if each.contracts:
        connection.execute(SQL["drain"])
    connection.execute(each.text)
    connection.execute(SQL["migrated"], {"version": each.number})
    if each.contracts:
        connection.execute(SQL["retire"], {"oldest": each.number})


def _migrations(folder: Path) -> Iterator[Migration]:
    for file in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.sql")):
        text = file.read_bytes()
        yield Migration(int(file.name[:4]), text.startswith(b"-- contract"), text)
