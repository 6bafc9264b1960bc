"""The store: steps 8, intend (the commit point), and 11, conclude, are made durable here.

Only this organ knows SQL. The modules here are those of an SQLite file, which `Database` owns, and
what both kinds share; `postgres/` is opened by name. The doors implement the promises of `ports`;
`refuse`, `park`, `intend` and `conclude` are the spine's transactions, `resolve` that of a person;
`undoing_key` is the effect key that an action which takes another one back claims.
"""

from bailiwick.store.commits import (
    conclude,
    intend,
    park,
    prepare,
    refuse,
    resolve,
    undoing_key,
)
from bailiwick.store.copying import Contents, contents, copy_database
from bailiwick.store.database import (
    SCHEMA_VERSION,
    Database,
    durability,
    is_owned,
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
    "Doors",
    "SqliteArchive",
    "SqliteDue",
    "SqliteKeeping",
    "SqliteLedger",
    "SqliteMandates",
    "SqliteOutbox",
    "SqliteRegister",
    "SqliteShelf",
    "SqliteStore",
    "conclude",
    "contents",
    "copy_database",
    "durability",
    "intend",
    "is_owned",
    "park",
    "prepare",
    "refuse",
    "resolve",
    "schema_version",
    "undoing_key",
]
