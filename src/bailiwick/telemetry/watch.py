"""The stopwatch of the twelve steps, and the report of an action."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from bailiwick.config import TelemetrySettings
from bailiwick.nouns import (
    STEPS,
    HttpBinding,
    McpBinding,
    Outcome,
    Proposal,
    PythonBinding,
    Wake,
)
from bailiwick.ports import Case, Telemetry, Told, World
from bailiwick.telemetry.redaction import Redaction
from bailiwick.transactions import Append

_BINDINGS: Mapping[type, str] = {PythonBinding: "python", HttpBinding: "http", McpBinding: "mcp"}


class Watch:
    """How long each step took, in microseconds; a step that ran twice is counted twice.

    `waited_us` is how long the action had been parked when it was followed, if it was.
    """

    __slots__ = ("_clock_us", "_since_us", "case", "steps_us", "waited_us")

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._since_us = clock_us()
        self.steps_us = [0] * len(STEPS)
        self.case: Case | None = None
        self.waited_us: int | None = None

    def follow(self, case: Case) -> None:
        """Tell of this case, and let it see the steps' times as they are measured."""
        self.case, case.steps_us = case, self.steps_us
        if case.action.state == "parked":
            self.waited_us = max(0, case.now_us - case.action.created_at_us)

    def mark(self, step: int) -> None:
        """Count the time since the last mark to a step, by its number."""
        now_us = self._clock_us()
        self.steps_us[step - 1] += now_us - self._since_us
        self._since_us = now_us


def error_of(told: Told) -> str:
    """Why an action counts as an error (`error.type`); a no and an earlier answer are none."""
    if told.earlier:
        return ""
    if told.status in ("failed", "unknown"):
        return told.code or told.status
    return "contradicted" if told.verdict == "contradicted" else ""


class Silent:
    """Tells nobody."""

    def report(self, told: Told) -> None:
        """Tell nobody."""

    def change(self, record: bytes) -> None:
        """Tell nobody."""

    def wants_standing(self) -> bool:
        """Never."""
        return False

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Nothing is open."""


class Several:
    """Tells each of several doors."""

    def __init__(self, doors: Sequence[Telemetry]) -> None:
        self._doors = tuple(doors)

    def report(self, told: Told) -> None:
        """Tell each."""
        for door in self._doors:
            door.report(told)

    def change(self, record: bytes) -> None:
        """Tell each."""
        for door in self._doors:
            door.change(record)

    def wants_standing(self) -> bool:
        """Whether one of them does."""
        return any(door.wants_standing() for door in self._doors)

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Tell each."""
        for door in self._doors:
            door.stands(tenant, in_doubt=in_doubt, unsequenced_us=unsequenced_us)

    def close(self) -> None:
        """Close each."""
        for door in self._doors:
            door.close()


def report(world: World, asked: Proposal | Wake, outcome: Outcome, watch: Watch) -> None:
    """Tell of one action: who and what by name only, never a payload, a subject or a secret."""
    _tell(lambda: world.telemetry.report(_told(world, asked, outcome, watch)))


def changed(world: World, records: Iterable[Append]) -> None:
    """Tell of control changes that are committed, by their records."""
    for record in records:
        _tell(partial(world.telemetry.change, record.body))


def _tell(telling: Callable[[], None]) -> None:
    try:
        telling()
    except Exception:  # noqa: BLE001 - the answer is settled; telemetry must not unsettle it
        return


def _told(world: World, asked: Proposal | Wake, outcome: Outcome, watch: Watch) -> Told:
    case = watch.case
    arguments, result = _content(world.settings.telemetry, case, outcome) if case else ("", "")
    return Told(
        tenant=asked.tenant,
        agent=case.action.agent if case else "",
        tool=case.tool.name if case else "",
        binding=_BINDINGS[type(case.tool.binding)] if case else "",
        effect=case.tool.effect if case else "",
        run=case.action.run if case else "",
        release=case.bundle.release.digest if case else "",
        action=outcome.action,
        status=outcome.status,
        code=outcome.code,
        verdict=outcome.verdict,
        earlier=outcome.earlier,
        woken=isinstance(asked, Wake),
        cost_micro_usd=outcome.cost_micro_usd,
        steps_us=tuple(watch.steps_us),
        waited_us=None if outcome.status == "parked" else watch.waited_us,
        arguments=arguments,
        result=result,
    )


def _content(options: TelemetrySettings, case: Case, outcome: Outcome) -> tuple[str, str]:
    """The arguments and the result as they may be told; nothing unless the project asks for it."""
    if not options.content:
        return "", ""
    redaction = Redaction(options.redact, case.tool.schema)
    situation = case.situation
    arguments = redaction.text(situation.arguments if situation else case.proposal.arguments)
    return arguments, "" if outcome.result is None else redaction.text(outcome.result)
