"""Counts and times, added up in the process and exported at every interval, cumulative.

An action costs a look-up and a few additions. Names and bucket boundaries are those of the GenAI
and MCP conventions v1.41; our own stand under `bailiwick.`.
"""

import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from bailiwick.nouns import STEPS
from bailiwick.ports import Told
from bailiwick.telemetry.spans import SCHEMA_URL
from bailiwick.telemetry.watch import error_of

# As many series as one instrument keeps apart; what comes later is added up in one more.
# Source: OpenTelemetry specification, "Cardinality limits".
MOST_SERIES = 2000
_OVERFLOW = (("otel.metric.overflow", True),)

# Seconds. Source: semantic conventions v1.41, gen-ai-metrics and mcp. People take minutes to days.
_GENAI_S = tuple(0.01 * 2**n for n in range(14))
_MCP_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PEOPLE_S = (10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 259200.0, 604800.0)

_OPERATION = (("gen_ai.operation.name", "execute_tool"), ("gen_ai.provider.name", "bailiwick"))
_EXECUTE = STEPS.index("execute")
_ANSWERS = {"denied_by_people": "denied", "approval_expired": "expired"}
_CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE

Attributes = tuple[tuple[str, str | bool], ...]


class _Counter:
    """A sum that only grows, in series by attributes."""

    def __init__(self, name: str, unit: str) -> None:
        self._name, self._unit = name, unit
        self._rows: dict[Attributes, list[int]] = {}

    def row(self, *attributes: tuple[str, str | bool]) -> list[int]:
        """The series of the attributes, which holds one number."""
        return _row(self._rows, attributes, 1)

    def metric(self, began_ns: int, now_ns: int) -> Metric:
        points = [
            NumberDataPoint(
                attributes=_pairs(attributes),
                start_time_unix_nano=began_ns,
                time_unix_nano=now_ns,
                as_int=row[0],
            )
            for attributes, row in list(self._rows.items())
        ]
        told = Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
        return Metric(name=self._name, unit=self._unit, sum=told)


class _Times:
    """A histogram of seconds, in series by attributes."""

    def __init__(self, name: str, bounds_s: tuple[float, ...]) -> None:
        self._name, self._bounds_s = name, bounds_s
        self._bounds_us = [round(bound * 1_000_000) for bound in bounds_s]
        self._rows: dict[Attributes, list[int]] = {}

    def row(self, *attributes: tuple[str, str | bool]) -> list[int]:
        """The series of the attributes: microseconds in all, then how many in each bucket."""
        return _row(self._rows, attributes, len(self._bounds_us) + 2)

    def add(self, row: list[int], took_us: int) -> None:
        row[0] += took_us
        row[1 + bisect_left(self._bounds_us, took_us)] += 1

    def metric(self, began_ns: int, now_ns: int) -> Metric:
        points = [
            HistogramDataPoint(
                attributes=_pairs(attributes),
                start_time_unix_nano=began_ns,
                time_unix_nano=now_ns,
                count=sum(row[1:]),
                sum=row[0] / 1_000_000,
                bucket_counts=row[1:],
                explicit_bounds=self._bounds_s,
            )
            for attributes, row in [(each, row.copy()) for each, row in list(self._rows.items())]
        ]
        told = Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
        return Metric(name=self._name, unit="s", histogram=told)


class Metrics:
    """What happened since the process began, and how each tenant stands now.

    One thread counts, another exports; in between a sum of times may be an action ahead of its
    buckets, which the next export puts right.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._began_ns = time.time_ns()
        self._actions = _Counter("bailiwick.actions", "{action}")
        self._cost = _Counter("bailiwick.cost", "{micro_usd}")
        self._dropped = _Counter("bailiwick.telemetry.dropped", "{item}")
        self._took = _Times("gen_ai.client.operation.duration", _GENAI_S)
        self._called = _Times("mcp.client.operation.duration", _MCP_S)
        self._waited = _Times("bailiwick.approval.duration", _PEOPLE_S)
        self._kinds: dict[tuple[object, ...], tuple[list[int], list[int], list[int]]] = {}
        self._standing: dict[str, tuple[int, int]] = {}

    def count(self, told: Told) -> None:
        """Count one action."""
        kind = (
            *(told.tenant, told.agent, told.tool),
            *(told.status, told.code, told.verdict, told.earlier),
        )
        rows = self._kinds.get(kind)
        if rows is None:
            rows = self._rows(told)
            if len(self._kinds) < MOST_SERIES:
                self._kinds[kind] = rows
        actions, cost, took = rows
        actions[0] += 1
        self._took.add(took, sum(told.steps_us))
        if not told.earlier:
            cost[0] += told.cost_micro_usd
        if told.binding == "mcp" and told.steps_us[_EXECUTE]:
            self._called.add(self._called.row(*_call(told)), told.steps_us[_EXECUTE])
        if told.waited_us is not None:
            answer = ("bailiwick.approval.answer", _ANSWERS.get(told.code, "granted"))
            self._waited.add(self._waited.row(*_whose(told), answer), told.waited_us)

    def stands(self, tenant: str, in_doubt: int, unsequenced_us: int) -> None:
        """Keep how many actions are in doubt, and how old the oldest record without a leaf is."""
        self._standing[tenant] = (in_doubt, unsequenced_us)

    def request(self, dropped: int) -> bytes:
        """An `ExportMetricsServiceRequest`, serialised; `dropped` is how many spans were lost."""
        self._dropped.row(("bailiwick.telemetry.signal", "spans"))[0] = dropped
        scope = ScopeMetrics(
            scope=InstrumentationScope(name="bailiwick"),
            metrics=self._told(time.time_ns()),
            schema_url=SCHEMA_URL,
        )
        whole = ResourceMetrics(resource=self._resource, scope_metrics=[scope])
        request: bytes = ExportMetricsServiceRequest(resource_metrics=[whole]).SerializeToString()
        return request

    def _rows(self, told: Told) -> tuple[list[int], list[int], list[int]]:
        """The series that an action of its kind is counted in."""
        became: Attributes = (
            ("bailiwick.status", told.status),
            ("bailiwick.code", told.code),
            ("bailiwick.verdict", told.verdict or ""),
            ("bailiwick.earlier", told.earlier),
        )
        whose = _whose(told)
        return (
            self._actions.row(*whose, *became),
            self._cost.row(*whose),
            self._took.row(*_OPERATION, *whose, *_error(told)),
        )

    def _told(self, now_ns: int) -> Iterator[Metric]:
        for kept in (
            *(self._actions, self._cost, self._dropped),
            *(self._took, self._called, self._waited),
        ):
            yield kept.metric(self._began_ns, now_ns)
        standing = list(self._standing.items())
        doubts = {tenant: float(in_doubt) for tenant, (in_doubt, _) in standing}
        yield _gauge("bailiwick.in_doubt", "{action}", doubts, now_ns)
        ages = {tenant: waited_us / 1_000_000 for tenant, (_, waited_us) in standing}
        yield _gauge("bailiwick.ledger.unsequenced_age", "s", ages, now_ns)


def _whose(told: Told) -> Attributes:
    return (
        ("bailiwick.tenant", told.tenant),
        ("gen_ai.agent.name", told.agent),
        ("gen_ai.tool.name", told.tool),
    )


def _call(told: Told) -> Attributes:
    operation = (("mcp.method.name", "tools/call"), ("gen_ai.operation.name", "execute_tool"))
    return (*operation, ("gen_ai.tool.name", told.tool), *_error(told))


def _error(told: Told) -> Attributes:
    why = error_of(told)
    return (("error.type", why),) if why else ()


def _row(rows: dict[Attributes, list[int]], attributes: Attributes, length: int) -> list[int]:
    row = rows.get(attributes)
    if row is None:
        kept = attributes if len(rows) < MOST_SERIES else _OVERFLOW
        row = rows.setdefault(kept, [0] * length)
    return row


def _gauge(name: str, unit: str, values: Mapping[str, float], now_ns: int) -> Metric:
    points = [
        NumberDataPoint(
            attributes=_pairs((("bailiwick.tenant", tenant),)),
            time_unix_nano=now_ns,
            as_double=value,
        )
        for tenant, value in values.items()
    ]
    return Metric(name=name, unit=unit, gauge=Gauge(data_points=points))


def _pairs(attributes: Attributes) -> list[KeyValue]:
    return [
        KeyValue(
            key=name,
            value=AnyValue(string_value=value)
            if isinstance(value, str)
            else AnyValue(bool_value=value),
        )
        for name, value in attributes
        if value != ""
    ]
