"""What opening a store gives, whichever it is."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bailiwick.ports import Archive, Due, Keeping, Ledger, Mandates, Outbox, Register, Shelf, Store


class Doors(NamedTuple):
    """Every door of one store, and what closes it."""

    store: Store
    shelf: Shelf
    register: Register
    mandates: Mandates
    archive: Archive
    outbox: Outbox
    ledger: Ledger
    due: Due
    keeping: Keeping
    close: Callable[[], Awaitable[None]]
