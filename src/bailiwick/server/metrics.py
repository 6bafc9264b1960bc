"""Counts of what this process served, for Prometheus; and a line a request, where one is asked for.

Labels are names of the release, of the table of routes and of a bounded list of codes: nothing that
a caller chooses becomes one. No payload, subject, resource or credential is counted or written.
"""

import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bailiwick.config import Settings
from bailiwick.ports import Told
from bailiwick.server.problems import new_request_id, request_id
from bailiwick.telemetry.lines import STDERR, Lines
from bailiwick.telemetry.postbox import Postbox

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# So many kinds are told apart; all that come later are one more.
_MOST = 2000
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PEOPLE_S = (10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)
_STANDING_S = 5.0
_NAME = b"x-request-id"


class Counts:
    """What happened since the process began; keeps `ports.Telemetry`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._actions = Counter(
            "bailiwick_actions",
            "Actions by what became of them",
            ("tool", "status", "code"),
            registry=registry,
        )
        self._took = Histogram(
            "bailiwick_action_seconds",
            "From the proposal to its answer",
            ("tool",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._waited = Histogram(
            "bailiwick_approval_seconds",
            "How long people took",
            buckets=_PEOPLE_S,
            registry=registry,
        )
        self._requests = Counter(
            "bailiwick_http_requests",
            "Requests by route and status",
            ("method", "route", "status"),
            registry=registry,
        )
        self._served = Histogram(
            "bailiwick_http_request_seconds",
            "Until the answer began",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._unsequenced = Gauge(
            "bailiwick_ledger_unsequenced_seconds",
            "Age of the oldest record without a place in the log",
            registry=registry,
        )
        self._waiting = Gauge(
            "bailiwick_approvals_waiting", "Requests to people that are open", registry=registry
        )
        self._doubt = Gauge(
            "bailiwick_actions_in_doubt", "Unknown or contradicted", registry=registry
        )
        self._ready = Gauge(
            "bailiwick_ready", "Whether this process takes calls", registry=registry
        )
        # Each kind's own counters: the library looks them up by their labels under a lock.
        self._kinds: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._measured_s = 0.0

    def report(self, told: Told) -> None:
        """Count one action."""
        kind = (told.tool, told.status, told.code)
        if kind not in self._kinds:
            if len(self._kinds) >= _MOST:
                kind = ("other", told.status, "other")
            self._kinds[kind] = (self._actions.labels(*kind), self._took.labels(kind[0]))
        actions, took = self._kinds[kind]
        actions.inc()
        took.observe(sum(told.steps_us) / 1_000_000)
        if told.waited_us is not None:
            self._waited.observe(told.waited_us / 1_000_000)

    def change(self, record: bytes) -> None:
        """Control changes are in the ledger; they are not counted."""

    def wants_standing(self) -> bool:
        """Every few seconds."""
        now_s = time.monotonic()
        if now_s - self._measured_s < _STANDING_S:
            return False
        self._measured_s = now_s
        return True

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Keep how the tenant stands."""
        self._doubt.set(in_doubt)
        self._unsequenced.set(unsequenced_us / 1_000_000)

    def close(self) -> None:
        """Nothing waits here."""

    def served(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one request."""
        kind = (method, route, status)
        if kind not in self._routes:
            requests = self._requests.labels(method, route, str(status))
            self._routes[kind] = (requests, self._served.labels(route))
        requests, served = self._routes[kind]
        requests.inc()
        served.observe(took_s)

    def told(self, *, waiting: int, ready: bool) -> bytes:
        """Everything, in Prometheus' text format."""
        self._waiting.set(waiting)
        self._ready.set(ready)
        return generate_latest(self.registry)


class RequestLog:
    """A line of JSON a request: route, status, milliseconds, the request's name."""

    def __init__(self, settings: Settings) -> None:
        where = settings.serve.requests
        assert where is not None
        self._lines = Lines(None if where == STDERR else settings.path(where))
        self._postbox: Postbox[bytes] = Postbox("bailiwick-requests", self._deliver)

    def put(self, line: Mapping[str, str | int]) -> None:
        """Write a line soon; what a full queue cannot take is dropped."""
        self._postbox.put(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        self._postbox.close()

    def _deliver(self, batch: list[bytes]) -> float | None:
        try:
            self._lines.write(b"".join(batch))
        except OSError:
            return 1.0
        return None


class Counting:
    """Names each request of an application, counts it, and writes its line if there is a log.

    The name is the client's own if it sends one, and stands in the answer.
    """

    def __init__(
        self, app: ASGIApp, routes: Sequence[Route], counts: Counts, log: RequestLog | None
    ) -> None:
        self._app = app
        self._paths = {route.endpoint: route.path for route in routes}
        self._counts = counts
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        named = new_request_id(_of(scope["headers"]))
        request_id.set(named)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._tell(scope, message["status"], time.monotonic() - began_s)
                others = [each for each in message["headers"] if each[0] != _NAME]
                message["headers"] = [*others, (_NAME, named.encode())]
            await send(message)

        await self._app(scope, receive, sending)

    def _tell(self, scope: Scope, status: int, took_s: float) -> None:
        # The path is the caller's own words; the route that it matched is ours.
        route = self._paths.get(scope.get("endpoint", self), "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._counts.served(method, route, status, took_s)
        if self._log is not None:
            self._log.put(
                {
                    "time": time.time_ns() // 1_000_000,
                    "method": method,
                    "route": route,
                    "status": status,
                    "ms": round(took_s * 1000),
                    "request_id": request_id.get(),
                }
            )


def _of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == _NAME:
            return value.decode("latin-1")
    return ""


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
