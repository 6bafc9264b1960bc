"""What opening a store gives, whichever it is."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bailiwick.ports import Due, Ledger, Mandates, Register, Shelf, Store


class Doors(NamedTuple):
    """Every door of one store, and what closes it."""

    store: Store
    shelf: Shelf
    register: Register
    mandates: Mandates
    ledger: Ledger
    due: Due
    close: Callable[[], Awaitable[None]]
