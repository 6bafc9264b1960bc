"""Spans over OTLP/HTTP: one a governed action, with the twelve step timings as attributes.

Names are those of the OpenTelemetry GenAI conventions v1.41 (`execute_tool`), our own under
`bailiwick.`. A child span a step is made only for actions that failed or were slow: one a step for
every action would halve the throughput. No content, subject or secret is ever an attribute.
"""

import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

from bailiwick.nouns import STEPS
from bailiwick.values import JSON

_SLOW_US = 1_000_000
_FLUSH_MS = 2_000
_NAMES = {
    "tool": "gen_ai.tool.name",
    "agent": "gen_ai.agent.name",
    "tenant": "bailiwick.tenant",
    "action": "gen_ai.tool.call.id",
    "run": "bailiwick.run",
    "status": "bailiwick.status",
    "code": "bailiwick.code",
    "verdict": "bailiwick.verdict",
    "earlier": "bailiwick.earlier",
    "release": "bailiwick.release",
    "cost_micro_usd": "bailiwick.cost_micro_usd",
}
_STEP_NAMES = tuple(f"bailiwick.step.{i:02d}_{name}.us" for i, name in enumerate(STEPS, 1))


class OtlpTelemetry:
    """Sends spans to a collector in the background; what a full queue cannot take is dropped."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is the collector's base URL, without `/v1/traces`."""
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=2.0)
        self._processor = BatchSpanProcessor(exporter, max_queue_size=8192)
        self._provider = TracerProvider(resource=Resource.create({"service.name": "bailiwick"}))
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("bailiwick")

    def report(self, action: Mapping[str, JSON], timings_us: Sequence[int]) -> None:
        """Make the action's span, ending now."""
        end_ns = time.time_ns()
        took_us = sum(timings_us)
        attributes: dict[str, str | bool | int] = {"gen_ai.operation.name": "execute_tool"}
        for name, value in action.items():
            if isinstance(value, (str, bool, int)) and value != "":
                attributes[_NAMES[name]] = value
        for name, step_us in zip(_STEP_NAMES, timings_us, strict=True):
            attributes[name] = step_us
        span = self._tracer.start_span(
            f"execute_tool {action.get('tool') or 'action'}",
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=end_ns - took_us * 1000,
        )
        failed = action.get("status") in ("failed", "unknown")
        if failed:
            span.set_status(Status(StatusCode.ERROR, str(action.get("code"))))
        if failed or took_us > _SLOW_US:
            self._steps(span, timings_us, end_ns - took_us * 1000)
        span.end(end_ns)

    def close(self) -> None:
        """Flush for at most two seconds, then give up what is left."""
        self._processor.force_flush(_FLUSH_MS)
        self._provider.shutdown()

    def _steps(self, parent: object, timings_us: Sequence[int], at_ns: int) -> None:
        context = set_span_in_context(parent)  # type: ignore[arg-type]
        for number, (name, step_us) in enumerate(zip(STEPS, timings_us, strict=True), 1):
            if step_us:
                step = self._tracer.start_span(
                    f"{number} {name}", context=context, start_time=at_ns
                )
                at_ns += step_us * 1000
                step.end(at_ns)
