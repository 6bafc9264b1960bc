"""The server's clock, as it is known between two looks at it."""

import time
from collections.abc import Callable

_TRUST_NS = 1_000_000_000
# A look that took longer (it waited for a lock) says less than an earlier one, while there is one.
_QUICK_NS, _OLD_NS = 20_000_000, 10_000_000_000


class ServerClock:
    """The store's clock: the server's time at the last look, and what has passed since.

    Every transaction looks at it. `given` replaces it in tests.
    """

    def __init__(self, given: Callable[[], int] | None = None) -> None:
        self.monotonic_ns: Callable[[], int] = time.monotonic_ns
        self._given = given
        self._offset_us = 0
        self._looked_ns = -_OLD_NS

    @property
    def is_fresh(self) -> bool:
        """Whether the last look is recent enough to reckon from."""
        return self._given is not None or self.monotonic_ns() - self._looked_ns < _TRUST_NS

    def now_us(self) -> int:
        """The store's time, reckoned from the last look."""
        if self._given is not None:
            return self._given()
        return self.monotonic_ns() // 1000 + self._offset_us

    def observe(self, server_us: int, sent_ns: int) -> int:
        """Take over what the server's clock said to a question sent then; give the time to use."""
        if self._given is not None:
            return self._given()
        now_ns = self.monotonic_ns()
        if now_ns - sent_ns < _QUICK_NS or now_ns - self._looked_ns > _OLD_NS:
            self._looked_ns = now_ns
            self._offset_us = server_us - (sent_ns + now_ns) // 2000
        return server_us
