"""Telemetry tells of an action, tells nothing personal, and changes no answer."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from bailiwick.nouns import STEPS
from bailiwick.telemetry.otlp import OtlpTelemetry
from bailiwick.values import JSON
from tests.spine.house import effects, opened

SECRET = "sesame-7261"
STEP_NAMES = {f"bailiwick.step.{number:02}_{name}.us" for number, name in enumerate(STEPS, 1)}


class Collector(ThreadingHTTPServer):
    """Takes spans over OTLP/HTTP; a `stuck` one takes them and never answers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, stuck: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.bodies: list[bytes] = []
        self.stuck = stuck
        self.over = threading.Event()

    def spans(self) -> list[Any]:
        exports = (ExportTraceServiceRequest.FromString(body) for body in self.bodies)
        return [
            span
            for export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Taking(BaseHTTPRequestHandler):
    """One connection to the collector."""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Collector)
        server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        if server.stuck:
            server.over.wait(30)
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()
        self.wfile.write(ExportTraceServiceResponse().SerializeToString())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


@contextmanager
def collecting(*, stuck: bool = False) -> Iterator[Collector]:
    server = Collector(stuck=stuck)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def at(server: Collector) -> str:
    return f"http://127.0.0.1:{server.server_port}"


class Raising:
    """A backend that is broken at every call."""

    def __init__(self) -> None:
        self.calls = 0

    def report(self, action: Mapping[str, JSON], timings_us: Sequence[int]) -> None:
        self.calls += 1
        raise RuntimeError(SECRET)

    def close(self) -> None:
        """Nothing is open."""


async def answers(folder: Path, **doors: Any) -> list[tuple[object, ...]]:
    """What an agent hears: a write, the same again, a failure, a refusal."""
    async with opened(folder, **doors) as house:
        clerk = await house.clerk()
        asked: list[tuple[str, dict[str, object]]] = [
            ("desk.note", {"on": "t-1"}),
            ("desk.note", {"on": "t-1"}),
            ("desk.note", {"on": "t-2", "how": "refuse"}),
            ("desk.refund", {"on": "c", "amount_minor": 1, "currency": "EUR"}),
        ]
        told = [await clerk.act(tool, arguments) for tool, arguments in asked]
        return [(each.status, each.code, each.verdict, each.earlier) for each in told]


EXPECTED = [
    ("done", "", "verified", False),
    ("done", "", "verified", True),
    ("failed", "not_done", None, False),
    ("refused", "denied", None, False),
]


async def test_without_telemetry_these_are_the_answers(folder: Path) -> None:
    assert await answers(folder) == EXPECTED


@pytest.mark.claim("telemetry.cannot-change-answers")
async def test_a_backend_that_raises_changes_no_answer(folder: Path) -> None:
    broken = Raising()
    assert await answers(folder, told=broken) == EXPECTED
    assert (broken.calls, effects("t-1")) == (4, 1)


@pytest.mark.claim("telemetry.cannot-change-answers")
async def test_a_collector_that_hangs_keeps_nobody_waiting(folder: Path) -> None:
    with collecting(stuck=True) as server:
        told = OtlpTelemetry(at(server))
        async with asyncio.timeout(10):
            assert await answers(folder, told=told) == EXPECTED
        assert server.bodies, "nothing was sent, so nothing hung"


@pytest.mark.claim("telemetry.cannot-change-answers")
async def test_a_collector_that_is_not_there_changes_no_answer(folder: Path) -> None:
    with collecting() as server:
        nowhere = at(server)
    began_s = time.monotonic()
    assert await answers(folder, told=OtlpTelemetry(nowhere)) == EXPECTED
    assert time.monotonic() - began_s < 8


@pytest.mark.claim("telemetry.no-content")
async def test_a_span_has_twelve_timings_and_nothing_personal(folder: Path) -> None:
    with collecting() as server:
        async with opened(folder, told=OtlpTelemetry(at(server))) as house:
            clerk = await house.clerk(subject="subject-7261")
            done = await clerk.act(
                "desk.note",
                {"on": "t-1", "words": SECRET},
                key="key-7261",
                reason="reason-7261",
                sources=["source-7261"],
            )
            failed = await clerk.act("desk.note", {"on": "thing-7261", "how": "refuse"})
    spans = server.spans()
    acts = {
        value.value.string_value: span
        for span in spans
        for value in span.attributes
        if value.key == "gen_ai.tool.call.id"
    }
    assert set(acts) == {done.action, failed.action}
    span = acts[done.action]
    told = {each.key: each.value for each in span.attributes}
    assert span.name == "execute_tool desk.note"
    assert {name for name in told if name.startswith("bailiwick.step.")} == STEP_NAMES
    spent_us = {name: told[name].int_value for name in STEP_NAMES}
    assert all(took >= 0 for took in spent_us.values())
    for step in ("08_intend", "09_execute", "11_conclude"):
        assert spent_us[f"bailiwick.step.{step}.us"] > 0
    took_us = (span.end_time_unix_nano - span.start_time_unix_nano) / 1000
    assert abs(sum(spent_us.values()) - took_us) < 2
    assert told["bailiwick.status"].string_value == "done"
    assert told["gen_ai.agent.name"].string_value == "clerk"
    everything = b"".join(server.bodies)
    for word in (b"7261", b"t-1", b"not today"):
        assert word not in everything


@pytest.mark.claim("telemetry.steps-of-what-failed")
async def test_what_failed_has_a_span_for_each_step_it_took(folder: Path) -> None:
    with collecting() as server:
        async with opened(folder, told=OtlpTelemetry(at(server))) as house:
            failed = await (await house.clerk()).act("desk.note", {"on": "t", "how": "refuse"})
    assert failed.status == "failed"
    (whole,) = (span for span in server.spans() if span.name == "execute_tool desk.note")
    steps = [span.name for span in server.spans() if span.parent_span_id == whole.span_id]
    named = [f"{number} {name}" for number, name in enumerate(STEPS, 1)]
    assert steps == [name for name in named if name in steps]
    assert {"8 intend", "9 execute", "11 conclude"} <= set(steps)
