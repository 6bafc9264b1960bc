"""Plain SQL migrations in one transaction, one process at a time."""

from pathlib import Path
from typing import cast

import psycopg

from bailiwick.errors import StoreFenced
from bailiwick.store.postgres.connections import Address, fault_of
from bailiwick.store.postgres.statements import SQL

SCHEMA_VERSION = 7
_OLDEST = 150_000

_FOLDER = Path(__file__).parent.parent / "migrations" / "postgres"


def prepare(address: Address, *, empty_too: bool) -> None:
    """See that the database has this program's schema; an empty or older one is given it, if asked.

    Raises `StoreFenced` (`schema_version`, `server_version`), `StoreUnavailable` when the
    server cannot be reached.
    """
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            if connection.info.server_version < _OLDEST:
                raise StoreFenced(
                    f"{address}: the server is older than PostgreSQL 15",
                    code="server_version",
                    help="use a newer server",
                )
            version = _version(connection)
            if version < SCHEMA_VERSION and empty_too:
                version = _make(connection)
    except psycopg.Error as error:
        raise fault_of(error, address) from error
    if version != SCHEMA_VERSION:
        raise StoreFenced(
            f"{address} has schema version {version}, this program wants {SCHEMA_VERSION}",
            code="schema_version",
            help="start the newer program"
            if version > SCHEMA_VERSION
            else "run `bailiwick migrate`"
            if version
            else "found the project",
        )


def migrate(url: str) -> tuple[int, int]:
    """Bring a database that has tables to this program's schema; give the version before and now.

    All of it is one transaction. Migrations only add, so that processes of the version before go
    on beside this one. Raises `StoreFenced` for a newer or an empty database.
    """
    address = Address(url)
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            before = _version(connection)
            if before and before < SCHEMA_VERSION:
                _make(connection)
    except psycopg.Error as error:
        raise fault_of(error, address) from error
    prepare(address, empty_too=False)
    return before, SCHEMA_VERSION


def _make(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    with connection.transaction():
        connection.execute(SQL["migration_lock"])
        for number in range(_version(connection) + 1, SCHEMA_VERSION + 1):
            _migrate(connection, number)
        return _version(connection)


def _version(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    made = connection.execute(SQL["schema_table"]).fetchone()
    if made is None or made[0] is None:
        return 0
    row = connection.execute(SQL["schema_version"]).fetchone()
    return cast("int", row[0]) if row and row[0] else 0


def _migrate(connection: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    if number == 1:
        connection.execute(SQL["make_schema_table"])
    file = next(_FOLDER.glob(f"{number:04}_*.sql"))
    connection.execute(file.read_bytes())
    connection.execute(SQL["migrated"], {"version": number})
