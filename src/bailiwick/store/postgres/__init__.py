"""The store on PostgreSQL, shared by any number of processes: the same doors, the same promises.

Opened by name, so that who does not use it needs no PostgreSQL library. It has no owner: leases
say who carries an action on, and the control lock and the epoch are in the database.
"""

from collections.abc import Callable

from bailiwick.config import Settings
from bailiwick.store.opened import Doors
from bailiwick.store.postgres.connections import Address
from bailiwick.store.postgres.database import PostgresDatabase
from bailiwick.store.postgres.doors import (
    PostgresArchive,
    PostgresDue,
    PostgresKeeping,
    PostgresLedger,
    PostgresMandates,
    PostgresOutbox,
    PostgresRegister,
    PostgresShelf,
    PostgresStore,
)
from bailiwick.store.postgres.migrating import SCHEMA_VERSION, prepare


def open_doors(
    settings: Settings, now_us: Callable[[], int] | None = None, *, alone: bool = True
) -> Doors:
    """Open the database that the `store` setting names; an empty or older one is given its tables.

    With `alone` false nothing is changed by opening. `now_us` replaces the server's clock, for
    tests. Raises `ConfigError`, `StoreFenced` (`schema_version`) or `StoreUnavailable`.
    """
    address = Address(settings.store)
    prepare(address, empty_too=alone)
    database = PostgresDatabase(address, settings, now_us)
    return Doors(
        store=PostgresStore(database),
        shelf=PostgresShelf(database),
        register=PostgresRegister(database),
        mandates=PostgresMandates(database),
        archive=PostgresArchive(database),
        outbox=PostgresOutbox(database),
        ledger=PostgresLedger(database),
        due=PostgresDue(database, int(settings.lease_seconds * 1_000_000)),
        keeping=PostgresKeeping(database),
        close=database.close,
    )


__all__ = [
    "SCHEMA_VERSION",
    "Address",
    "PostgresArchive",
    "PostgresDatabase",
    "PostgresDue",
    "PostgresKeeping",
    "PostgresLedger",
    "PostgresMandates",
    "PostgresOutbox",
    "PostgresRegister",
    "PostgresShelf",
    "PostgresStore",
    "open_doors",
]
