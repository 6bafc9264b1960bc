"""Step 9: what is reported of an effect, when a send is repeated, and what stops it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.errors import NotDone
from bailiwick.execution import execute, provider_key, read
from bailiwick.nouns import (
    EffectReport,
    Mode,
    ModeSetting,
    Reader,
    Refusal,
    Standing,
    Tool,
    ToolContext,
)
from bailiwick.values import JSON
from tests.s09_execute.bench import (
    AGENT,
    Bench,
    action,
    bench,
    free_port,
    http_tool,
    python_tool,
)
from tests.s09_execute.upstream import (
    Arrival,
    Behaviour,
    Upstream,
    answer,
    close,
    endless,
    reset,
    silence,
    under_key,
    upstream,
)

BUSY = answer(503, Retry_After="0")
KEYED: dict[str, Any] = {"key_header": "Idempotency-Key", "key_retention_s": 3600.0}


@pytest.fixture
async def at() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture
async def system() -> AsyncIterator[Upstream]:
    async with upstream() as made:
        yield made


async def run(
    at: Bench,
    tool: Tool,
    arguments: Mapping[str, JSON] | None = None,
    *,
    deadline_s: float = 5.0,
) -> EffectReport:
    return await execute(
        at.world,
        at.bundle,
        action(at.tools[tool.name], deadline_s=deadline_s),
        tool,
        arguments or {},
        before={},
        epoch=7,
    )


# What is reported


async def test_an_answer_of_success_is_done_with_its_result(at: Bench, system: Upstream) -> None:
    system.on("/refunds", answer(201, {"id": "re_1"}))
    report = await run(at, at.add(http_tool(system.url)), {"amount": 5})
    assert (report.status, report.result, report.sends) == ("done", {"id": "re_1"}, 1)
    assert system.arrivals[0].json == {"amount": 5}
    assert system.arrivals[0].headers["bailiwick-action"] == "act-1"


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (answer(422, {"error": "too much"}), "failed", "provider_refused"),
        (answer(409), "failed", "provider_refused"),
        (answer(500, acts=True), "unknown", "provider_error"),
        (answer(303, Location="/done", acts=True), "unknown", "provider_redirected"),
        (reset(acts=True), "unknown", "answer_lost"),
        (close(acts=True), "unknown", "answer_lost"),
        (silence(9, acts=True), "unknown", "answer_lost"),
        (endless(), "unknown", "result_too_large"),
    ],
)
async def test_failed_means_certainly_not_done(
    at: Bench, system: Upstream, behaviour: Behaviour, status: str, code: str
) -> None:
    system.on("/refunds", behaviour)
    report = await run(at, at.add(http_tool(system.url, timeout_s=0.3)))
    assert (report.status, report.code, report.sends) == (status, code, 1)
    assert report.status == "unknown" or system.effects == 0


async def test_an_unreachable_provider_is_failed_after_the_retries(at: Bench) -> None:
    tool = at.add(http_tool(f"http://127.0.0.1:{free_port()}"))
    report = await run(at, tool)
    assert (report.status, report.code) == ("failed", "provider_unreachable")
    assert report.sends == 0


async def test_the_last_answer_is_in_the_evidence(at: Bench, system: Upstream) -> None:
    system.on("/refunds", answer(422))
    assert (await run(at, at.add(http_tool(system.url)))).evidence == {"http_status": 422}
    system.on("/refunds", answer(500), answer(401))
    report = await run(at, at.add(http_tool(system.url, **KEYED)))
    assert report.evidence == {"http_status": 401, "then": "provider_refused"}


async def test_a_python_tool_is_done_failed_or_unknown(at: Bench) -> None:
    async def note(text: str, context: ToolContext) -> object:
        match text:
            case "refuse":
                raise NotDone("the book is closed")
            case "break":
                raise RuntimeError
        return {"text": text, "action": context.action, "key": context.provider_key}

    tool = at.add(python_tool(context=True), note)
    done = await run(at, tool, {"text": "hello"})
    key = provider_key("acme", "act-1")
    assert done.result == {"text": "hello", "action": "act-1", "key": key}
    refused = await run(at, tool, {"text": "refuse"})
    assert (refused.status, refused.code) == ("failed", "not_done")
    assert "the book is closed" in refused.message
    broken = await run(at, tool, {"text": "break"})
    assert (broken.status, broken.code, broken.sends) == ("unknown", "answer_lost", 1)


async def test_what_cannot_be_built_is_failed_and_not_sent(at: Bench, system: Upstream) -> None:
    tool = at.add(http_tool(system.url, "/refunds/{id}"))
    report = await run(at, tool, {"id": "../charges"})
    assert (report.status, report.code, report.sends) == ("failed", "path_segment_unsafe", 0)
    assert system.connections == 0


# When a send is repeated


@pytest.mark.parametrize("behaviour", [BUSY, answer(429)])
async def test_where_nothing_happened_it_is_sent_again(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    system.on("/refunds", behaviour, behaviour, answer(201))
    report = await run(at, at.add(http_tool(system.url)))
    assert (report.status, report.sends) == ("done", 3)
    system.on("/refunds", behaviour)
    report = await run(at, at.add(http_tool(system.url)))
    assert (report.status, report.code, report.sends) == ("failed", "provider_busy", 3)


@pytest.mark.claim("execution.never-resend-without-key")
@pytest.mark.parametrize("behaviour", [reset(), close(), answer(500), answer(502), answer(408)])
async def test_without_a_key_a_send_of_unknown_fate_is_not_repeated(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    header: dict[str, Any] = {"key_header": "Idempotency-Key"}  # sent, but not honoured
    retention: dict[str, Any] = {"key_retention_s": 3600.0}  # honoured, but not sent
    for members in ({}, header, retention):
        system.arrivals.clear()
        system.on("/refunds", behaviour, answer(201))
        report = await run(at, at.add(http_tool(system.url, **members)))
        assert report.status == "unknown"
        assert len(system.arrivals) == 1


@pytest.mark.parametrize("behaviour", [reset(), close(), answer(500), answer(409), silence(9)])
async def test_under_a_key_a_send_of_unknown_fate_is_repeated_with_the_same_key(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    system.on("/refunds", under_key(behaviour))
    tool = at.add(http_tool(system.url, timeout_s=0.3, **KEYED))
    report = await run(at, tool, {"amount": 5})
    assert (report.status, report.sends) == ("done", 2)
    assert report.result == {"id": "re_1", "replayed": True}
    assert system.effects == 1
    first, second = system.arrivals
    assert first.headers["idempotency-key"] == provider_key("acme", "act-1")
    assert (first.headers, first.body) == (second.headers, second.body)


@pytest.mark.claim("execution.never-resend-without-key")
async def test_a_key_protects_only_as_long_as_the_provider_keeps_it(
    at: Bench, system: Upstream
) -> None:
    system.on("/refunds", silence(9), answer(201))
    members = {**KEYED, "key_retention_s": 0.4, "timeout_s": 0.3}
    report = await run(at, at.add(http_tool(system.url, **members)))
    assert (report.status, len(system.arrivals)) == ("unknown", 1)


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize("behaviour", [answer(401), answer(422), answer(429), BUSY])
async def test_a_refusal_of_a_repeat_says_nothing_of_the_send_before(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    system.on("/refunds", reset(acts=True), behaviour)
    report = await run(at, at.add(http_tool(system.url, **KEYED)))
    assert (report.status, system.effects) == ("unknown", 1)


async def test_a_read_is_repeated_and_fails_without_doubt(at: Bench, system: Upstream) -> None:
    tool = at.add(http_tool(system.url, "/charges", method="GET"))
    system.on("/charges", reset(), answer(500), answer(200, {"id": 1}))
    assert (await run(at, tool)).result == {"id": 1}
    system.on("/charges", answer(500))
    report = await run(at, tool)
    assert (report.status, report.code, report.sends) == ("failed", "provider_error", 3)
    system.on("/charges", answer(200, raw=b"<html>"))
    assert (await run(at, tool)).code == "result_unreadable"


@pytest.mark.claim("execution.deadline")
async def test_no_send_begins_after_the_deadline(at: Bench, system: Upstream) -> None:
    system.on("/refunds", answer(429, Retry_After="1"))
    tool = at.add(http_tool(system.url, retries=50))
    started = time.monotonic()
    report = await run(at, tool, deadline_s=0.5)
    assert time.monotonic() - started < 0.5
    assert (report.status, report.code, report.sends) == ("failed", "provider_busy", 1)
    late = await run(at, tool, deadline_s=-1)
    assert (late.status, late.code, late.sends) == ("failed", "deadline_passed", 0)
    assert len(system.arrivals) == 1


@pytest.mark.claim("execution.deadline")
async def test_the_deadline_bounds_a_send_that_is_slow_and_one_that_is_repeated(
    at: Bench, system: Upstream
) -> None:
    system.on("/refunds", silence(9))
    started = time.monotonic()
    report = await run(at, at.add(http_tool(system.url, timeout_s=9, **KEYED)), deadline_s=0.3)
    assert time.monotonic() - started < 1
    assert report.status == "unknown"
    system.on("/refunds", BUSY)
    at.world = msgspec.structs.replace(at.world, random=lambda n: b"\xff" * n)
    report = await run(at, at.add(http_tool(system.url, retries=50)), deadline_s=0.5)
    assert report.status == "failed"
    assert 1 <= report.sends <= 4  # pauses of 0.1, 0.2, 0.4 s


async def test_a_provider_that_says_when_is_not_asked_before(at: Bench, system: Upstream) -> None:
    times: list[float] = []

    async def note_time(told: Upstream, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        times.append(time.monotonic())
        told.on("/refunds", answer(201))
        await answer(429, Retry_After="1")(told, arrival, writer)

    system.on("/refunds", note_time)
    report = await run(at, at.add(http_tool(system.url)))
    assert (report.status, report.sends) == ("done", 2)
    assert time.monotonic() - times[0] >= 1


# What stops it


@pytest.mark.claim("execution.fence-each-send")
@pytest.mark.parametrize(
    ("scope", "target", "stops"),
    [
        ("everything", "", True),
        ("tenant", "acme", True),
        ("agent", AGENT, True),
        ("agent", "other", False),
        ("tool", "payments.refund", True),
        ("tool", "payments.charge", False),
        ("upstream", "payments", True),
        ("upstream", "desk", False),
        ("run", "run-1", True),
        ("run", "run-2", False),
    ],
)
async def test_a_stop_that_covers_the_action_shuts_the_fence(
    at: Bench, system: Upstream, scope: str, target: str, stops: bool
) -> None:
    system.on("/refunds", answer(201))
    tool = at.add(http_tool(system.url, upstream="payments"))
    at.room.stop(scope, target)
    report = await run(at, tool)
    if not stops:
        assert report.status == "done"
        return
    assert (report.status, report.code, report.sends) == ("failed", "stopped", 0)
    assert system.arrivals == []


def disabled(at: Bench) -> None:
    at.room.change(standings={AGENT: Standing(agent=AGENT, enabled=False, keys={"key-1": {}})})


def unknown_agent(at: Bench) -> None:
    at.room.change(standings={})


def key_gone(at: Bench) -> None:
    at.room.change(standings={AGENT: Standing(agent=AGENT, enabled=True, keys={"key-2": {}})})


def revoked(at: Bench) -> None:
    at.room.change(revoked=frozenset({"jti-1"}))


def unreadable(at: Bench) -> None:
    at.room.broken = True


@pytest.mark.claim("execution.fence-each-send")
@pytest.mark.parametrize("change", [disabled, unknown_agent, key_gone, revoked, unreadable])
async def test_what_takes_the_right_to_act_away_shuts_the_fence(
    at: Bench, system: Upstream, change: Any
) -> None:
    system.on("/refunds", answer(201))
    change(at)
    report = await run(at, at.add(http_tool(system.url)))
    assert (report.status, report.sends) == ("failed", 0)
    assert report.code == ("control_unreadable" if change is unreadable else "stopped")
    assert system.arrivals == []


async def test_a_change_that_stops_nothing_lets_the_send_pass(at: Bench, system: Upstream) -> None:
    system.on("/refunds", answer(201))
    at.room.change(release="1" * 64)
    assert (await run(at, at.add(http_tool(system.url)))).status == "done"


@pytest.mark.claim("execution.fence-each-send")
@pytest.mark.parametrize(
    ("first", "status"), [(BUSY, "failed"), (reset(acts=True), "unknown")], ids=["busy", "lost"]
)
async def test_a_stop_between_two_sends_keeps_the_second_from_beginning(
    at: Bench, system: Upstream, first: Behaviour, status: str
) -> None:
    async def stop_and(told: Upstream, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        at.room.stop("tool", "payments.refund")
        await first(told, arrival, writer)

    system.on("/refunds", stop_and, answer(201, acts=True))
    report = await run(at, at.add(http_tool(system.url, **KEYED)))
    assert (report.status, report.sends) == (status, 1)
    assert report.code == ("stopped" if status == "failed" else "answer_lost")
    assert len(system.arrivals) == 1


@pytest.mark.claim("limits.read-only-writes-nothing")
@pytest.mark.claim("limits.shadow-executes-nothing")
@pytest.mark.parametrize(
    ("mode", "tool", "sends"),
    [
        ("shadow", "payments.refund", 0),
        ("read-only", "payments.*", 0),
        ("read-only", "*", 0),
        ("read-only", "mail.*", 1),
        ("draft", "*", 1),
        ("live", "*", 1),
    ],
)
async def test_a_mode_tightened_after_the_intent_keeps_the_send_from_beginning(
    at: Bench, system: Upstream, mode: Mode, tool: str, sends: int
) -> None:
    system.on("/refunds", answer(201))
    at.room.change(
        modes=(ModeSetting(agent=AGENT, tool=tool, mode=mode, by="ada", reason="", since_us=0),)
    )
    report = await run(at, at.add(http_tool(system.url)))
    assert (report.sends, len(system.arrivals)) == (sends, sends)
    assert report.code == ("" if sends else "stopped")


@pytest.mark.claim("execution.fence-each-send")
async def test_each_send_looks_at_the_epoch_again(at: Bench, system: Upstream) -> None:
    system.on("/refunds", BUSY, BUSY, answer(201))
    await run(at, at.add(http_tool(system.url)))
    assert at.room.looks == 3


@pytest.mark.claim("execution.quiet-after-a-stop")
async def test_after_a_stop_and_quiet_nothing_more_arrives(at: Bench, system: Upstream) -> None:
    system.on("/refunds", answer(201))
    at.room.slow_s = 0.01
    tool = at.add(http_tool(system.url))
    ended = asyncio.Event()
    called = asyncio.Event()
    calls = [0] * 8

    async def caller(number: int) -> None:
        while not ended.is_set():
            await run(at, tool)
            calls[number] += 1
            called.set()

    async def each_called(since: list[int]) -> None:
        """Every call that had begun has ended, however slow the machine is."""
        async with asyncio.timeout(30):
            while any(now <= then for now, then in zip(calls, since, strict=True)):
                called.clear()
                await called.wait()

    callers = [asyncio.create_task(caller(number)) for number in range(8)]
    await each_called([0] * 8)
    at.room.stop()
    assert await at.world.egress.quiet(10)
    await each_called(calls.copy())
    arrived = len(system.arrivals)
    await each_called([count + 3 for count in calls])
    ended.set()
    await asyncio.gather(*callers)
    assert len(system.arrivals) == arrived >= 8


# Any sequence of faults


FAULTS: dict[str, tuple[Behaviour, bool]] = {  # how it behaves, and whether it acts
    "busy": (BUSY, False),
    "refuse": (answer(422), False),
    "lose": (reset(), False),
    "act-and-lose": (reset(acts=True), True),
    "act-and-500": (answer(500, acts=True), True),
    "500": (answer(500), False),
    "do": (answer(201, acts=True), True),
}


@pytest.mark.claim("execution.never-resend-without-key")
@pytest.mark.claim("execution.unknown-is-not-failed")
@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=4))
def test_without_a_key_no_sequence_of_faults_acts_twice_or_is_wrongly_called_failed(
    faults: list[str],
) -> None:
    async def once() -> None:
        async with upstream() as system, bench() as at:
            system.on("/refunds", *(FAULTS[name][0] for name in faults))
            report = await run(at, at.add(http_tool(system.url, retries=5)))
            assert system.effects <= 1
            assert report.status != "failed" or system.effects == 0
            assert report.status != "done" or system.effects == 1

    asyncio.run(once())


# One look at the world


def looking(**arguments: str) -> Reader:
    return Reader(tool="payments.find", arguments=arguments)


async def look(at: Bench, tool: Tool, reader: Reader, step: int = 4) -> JSON | Refusal:
    names: dict[str, JSON] = {"args": {"charge": "ch_1"}, "action": {"id": "act-1"}}
    return await read(at.world, at.bundle, tool, reader, names, step=step)


async def test_a_look_gives_what_is_there_and_null_for_nothing(at: Bench, system: Upstream) -> None:
    tool = at.add(http_tool(system.url))
    at.add(http_tool(system.url, "/r/{id}", name="payments.find", method="GET"))
    system.on("/r/ch_1", reset(), answer(500), answer(200, {"id": "ch_1"}))
    assert await look(at, tool, looking(id="args.charge")) == {"id": "ch_1"}
    system.on("/r/ch_1", answer(404, {"error": "unknown"}))
    assert await look(at, tool, looking(id="args.charge")) is None


@pytest.mark.parametrize(
    "behaviour",
    [answer(500), answer(403), answer(302, Location="/x"), answer(200, raw=b"<"), reset()],
)
async def test_a_look_that_fails_is_a_refusal_of_its_step(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    tool = at.add(http_tool(system.url))
    at.add(http_tool(system.url, "/r", name="payments.find", method="GET"))
    system.on("/r", behaviour)
    refusal = await look(at, tool, looking(), step=10)
    assert isinstance(refusal, Refusal)
    assert (refusal.step, refusal.code) == (10, "read_failed")


async def test_a_look_is_bounded_and_may_not_write(at: Bench, system: Upstream) -> None:
    tool = at.add(http_tool(system.url))
    system.on("/r", silence(9))
    at.add(http_tool(system.url, "/r", name="payments.find", method="GET", timeout_s=0.3))
    started = time.monotonic()
    assert isinstance(await look(at, tool, looking()), Refusal)
    assert time.monotonic() - started < 1
    at.add(http_tool(system.url, "/r", name="payments.find", method="POST"))
    system.arrivals.clear()
    assert isinstance(await look(at, tool, looking()), Refusal)
    assert isinstance(await look(at, tool, Reader(tool="nobody", arguments={})), Refusal)
    missing = await look(at, tool, looking(id="args.nothing"))
    assert isinstance(missing, Refusal)
    assert system.arrivals == []


async def test_a_look_is_not_stopped(at: Bench, system: Upstream) -> None:
    tool = at.add(http_tool(system.url))
    at.add(http_tool(system.url, "/r", name="payments.find", method="GET"))
    system.on("/r", answer(200, [1]))
    at.room.stop()
    assert await look(at, tool, looking()) == [1]
