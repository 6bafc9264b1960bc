"""Spans as OTLP: one a governed action, with the twelve step timings as attributes.

Names are those of the OpenTelemetry GenAI conventions v1.41 (`execute_tool`), our own under
`bailiwick.`. The official messages are filled in, not the SDK's spans: actions differ in little, so
a message is kept for each kind and only what differs is set before it is serialised. That takes
a fiftieth of what a span of the SDK and its exporter's conversion take.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from bailiwick.nouns import STEPS
from bailiwick.ports import Told
from bailiwick.telemetry.watch import error_of

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
_STEP_NAMES = tuple(f"bailiwick.step.{i:02d}_{name}.us" for i, name in enumerate(STEPS, 1))
_TYPES = {"python": "function", "http": "extension", "mcp": "extension"}
# Bits 8 and 9 of the flags: it is known whether the parent is remote, and it is.
_KNOWN, _REMOTE = 0x100, 0x200
_SAMPLED = 0x01


class Parent(NamedTuple):
    """The span of the caller's own trace that an action belongs under."""

    trace: bytes
    span: bytes
    remote: bool


class Ended(NamedTuple):
    """An action that is to have a span: when it ended, and the caller's span, if there is one."""

    told: Told
    end_ns: int
    parent: Parent | None


class _Kind:
    """The message of one kind of action, with the places of what differs in it."""

    def __init__(self, told: Told) -> None:
        self.whole = ScopeSpans()
        self.span = self.whole.spans.add(
            name=f"execute_tool {told.tool}".rstrip(), kind=Span.SPAN_KIND_INTERNAL
        )
        for name, value in _fixed(told):
            if value:
                self._add(name, value)
        if why := error_of(told):
            self.span.status.code = Status.STATUS_CODE_ERROR
            self.span.status.message = why
        self.run, self.action, self.cost = (
            self.span.attributes.add(key=name).value
            for name in ("bailiwick.run", "gen_ai.tool.call.id", "bailiwick.cost_micro_usd")
        )
        self.steps = [self.span.attributes.add(key=name).value for name in _STEP_NAMES]

    def _add(self, name: str, value: str | bool) -> None:
        place = self.span.attributes.add(key=name).value
        if isinstance(value, str):
            place.string_value = value
        else:
            place.bool_value = value


class SpanWriter:
    """Turns actions into export requests. Used by one thread.

    `child_spans` is the share of ordinary actions that get a span for each step they took; those
    that failed or took `slow_us` always do: for every action they would halve the throughput.
    """

    def __init__(self, resource: Resource, *, child_spans: float, slow_us: int) -> None:
        self._resource = ResourceSpans(resource=resource).SerializeToString()
        scope = ScopeSpans(scope=InstrumentationScope(name="bailiwick"), schema_url=SCHEMA_URL)
        self._scope = scope.SerializeToString()
        self._below = int(child_spans * 2**32)
        self._slow_us = slow_us
        self._forms: dict[tuple[object, ...], _Kind] = {}

    def request(self, batch: Iterable[Ended]) -> bytes:
        """An `ExportTraceServiceRequest`, serialised.

        Serialised messages that are joined are one message with the repeated fields of all.
        """
        # Made anew for each batch: a message keeps the memory of every text that was set in it.
        self._forms.clear()
        spans = b"".join([self._scope, *map(self._written, batch)])
        # Field 2 of ResourceSpans is scope_spans; field 1 of the request is resource_spans.
        return _framed(1, self._resource + _framed(2, spans))

    def _written(self, ended: Ended) -> bytes:
        told, parent = ended.told, ended.parent
        form, took_us = self._form(told), sum(told.steps_us)
        span = form.span
        id = os.urandom(12)
        span.span_id = id[:8]
        span.flags = _KNOWN | _SAMPLED
        if parent is None:
            span.trace_id = trace_of(told.tenant, told.run) if told.run else os.urandom(16)
            span.parent_span_id = b""
        else:
            span.trace_id, span.parent_span_id = parent.trace, parent.span
            span.flags |= _REMOTE if parent.remote else 0
        span.end_time_unix_nano = ended.end_ns
        span.start_time_unix_nano = ended.end_ns - took_us * 1000
        form.run.string_value, form.action.string_value = told.run, told.action
        form.cost.int_value = told.cost_micro_usd
        for place, step_us in zip(form.steps, told.steps_us, strict=True):
            place.int_value = step_us
        detailed = bool(error_of(told)) or took_us > self._slow_us
        detailed = detailed or int.from_bytes(id[8:]) < self._below
        if detailed or told.arguments or told.result:
            return _with_more(form.whole, told, steps=detailed)
        written: bytes = form.whole.SerializeToString()
        return written

    def _form(self, told: Told) -> _Kind:
        kind = (
            *(told.tenant, told.agent, told.tool, told.binding, told.release),
            *(told.status, told.code, told.verdict, told.earlier),
        )
        form = self._forms.get(kind)
        if form is None:
            form = self._forms[kind] = _Kind(told)
        return form


@lru_cache(1024)
def trace_of(tenant: str, run: str) -> bytes:
    """A run's trace id: the run itself if it has the form of one, else derived from its name."""
    if len(run) == 32 and run.isascii() and run == run.lower() and run.strip("0"):
        try:
            return bytes.fromhex(run)
        except ValueError:
            pass
    return sha256(f"{tenant}\0{run}".encode()).digest()[:16]


def _fixed(told: Told) -> tuple[tuple[str, str | bool], ...]:
    """The attributes that actions of one kind share; empty ones are left out."""
    return (
        ("gen_ai.operation.name", "execute_tool"),
        ("gen_ai.tool.name", told.tool),
        (
            "gen_ai.tool.type",
            told.tool and ("function" if told.binding == "python" else "extension"),
        ),
        ("gen_ai.agent.name", told.agent),
        ("mcp.method.name", "tools/call" if told.binding == "mcp" else ""),
        ("error.type", error_of(told)),
        ("bailiwick.tenant", told.tenant),
        ("bailiwick.release", told.release),
        ("bailiwick.status", told.status),
        ("bailiwick.code", told.code),
        ("bailiwick.verdict", told.verdict or ""),
        ("bailiwick.earlier", told.earlier),
    )


def _with_more(whole: ScopeSpans, told: Told, *, steps: bool) -> bytes:
    """The action's span with its content, and one for each step that it took, in their order."""
    detailed = ScopeSpans()
    detailed.CopyFrom(whole)
    for key, text in (
        ("gen_ai.tool.call.arguments", told.arguments),
        ("gen_ai.tool.call.result", told.result),
    ):
        if text:
            detailed.spans[0].attributes.add(key=key).value.string_value = text
    parent = whole.spans[0]
    at_ns = parent.start_time_unix_nano
    for number, (name, step_us) in enumerate(zip(STEPS, told.steps_us, strict=True), 1):
        if step_us and steps:
            detailed.spans.add(
                name=f"{number} {name}",
                kind=Span.SPAN_KIND_INTERNAL,
                trace_id=parent.trace_id,
                span_id=os.urandom(8),
                parent_span_id=parent.span_id,
                flags=_KNOWN | _SAMPLED,
                start_time_unix_nano=at_ns,
                end_time_unix_nano=at_ns + step_us * 1000,
            )
            at_ns += step_us * 1000
    written: bytes = detailed.SerializeToString()
    return written


def _framed(field: int, body: bytes) -> bytes:
    """A protobuf field of bytes: its tag, its length as a varint, and the bytes."""
    length, header = len(body), bytearray([field << 3 | 2])
    while length >= 0x80:
        header.append(length & 0x7F | 0x80)
        length >>= 7
    header.append(length)
    return bytes(header) + body
