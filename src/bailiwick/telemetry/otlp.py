"""The door to a collector: what is told goes out by OTLP over HTTP, from a thread of its own.

On an action's path stands one append to a bounded queue; the thread turns a batch into one request.
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
from bailiwick.telemetry.outbox import Outbox
from bailiwick.telemetry.spans import Ended, Parent, SpanWriter


class OtlpTelemetry:
    """Sends spans to a collector in the background; what a full queue cannot take is dropped.

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
            options.certificate,
        )
        self._spans = SpanWriter(
            _resource(options.resource),
            child_spans=options.child_spans,
            slow_us=int(options.slow_seconds * 1_000_000),
        )
        self._outbox: Outbox[Ended] = Outbox("bailiwick-otlp", self._deliver)

    @property
    def dropped(self) -> int:
        """How many spans could not be kept, or were not taken."""
        return self._outbox.dropped

    def report(self, told: Told) -> None:
        """Put the action's span into the queue, ending now."""
        # A wake-up runs in the housekeeper's context, which is nobody's call.
        around = None if told.woken else trace.get_current_span().get_span_context()
        if around is None or not around.is_valid:
            self._outbox.put(Ended(told, time.time_ns(), None))
        elif around.trace_flags.sampled:
            self._outbox.put(Ended(told, time.time_ns(), _parent(around)))

    def close(self) -> None:
        """Flush for at most two seconds, then give up what is left."""
        if self._outbox.close():
            self._collector.close()
        else:
            self._collector.abort()

    def _deliver(self, batch: list[Ended]) -> float | None:
        answer = self._collector.post("/v1/traces", self._spans.request(batch))
        if not answer.taken and answer.again_s is None:
            self._outbox.dropped += len(batch)
        return answer.again_s


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
