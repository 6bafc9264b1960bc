"""The stopwatch of the twelve steps, and the report of an action."""

from collections.abc import Callable, Mapping, Sequence

from bailiwick.nouns import STEPS, Outcome, Proposal, Wake
from bailiwick.ports import Case, World
from bailiwick.values import JSON


class Watch:
    """How long each step took, in microseconds; a step that ran twice is counted twice."""

    __slots__ = ("_clock_us", "_since_us", "case", "steps_us")

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._since_us = clock_us()
        self.steps_us = [0] * len(STEPS)
        self.case: Case | None = None

    def follow(self, case: Case) -> None:
        """Tell of this case, and let it see the steps' times as they are measured."""
        self.case, case.steps_us = case, self.steps_us

    def mark(self, step: int) -> None:
        """Count the time since the last mark to a step, by its number."""
        now_us = self._clock_us()
        self.steps_us[step - 1] += now_us - self._since_us
        self._since_us = now_us


class Silent:
    """Tells nobody. `dropped` counts reports that a failing door could not take."""

    def report(self, action: Mapping[str, JSON], timings_us: Sequence[int]) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Nothing is open."""


def report(world: World, asked: Proposal | Wake, outcome: Outcome, watch: Watch) -> None:
    """Tell of one action: who and what by name only, never a payload, a subject or a secret."""
    case = watch.case
    told: dict[str, JSON] = {
        "tenant": asked.tenant,
        "agent": case.action.agent if case else "",
        "tool": case.tool.name if case else "",
        "run": case.action.run if case else "",
        "release": case.control.release if case else "",
        "action": outcome.action,
        "status": outcome.status,
        "code": outcome.code,
        "verdict": outcome.verdict,
        "earlier": outcome.earlier,
        "cost_micro_usd": outcome.cost_micro_usd,
    }
    try:
        world.telemetry.report(told, watch.steps_us)
    except Exception:  # noqa: BLE001 - the answer is settled; telemetry must not unsettle it
        return
