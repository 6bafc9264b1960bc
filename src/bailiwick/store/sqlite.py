"""The store in an SQLite file, which one process owns: what it is opened, examined and copied by.

Opened by name, as `postgres` is: SQLite and its statements are no part of `import bailiwick`.
"""

from collections.abc import Callable

from bailiwick.config import Settings
from bailiwick.store.copying import Contents, contents, copy_database
from bailiwick.store.database import (
    SCHEMA_VERSION,
    Database,
    durability,
    is_owned,
    owner_of,
    schema_version,
)
from bailiwick.store.doors import (
    BELL_TRUST_S,
    SqliteArchive,
    SqliteDue,
    SqliteKeeping,
    SqliteLedger,
    SqliteMandates,
    SqliteOutbox,
    SqliteRegister,
    SqliteShelf,
    SqliteStore,
)
from bailiwick.store.opened import Doors

__all__ = [
    "BELL_TRUST_S",
    "SCHEMA_VERSION",
    "Contents",
    "Database",
    "SqliteArchive",
    "SqliteDue",
    "SqliteKeeping",
    "SqliteLedger",
    "SqliteMandates",
    "SqliteOutbox",
    "SqliteRegister",
    "SqliteShelf",
    "SqliteStore",
    "contents",
    "copy_database",
    "durability",
    "is_owned",
    "open_doors",
    "owner_of",
    "schema_version",
]


def open_doors(settings: Settings, now_us: Callable[[], int], *, alone: bool) -> Doors:
    """Open the file's doors; `alone` takes the owner's lock. Raises what `Database` raises."""
    database = Database(settings.path(settings.store), settings, now_us, alone=alone)
    return Doors(
        store=SqliteStore(database),
        shelf=SqliteShelf(database),
        register=SqliteRegister(database),
        mandates=SqliteMandates(database),
        archive=SqliteArchive(database),
        outbox=SqliteOutbox(database),
        ledger=SqliteLedger(database),
        due=SqliteDue(database, int(settings.lease_seconds * 1_000_000)),
        keeping=SqliteKeeping(database),
        close=database.close,
    )
