"""The server's clock, as it is known between two looks at it."""

import time
from collections.abc import Callable

_TRUST_NS = 1_000_000_000
# How far the reckoned time may be off, and how far two clocks drift apart in a second.
_SURE_US, _DRIFT_US_PER_S = 50_000, 200


class ServerClock:
    """The store's clock: the server's time at the last look, and what has passed since.

    Every transaction looks at it. What a look says lies between its question and its answer: a
    late answer (this process was busy, the server waited for a lock) bounds the time only loosely,
    so it is taken together with what was known before. `given` replaces it in tests.
    """

    def __init__(self, given: Callable[[], int] | None = None) -> None:
        self.monotonic_ns: Callable[[], int] = time.monotonic_ns
        self._given = given
        # The server's clock is between so much and so much before the monotonic one.
        self._bounds_us: tuple[int, int] | None = None
        self._looked_ns = 0

    @property
    def is_fresh(self) -> bool:
        """Whether the last look is recent enough to reckon from, and its answer sure enough."""
        if self._given is not None:
            return True
        if self._bounds_us is None or self.monotonic_ns() - self._looked_ns >= _TRUST_NS:
            return False
        least_us, most_us = self._bounds_us
        return most_us - least_us <= 2 * _SURE_US

    def now_us(self) -> int:
        """The store's time, reckoned from the last looks."""
        if self._given is not None:
            return self._given()
        return self.monotonic_ns() // 1000 + sum(self._bounds_us or (0, 0)) // 2

    def observe(self, server_us: int, sent_ns: int) -> int:
        """Take over what the server's clock said to a question sent then; give the time to use."""
        if self._given is not None:
            return self._given()
        now_ns = self.monotonic_ns()
        least_us, most_us = server_us - now_ns // 1000, server_us - sent_ns // 1000
        if self._bounds_us is not None:
            drift_us = (now_ns - self._looked_ns) * _DRIFT_US_PER_S // 1_000_000_000 + 1
            known_us = (self._bounds_us[0] - drift_us, self._bounds_us[1] + drift_us)
            both_us = max(least_us, known_us[0]), min(most_us, known_us[1])
            # Otherwise the server's clock was set meanwhile.
            if both_us[0] <= both_us[1]:
                least_us, most_us = both_us
        self._bounds_us, self._looked_ns = (least_us, most_us), now_ns
        return server_us
