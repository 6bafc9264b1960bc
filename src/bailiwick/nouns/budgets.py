"""What an action may cost: ceilings, what is held against them, and what is left."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Period = Literal["all", "day", "hour", "minute"]
# How long a period is, in microseconds. It begins at a full minute, hour or day, UTC.
PERIOD_US: Mapping[Period, int] = {
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}


class Cap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ceiling on one unit at one budget node, drawn on by everything below that node.

    `unit` is `micro_usd`, `calls`, `tokens` or `value:<ISO 4217>` (minor units).
    """

    node: str
    unit: str
    limit: int
    period: Period = "all"


class Hold(Struct, frozen=True, kw_only=True):
    """A reservation of `amount` against a cap, taken with the intent, settled with the outcome."""

    cap: Cap
    amount: int


class Balance(Struct, frozen=True, kw_only=True):
    """What a budget node has spent and holds in the current period, in the node's unit."""

    node: str
    unit: str
    bucket: str
    spent: int
    held: int


class Price(Struct, frozen=True, kw_only=True):
    """Step 5: what the action will hold, and the nodes it does not fit."""

    holds: tuple[Hold, ...]
    over: tuple[Cap, ...] = ()
