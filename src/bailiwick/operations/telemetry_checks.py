"""The lines of `doctor` about those who are told: the event file and the collector.

Telemetry cannot change an answer, so what is wrong with it is a warning, and never a failure.
"""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from bailiwick.config import Settings
from bailiwick.errors import BailiwickError
from bailiwick.operations.checks import Check, failed
from bailiwick.telemetry.collector import Collector, Posted
from bailiwick.wiring import on_demand

# For all of it: the look-up of the collector's name has no bound of its own.
_PATIENCE_S = 3.0


def telemetry_checks(settings: Settings) -> Iterator[Check]:
    """Look at the event file and the collector that the settings name, if any."""
    events = settings.telemetry.events
    if events is not None and events != "stderr":
        yield _event_file(settings.path(events))
    if settings.telemetry_endpoint is not None:
        try:
            on_demand("otlp")
            yield _collector(settings)
        except BailiwickError as fault:
            yield failed("collector", fault)  # with these settings no owner starts


def _event_file(file: Path) -> Check:
    """Open it as it will be, but make nothing, and do not wait for who reads a pipe."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        os.close(os.open(file, flags))
    except OSError as error:
        to_come = error.errno == errno.ENOENT and os.access(file.parent, os.W_OK | os.X_OK)
        if not to_come:
            return Check(
                name="events",
                level="warn",
                said=f"nothing can be written to {file}: {error.strerror}",
                help="look at `telemetry: {events: …}` and its folder; events are lost until then",
            )
    return Check(name="events", level="ok", said=f"{file} can be written")


def _collector(settings: Settings) -> Check:
    """Send it a request without a span, with the headers that it is always sent."""
    options, endpoint = settings.telemetry, settings.telemetry_endpoint
    assert endpoint is not None
    certificate = settings.path(options.certificate) if options.certificate else None
    patience_s = min(options.timeout_seconds, _PATIENCE_S)
    collector = Collector(endpoint, options.headers, patience_s, certificate)
    answers: list[Posted] = []

    def look() -> None:
        answers.append(collector.post("/v1/traces", b""))
        collector.close()

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(_PATIENCE_S)
    if answers and answers[0].taken:
        return Check(name="collector", level="ok", said=f"{endpoint} takes what it is sent")
    said = "it refuses what it is sent" if answers and answers[0].again_s is None else "no answer"
    return Check(
        name="collector",
        level="warn",
        said=f"{endpoint}: {said}, so spans and metrics are lost",
        help="start it, or look at `telemetry_endpoint` and `telemetry` in bailiwick.yaml",
    )
