"""A backend that is broken in any way changes no answer, and keeps nobody waiting."""

import asyncio
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from bailiwick.ports import Told
from bailiwick.telemetry.collector import Collector as Sender
from bailiwick.telemetry.collector import Posted
from bailiwick.telemetry.otlp import OtlpTelemetry
from bailiwick.telemetry.postbox import BATCH, CAPACITY, Postbox
from bailiwick.telemetry.spans import Ended, SpanWriter
from tests.s12_report.collecting import (
    Behaviour,
    Taking,
    answers,
    collecting,
    dies,
    drips,
    hangs,
    settings,
    to,
)
from tests.spine.house import effects, opened

SECRET = "sesame-7261"
EXPECTED = [
    ("done", "", "verified", False),
    ("done", "", "verified", True),
    ("failed", "not_done", None, False),
    ("refused", "denied", None, False),
]
ELSEWHERE = "/elsewhere"


class Raising:
    """A backend that is broken at every call."""

    def __init__(self) -> None:
        self.calls = 0

    def report(self, told: Told) -> None:
        self.calls += 1
        raise RuntimeError(SECRET)

    def change(self, record: bytes) -> None:
        self.calls += 1
        raise RuntimeError(SECRET)

    def wants_standing(self) -> bool:
        return True

    def stands(self, tenant: str, *, in_doubt: int, unsequenced_us: int) -> None:
        """Tell nobody."""

    def close(self) -> None:
        """Nothing is open."""


async def heard(folder: Path, **doors: Any) -> list[tuple[object, ...]]:
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


async def test_without_telemetry_these_are_the_answers(folder: Path) -> None:
    assert await heard(folder) == EXPECTED


@pytest.mark.claim("telemetry.cannot-change-answers")
async def test_a_backend_that_raises_changes_no_answer(folder: Path) -> None:
    broken = Raising()
    assert await heard(folder, told=broken) == EXPECTED
    assert (broken.calls, effects("t-1")) == (4, 1)


@pytest.mark.claim("telemetry.cannot-change-answers")
async def test_a_collector_that_is_not_there_changes_no_answer(folder: Path) -> None:
    with collecting() as server:
        nowhere = settings(server.url)
    async with asyncio.timeout(5):
        assert await heard(folder, told=OtlpTelemetry(nowhere)) == EXPECTED


@pytest.mark.claim("telemetry.cannot-change-answers")
@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(hangs, id="hangs"),
        pytest.param(dies, id="dies"),
        pytest.param(drips, id="drips"),
        pytest.param(answers(429, retry_after="3600"), id="429"),
        pytest.param(answers(503), id="503"),
        pytest.param(answers(500), id="500"),
        pytest.param(answers(302, location=ELSEWHERE), id="302"),
        pytest.param(answers(307, location=ELSEWHERE), id="307"),
    ],
)
async def test_a_collector_that_misbehaves_changes_no_answer(
    folder: Path, behave: Behaviour
) -> None:
    with collecting(behave) as server:
        told = to(server, timeout_seconds=0.3)
        async with asyncio.timeout(8):
            assert await heard(folder, told=told) == EXPECTED
        assert server.bodies, "nothing was sent, so nothing could go wrong"
        assert {path for path, _ in server.bodies} <= {"/v1/traces", "/v1/metrics"}


def test_what_may_be_tried_again_is_and_nothing_else_is() -> None:
    def at_first(*statuses: int) -> Behaviour:
        def behave(taking: Taking, before: int) -> None:
            taking.answer(statuses[before] if before < len(statuses) else 200, retry_after="0")

        return behave

    for status, requests, dropped in ((429, 2, 0), (503, 2, 0), (500, 1, 1), (307, 1, 1)):
        with collecting(at_first(status)) as server:
            door = to(server)
            door.report(told(1))
            door.close()
        sent = [path for path, _ in server.bodies if path == "/v1/traces"]
        assert (len(sent), door.dropped) == (requests, dropped), status


def test_a_kept_connection_that_was_closed_is_opened_again() -> None:
    def behave(taking: Taking, before: int) -> None:
        taking.answer(200)
        taking.close_connection = True  # without having said so

    with collecting(behave) as server:
        sender = Sender(server.url, {}, 2.0)
        answers = [sender.post("/v1/traces", b"") for _ in range(3)]
        sender.close()
    assert answers == [Posted(True), Posted(False, again_s=0.0), Posted(True)]


@pytest.mark.claim("telemetry.bounded")
def test_a_hanging_collector_fills_no_memory_and_closing_is_bounded() -> None:
    with collecting(hangs) as server:
        door = to(server, timeout_seconds=60)
        tracemalloc.start()
        try:
            for number in range(3 * CAPACITY):
                door.report(told(number))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        began_s = time.monotonic()
        door.close()
        assert time.monotonic() - began_s < 4
        assert door.dropped >= 3 * CAPACITY - CAPACITY - BATCH
    assert most < 16 * 2**20


@pytest.mark.claim("telemetry.bounded")
def test_the_memory_of_written_spans_is_given_back() -> None:
    writer = SpanWriter(Resource(), child_spans=0.0, slow_us=10**9)
    batch = [Ended(told(number), 10**18, None) for number in range(BATCH)]
    sizes = []
    for _ in range(2):
        for _ in range(20):
            writer.request(batch)
        sizes.append(resident_kib())
    assert sizes[1] - sizes[0] < 256


def test_what_cannot_be_written_costs_its_batch_and_no_more() -> None:
    with collecting() as server:
        door = to(server)
        door.report(replace(told(1), run="\ud800"))
        until_s = time.monotonic() + 10
        while not door.dropped and time.monotonic() < until_s:
            time.sleep(0.02)
        door.report(told(2))
        door.close()
    assert (door.dropped, len(server.spans())) == (1, 1)


def test_the_queue_hands_on_everything_in_order() -> None:
    seen: list[int] = []
    outbox: Postbox[int] = Postbox("test", lambda batch: seen.extend(batch))
    for number in range(CAPACITY):
        outbox.put(number)
    assert outbox.close()
    assert (seen, outbox.dropped) == (list(range(CAPACITY)), 0)


def told(number: int) -> Told:
    """What telemetry is told of an action."""
    return Told(
        tenant="default",
        agent="clerk",
        tool="desk.note",
        binding="python",
        effect="write",
        run="run-1",
        release="00" * 32,
        action=f"act_{number:032}",
        status="done",
        code="",
        verdict="verified",
        earlier=False,
        woken=False,
        cost_micro_usd=0,
        steps_us=(1,) * 12,
    )


def resident_kib() -> int:
    """What Linux counts as this process's anonymous memory (proc(5), status)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise AssertionError("no such line")
