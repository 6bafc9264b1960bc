"""The server's clock as a process reckons it, however late the answers to its looks come."""

import pytest

from bailiwick.store.postgres.clock import ServerClock

AHEAD_US = 3_600_000_000  # how far the server's clock is before this machine's monotonic one
SECOND_NS = 1_000_000_000


class Machine:
    """A machine's monotonic clock to set by hand, and a server that answers truthfully."""

    def __init__(self) -> None:
        self.at_ns = 50 * SECOND_NS
        self.ahead_us = AHEAD_US
        self.clock = ServerClock()
        self.clock.monotonic_ns = lambda: self.at_ns

    def look(self, there_s: float = 0.001, back_s: float = 0.001) -> None:
        """Ask the server, with so long a way there and back."""
        sent_ns = self.at_ns
        self.at_ns += int(there_s * SECOND_NS)
        server_us = self.server_us
        self.at_ns += int(back_s * SECOND_NS)
        self.clock.observe(server_us, sent_ns)

    @property
    def server_us(self) -> int:
        return self.at_ns // 1000 + self.ahead_us

    @property
    def error_us(self) -> int:
        return abs(self.clock.now_us() - self.server_us)


@pytest.mark.claim("store.clock-bounded")
def test_a_late_answer_is_not_trusted_until_a_quick_one_has_bounded_it() -> None:
    machine = Machine()
    assert not machine.clock.is_fresh
    machine.look(back_s=12.0)  # the process was busy meanwhile
    assert not machine.clock.is_fresh
    machine.look(there_s=0.004)
    assert machine.clock.is_fresh
    assert machine.error_us <= 3_000


@pytest.mark.claim("store.clock-bounded")
def test_a_late_answer_takes_nothing_away_from_a_quick_one() -> None:
    machine = Machine()
    machine.look()
    for _ in range(5):
        machine.look(there_s=8.0)
        assert machine.error_us <= 10_000
    machine.at_ns += 2 * SECOND_NS
    assert not machine.clock.is_fresh
    machine.look()
    assert machine.error_us <= 1_000


@pytest.mark.claim("store.clock-bounded")
def test_a_clock_that_is_set_is_followed() -> None:
    machine = Machine()
    machine.look()
    machine.ahead_us -= 60_000_000
    machine.look()
    assert machine.clock.is_fresh
    assert machine.error_us <= 1_000
