"""Spans tell of an action and its steps, continue traces, and tell nothing personal."""

from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from bailiwick.nouns import STEPS
from tests.s12_report.collecting import collecting, to
from tests.spine.house import opened

SECRET = "sesame-7261"
STEP_NAMES = {f"bailiwick.step.{number:02}_{name}.us" for number, name in enumerate(STEPS, 1)}


@pytest.mark.claim("telemetry.no-content")
async def test_a_span_has_twelve_timings_and_nothing_personal(folder: Path) -> None:
    with collecting() as server:
        async with opened(folder, told=to(server)) as house:
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
    for word in (b"7261", b"t-1", b"not today"):
        assert word not in server.everything


@pytest.mark.claim("telemetry.steps-of-what-failed")
async def test_what_failed_has_a_span_for_each_step_it_took(folder: Path) -> None:
    with collecting() as server:
        async with opened(folder, told=to(server)) as house:
            failed = await (await house.clerk()).act("desk.note", {"on": "t", "how": "refuse"})
    assert failed.status == "failed"
    (whole,) = (span for span in server.spans() if span.name == "execute_tool desk.note")
    steps = [span.name for span in server.spans() if span.parent_span_id == whole.span_id]
    named = [f"{number} {name}" for number, name in enumerate(STEPS, 1)]
    assert steps == [name for name in named if name in steps]
    assert {"8 intend", "9 execute", "11 conclude"} <= set(steps)


@pytest.mark.claim("telemetry.traces-go-on")
async def test_a_span_goes_on_with_the_callers_trace_or_its_runs(folder: Path) -> None:
    trace_id, around = 0x0AF7651916CD43DD8448EB211C80319C, 0x00F067AA0BA902B7
    run = "4bf92f3577b34da6a3ce929d0e0e4736"
    with collecting() as server:
        async with opened(folder, told=to(server)) as house:
            clerk, other = await house.clerk(run=run), await house.clerk(run="run-7")
            with trace.use_span(span_of(trace_id, around, sampled=True)):
                inner = await clerk.act("desk.note", {"on": "t-1"})
            with trace.use_span(span_of(trace_id, around, sampled=False)):
                await clerk.act("desk.note", {"on": "t-2"})
            alone = [await clerk.act("desk.note", {"on": f"t-{n}"}) for n in (3, 4)]
            named = [await other.act("desk.note", {"on": f"t-{n}"}) for n in (5, 6)]
    spans = {action_of(span): span for span in server.spans() if action_of(span)}
    assert spans.keys() == {inner.action, *(each.action for each in (*alone, *named))}
    assert spans[inner.action].trace_id == trace_id.to_bytes(16)
    assert spans[inner.action].parent_span_id == around.to_bytes(8)
    assert {spans[each.action].trace_id.hex() for each in alone} == {run}
    (derived,) = {spans[each.action].trace_id for each in named}
    assert len(derived) == 16
    assert derived.hex() not in (run, f"{trace_id:032x}")
    assert all(not spans[each.action].parent_span_id for each in (*alone, *named))


async def test_of_ordinary_actions_a_share_has_a_span_for_each_step(folder: Path) -> None:
    for share, detailed in ((0.0, False), (1.0, True)):
        with collecting() as server:
            async with opened(folder, told=to(server, child_spans=share)) as house:
                await (await house.clerk()).act("desk.look", {"on": "t"})
        names = {span.name for span in server.spans()}
        assert ("9 execute" in names) is detailed
        assert "execute_tool desk.look" in names


def span_of(trace_id: int, span_id: int, *, sampled: bool) -> trace.Span:
    """A span of the caller's own, as any tracer would make it current."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
    return trace.NonRecordingSpan(
        trace.SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags)
    )


def action_of(span: Any) -> str:
    told: dict[str, str] = {each.key: each.value.string_value for each in span.attributes}
    return told.get("gen_ai.tool.call.id", "")
