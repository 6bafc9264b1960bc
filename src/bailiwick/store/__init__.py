"""The store: steps 8, intend (the commit point), and 11, conclude, are made durable here.

Only this organ knows SQL. `sqlite` and `postgres` are opened by name; the other modules are those
of an SQLite file, which `Database` owns, and what both kinds share. The doors implement the
promises of `ports`; `refuse`, `park`, `intend` and `conclude` are the spine's transactions,
`resolve` that of a person; `undoing_key` is the effect key that an action which takes another one
back claims.
"""

from bailiwick.store.commits import conclude, intend, park, prepare, refuse, resolve, undoing_key
from bailiwick.store.opened import Doors

__all__ = ["Doors", "conclude", "intend", "park", "prepare", "refuse", "resolve", "undoing_key"]
