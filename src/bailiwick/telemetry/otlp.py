"""The door to a collector: what is told goes out by OTLP over HTTP, from a thread of its own.

On an action's path stand an append to a bounded queue and a few additions; the thread turns a batch
of actions into one request, and at every interval what was added up into another.
"""

import os
import time
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.trace import SpanContext

from bailiwick.config import Settings
from bailiwick.ports import Told
from bailiwick.telemetry.collector import Collector
from bailiwick.telemetry.metrics import Metrics
from bailiwick.telemetry.postbox import CAPACITY, Postbox
from bailiwick.telemetry.spans import Ended, Parent, SpanWriter


class OtlpTelemetry:
    """Sends spans and metrics in the background; what a full queue cannot take is dropped.

    A span continues the caller's own trace, if there is one, and is left out if that trace is not
    sampled; otherwise it belongs to the trace of its run.
    """

    def __init__(self, settings: Settings) -> None:
        options = settings.telemetry
        assert settings.telemetry_endpoint is not None
        self._collector = Collector(
            settings.telemetry_endpoint,
            options.headers,
            options.timeout_seconds,
            settings.path(options.certificate) if options.certificate else None,
        )
        resource = _resource(options.resource)
        self._spans = SpanWriter(
            resource,
            child_spans=options.child_spans,
            slow_us=int(options.slow_seconds * 1_000_000),
        )
        self._metrics = Metrics(resource)
        self._interval_s = options.interval_seconds
        self._export_at_s = time.monotonic() + self._interval_s
        self._measure_at_s = 0.0
        self._postbox: Postbox[Ended] = Postbox(
            "bailiwick-otlp",
            self._deliver,
            self._export,
            CAPACITY // 8 if options.content else CAPACITY,
        )

    @property
    def dropped(self) -> int:
        """How many spans could not be kept, or were not taken."""
        return self._postbox.dropped

    def report(self, told: Told) -> None:
        """Count the action, and put its span into the queue, ending now."""
        self._metrics.count(told)
        # A wake-up runs in the housekeeper's context, which is nobody's call.
        around = None if told.woken else trace.get_current_span().get_span_context()
        if around is None or not around.is_valid:
            self._postbox.put(Ended(told, time.time_ns(), None))
        elif around.trace_flags.sampled:
            self._postbox.put(Ended(told, time.time_ns(), _parent(around)))

    def change(self, record: bytes) -> None:
        """A control change is an event, and no span."""

    def wants_standing(self) -> bool:
        """Whether it is time to measure: once an interval."""
        return time.monotonic() >= self._measure_at_s

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Keep how a tenant stands for the next export."""
        self._measure_at_s = time.monotonic() + self._interval_s
        self._metrics.stands(tenant, in_doubt, unsequenced_us)
        self._postbox.start()

    def close(self) -> None:
        """Flush for at most two seconds, then give up what is left."""
        if self._postbox.close():
            self._collector.close()
        else:
            self._collector.abort()

    def _deliver(self, batch: list[Ended]) -> float | None:
        answer = self._collector.post("/v1/traces", self._spans.request(batch))
        if not answer.taken and answer.again_s is None:
            self._postbox.dropped += len(batch)
        return answer.again_s

    def _export(self, last: bool) -> None:
        """Export the metrics when it is time. One that fails is made good by the next."""
        now_s = time.monotonic()
        if last or now_s >= self._export_at_s:
            self._export_at_s = now_s + self._interval_s
            self._collector.post("/v1/metrics", self._metrics.request(self._postbox.dropped))


def _parent(around: SpanContext) -> Parent:
    return Parent(around.trace_id.to_bytes(16), around.span_id.to_bytes(8), remote=around.is_remote)


def _resource(given: Mapping[str, str]) -> Resource:
    """Who tells: one process, so that the figures of several can be told apart and added up."""
    described = {
        "service.name": "bailiwick",
        "service.instance.id": os.urandom(16).hex(),
        **given,
    }
    return Resource(
        attributes=[
            KeyValue(key=name, value=AnyValue(string_value=value))
            for name, value in described.items()
        ]
    )
