"""What is counted adds up: outcomes by code and verdict, times, cost, doubts."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from bailiwick.telemetry.metrics import MOST_SERIES, Metrics
from tests.s12_report.collecting import collecting, metrics_of, to
from tests.s12_report.test_backends import told
from tests.spine.house import copied, opened

GENAI_S = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]


def points(metric: Any) -> list[tuple[dict[str, Any], Any]]:
    """A metric's series, each with its attributes."""
    data = getattr(metric, metric.WhichOneof("data")).data_points
    return [
        ({each.key: value_of(each.value) for each in point.attributes}, point) for point in data
    ]


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def counted(metric: Any, **wanted: object) -> int:
    """The sum of the series that have these attributes, dots written as `__`."""
    names = {name.replace("__", "."): value for name, value in wanted.items()}
    name = "as_int" if metric.WhichOneof("data") == "sum" else "count"
    found: list[int] = [
        getattr(point, name)
        for attributes, point in points(metric)
        if names.items() <= attributes.items()
    ]
    return sum(found)


@pytest.mark.claim("telemetry.metrics")
async def test_what_became_of_actions_adds_up(estate: Path, tmp_path: Path) -> None:
    with collecting() as server:
        folder = copied(estate, tmp_path / "project")
        async with opened(folder, told=to(server, interval_seconds=0.1)) as house:
            clerk = await house.clerk()
            for number in range(3):
                await clerk.act("desk.note", {"on": f"t-{number}"})
            await clerk.act("desk.note", {"on": "t-1"})
            await clerk.act("desk.note", {"on": "t-4", "how": "refuse"})
            await clerk.act("desk.note", {"on": "t-5", "how": "raise"})
            await clerk.act("desk.refund", {"on": "c", "amount_minor": 1, "currency": "EUR"})
            refunds = [
                await clerk.act("desk.refund", {"on": f"c-{n}", "amount_minor": 9000})
                for n in range(2)
            ]
            await house.vote("bo", refunds[0].action)
            await house.vote("bo", refunds[1].action, "deny")
            ends = [await house.until(each) for each in refunds]
            assert [each.status for each in ends] == ["done", "denied"]
            await asyncio.sleep(0.2)
    found = server.metrics()
    actions = found["bailiwick.actions"]
    for wanted, status in ((5, "done"), (1, "failed"), (1, "unknown"), (2, "parked")):
        assert counted(actions, bailiwick__status=status) == wanted, status
    assert counted(actions, bailiwick__status="refused", bailiwick__code="denied") == 1
    assert counted(actions, bailiwick__earlier=True) == 1
    assert counted(actions, gen_ai__tool__name="desk.note", gen_ai__agent__name="clerk") == 5
    took = found["gen_ai.client.operation.duration"]
    assert took.unit == "s"
    assert counted(took) == counted(actions)
    assert counted(took, error__type="not_done") == 1
    for _, point in points(took):
        assert list(point.explicit_bounds) == pytest.approx(GENAI_S)
        assert sum(point.bucket_counts) == point.count
        assert 0 < point.sum < 60
    waited = found["bailiwick.approval.duration"]
    assert counted(waited, bailiwick__approval__answer="granted") == 1
    assert counted(waited, bailiwick__approval__answer="denied") == 1
    ((whose, doubts),) = points(found["bailiwick.in_doubt"])
    assert (whose, doubts.as_double) == ({"bailiwick.tenant": "default"}, 1.0)
    ((_, age),) = points(found["bailiwick.ledger.unsequenced_age"])
    assert age.as_double < 60
    assert counted(found["bailiwick.telemetry.dropped"]) == 0


def test_calls_of_mcp_tools_and_costs_are_counted_once() -> None:
    metrics = Metrics(Resource())
    call = replace(
        told(1),
        binding="mcp",
        cost_micro_usd=250,
        steps_us=(0, 0, 0, 0, 0, 0, 0, 0, 150_000, 0, 0, 0),
    )
    metrics.count(call)
    metrics.count(replace(call, earlier=True, steps_us=(0,) * 12))
    found = metrics_of(metrics.request(dropped=7))
    assert counted(found["bailiwick.cost"]) == 250
    ((attributes, point),) = points(found["mcp.client.operation.duration"])
    assert attributes["mcp.method.name"] == "tools/call"
    assert (point.count, point.sum, point.bucket_counts[4]) == (1, 0.15, 1)
    assert counted(found["bailiwick.telemetry.dropped"]) == 7


@pytest.mark.claim("telemetry.bounded")
def test_more_series_than_are_kept_apart_become_one_more() -> None:
    metrics = Metrics(Resource())
    for number in range(MOST_SERIES + 100):
        metrics.count(replace(told(1), code=f"code_{number}"))
    actions = metrics_of(metrics.request(dropped=0))["bailiwick.actions"]
    assert len(points(actions)) == MOST_SERIES + 1
    assert counted(actions) == MOST_SERIES + 100
    assert counted(actions, otel__metric__overflow=True) == 100
