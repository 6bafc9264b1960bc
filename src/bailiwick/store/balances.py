"""Budget balances within one batch: what is taken and settled, whatever the database.

They are looked up once a batch and written once at its end. A member's changes are pending until
it is carried out whole.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

import msgspec

from bailiwick import transactions
from bailiwick.nouns import PERIOD_US, Cap, Period

BalanceKey = tuple[str, str, str, str]

_encode = msgspec.json.Encoder().encode
_decode_holds = msgspec.json.Decoder(list[tuple[str, str, str, int]]).decode

_FORMS: Mapping[Period, str] = {
    "day": "%Y-%m-%d",
    "hour": "%Y-%m-%dT%H",
    "minute": "%Y-%m-%dT%H:%M",
}


def bucket(period: Period, now_us: int) -> str:
    """Name the bucket a moment falls in: `all`, or the UTC day, hour or minute."""
    return "all" if period == "all" else _named(period, now_us // PERIOD_US[period])


@lru_cache(maxsize=64)
def _named(period: Period, number: int) -> str:
    began_s = number * PERIOD_US[period] / 1_000_000
    return datetime.fromtimestamp(began_s, UTC).strftime(_FORMS[period])


class Balances:
    """What nodes have spent and hold, as (spent, held), as the batch's members leave them.

    `look` reads what is not known yet: (0, 0) where there is no row.
    """

    def __init__(self, now_us: int, look: Callable[[BalanceKey], tuple[int, int]]) -> None:
        self.changed: set[BalanceKey] = set()
        self._look = look
        self._now_us = now_us
        self._known: dict[BalanceKey, tuple[int, int]] = {}
        self._pending: dict[BalanceKey, tuple[int, int]] = {}
        self._buckets: dict[Period, str] = {}

    def take(self, tenant: str, op: transactions.Take) -> transactions.Blocked | bytes | None:
        """Hold the amounts, if they fit; give what the action then holds, for its row."""
        taken: list[tuple[str, str, str, int]] = []
        for hold in op.holds:
            cap = hold.cap
            key = (tenant, cap.node, cap.unit, self.bucket(cap))
            spent, held = self.balance(key)
            if spent + held + hold.amount > cap.limit and cap not in op.lift:
                return transactions.Blocked(
                    code="over_budget",
                    details={
                        "node": cap.node,
                        "unit": cap.unit,
                        "period": cap.period,
                        "limit": cap.limit,
                        "spent": spent,
                        "held": held,
                        "wanted": hold.amount,
                    },
                )
            self._pending[key] = (spent, held + hold.amount)
            taken.append((cap.node, cap.unit, key[3], hold.amount))
        return _encode(taken) if taken else None

    def settle(self, tenant: str, holds: bytes | str, spent_by_unit: Mapping[str, int]) -> None:
        """Turn holds into spending, by unit, as held where a unit is not named."""
        for node, unit, name, amount in _decode_holds(holds):
            key = (tenant, node, unit, name)
            spent, held = self.balance(key)
            self._pending[key] = (spent + spent_by_unit.get(unit, amount), held - amount)

    def balance(self, key: BalanceKey) -> tuple[int, int]:
        """What a node has spent and holds, as the member at hand sees it."""
        found = self._pending.get(key) or self._known.get(key)
        if found is None:
            found = self._known[key] = self._look(key)
        return found

    def bucket(self, cap: Cap) -> str:
        """The bucket of a cap at the store's clock."""
        if cap.period not in self._buckets:
            self._buckets[cap.period] = bucket(cap.period, self._now_us)
        return self._buckets[cap.period]

    def begin(self) -> None:
        """The next member begins; what the one before left pending is gone."""
        self._pending = {}

    def keep(self) -> None:
        """The member was carried out: what it left pending stands."""
        self._known.update(self._pending)
        self.changed.update(self._pending)

    def written(self) -> Mapping[BalanceKey, tuple[int, int]]:
        """The changed balances as the batch leaves them."""
        return {key: self._known[key] for key in self.changed}
