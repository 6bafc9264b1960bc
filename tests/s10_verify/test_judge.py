"""The verdict: who is accused of what, and how little it takes not to accuse anyone."""

from typing import Any

import msgspec
import pytest

from bailiwick.execution import action_names, execute, read
from bailiwick.nouns import EffectReport, Reader, Refusal, Tool, Verification
from bailiwick.values import JSON
from bailiwick.verification import judge
from tests.s09_execute.bench import Tools, action, bench, http_tool
from tests.s09_execute.upstream import answer, upstream

EXPECT = "after.refunded == before.refunded + args.amount"
BY_OUR_OBJECT = "after.data.exists(r, r.action == action.id)"
DONE = EffectReport(status="done", result={"id": "re_1"})
RESULT_WITHHELD = EffectReport(status="done", code="result_unreadable")
UNREAD = Refusal(step=10, code="read_failed", message="the provider answered 500")


def refund(expect: str | None = EXPECT, *, base_url: str = "http://localhost") -> Tool:
    reader = Reader(tool="payments.charge", arguments={"id": "args.charge"})
    return http_tool(base_url, reader=reader, expect=expect)


def sure(tool: Tool) -> Tool:
    """The tool with an authoritative reader."""
    assert tool.reader is not None
    reader = msgspec.structs.replace(tool.reader, authoritative=True)
    return msgspec.structs.replace(tool, reader=reader)


def verdict(
    tool: Tool,
    after: JSON | Refusal,
    *,
    report: EffectReport = DONE,
    touched: tuple[str, ...] = (),
    settled: bool = True,
) -> Verification:
    names: dict[str, JSON] = {
        "args": {"charge": "ch_1", "amount": 5},
        "before": {"refunded": 10},
        "action": {"id": "act-1"},
    }
    return judge(Tools({}, {}), tool, names, report, after=after, touched=touched, settled=settled)


def test_an_expectation_that_holds_is_verified_whatever_else_happened() -> None:
    found = verdict(refund(), {"refunded": 15}, touched=("act-9",), settled=False)
    assert (found.verdict, found.after) == ("verified", {"refunded": 15})


@pytest.mark.claim("verification.silent-no-op-contradicted")
def test_an_expectation_that_does_not_hold_is_contradicted_with_nothing_to_excuse_it() -> None:
    found = verdict(refund(), {"refunded": 10}, touched=("act-1",))
    assert (found.verdict, found.after) == ("contradicted", {"refunded": 10})
    assert EXPECT in found.reason


@pytest.mark.claim("verification.concurrent-change-unverifiable")
def test_another_governed_write_in_between_makes_it_unverifiable() -> None:
    found = verdict(refund(), {"refunded": 20}, touched=("act-1", "act-9"))
    assert found.verdict == "unverifiable"
    assert "`act-9`" in found.reason
    assert "act-1`" not in found.reason
    many = verdict(refund(), {"refunded": 20}, touched=tuple(f"act-{n}" for n in range(10, 30)))
    assert "and 15 more" in many.reason


def test_our_own_object_is_verified_beside_a_colleagues_change() -> None:
    after: JSON = {"refunded": 99, "data": [{"action": "act-9"}, {"action": "act-1"}]}
    assert verdict(refund(BY_OUR_OBJECT), after, touched=("act-9",)).verdict == "verified"


@pytest.mark.parametrize(
    ("tool", "after", "more", "says"),
    [
        (refund(), {"refunded": 10}, {"settled": False}, "may not have settled"),
        (http_tool("http://localhost"), None, {}, "no reader is declared"),
        (refund(expect=None), {"refunded": 10}, {}, "nothing is expected"),
        (refund(), UNREAD, {}, "the provider answered 500 [read_failed]"),
        (refund(), {}, {}, "the expectation failed"),
        (refund(), None, {}, "the expectation failed"),
        (refund("result.missing == 1"), {}, {}, "the expectation failed"),
        (refund("after.refunded"), {"refunded": 10}, {}, "neither true nor false"),
        (refund("'false'"), {}, {}, "neither true nor false"),
        (refund(), {"refunded": 10}, {"report": EffectReport(status="unknown")}, "unknown"),
        (refund(), {"refunded": 15}, {"report": EffectReport(status="failed")}, "failed"),
    ],
)
def test_every_doubt_makes_it_unverifiable_and_is_named(
    tool: Tool, after: JSON | Refusal, more: dict[str, Any], says: str
) -> None:
    found = verdict(tool, after, **more)
    assert found.verdict == "unverifiable"
    assert says in found.reason


@pytest.mark.claim("verification.authoritative-absence-contradicted")
def test_nothing_there_is_contradicted_where_the_reader_is_authoritative() -> None:
    tool = sure(refund())
    found = verdict(tool, None, touched=("act-1",))
    assert (found.verdict, found.after) == ("contradicted", None)
    assert "authoritative" in found.reason


@pytest.mark.claim("verification.authoritative-absence-contradicted")
@pytest.mark.parametrize(
    ("change", "after", "more", "says"),
    [
        ({}, None, {"settled": False}, "may not have settled"),
        ({}, None, {"touched": ("act-9",)}, "also written by `act-9`"),
        ({}, None, {"report": RESULT_WITHHELD}, "the expectation failed"),
        ({}, {}, {}, "the expectation failed"),
        ({}, UNREAD, {}, "the provider answered 500 [read_failed]"),
        # Where something is destroyed, that nothing is there may be the very effect.
        ({"traits": ("destructive",)}, None, {}, "the expectation failed"),
    ],
)
def test_nothing_there_accuses_nobody_while_anything_excuses_it(
    change: dict[str, Any], after: JSON | Refusal, more: dict[str, Any], says: str
) -> None:
    found = verdict(msgspec.structs.replace(sure(refund()), **change), after, **more)
    assert found.verdict == "unverifiable"
    assert says in found.reason


@pytest.mark.claim("verification.authoritative-absence-contradicted")
async def test_a_provider_that_says_yes_and_has_nothing_is_contradicted() -> None:
    async with upstream() as system, bench() as at:
        system.on("/refunds", answer(200, {"id": "re_1"}))
        system.on("/charges/ch_1", answer(404, {"error": "no such charge"}))
        at.add(http_tool(system.url, "/charges/{id}", name="payments.charge", method="GET"))
        tool = at.add(sure(refund("after.id == args.charge", base_url=system.url)))
        made = action(tool)
        arguments: dict[str, JSON] = {"charge": "ch_1", "amount": 5}
        names: dict[str, JSON] = {"args": arguments, "before": {}, "action": action_names(made)}
        report = await execute(at.world, at.bundle, made, tool, arguments, before={}, epoch=7)
        assert report.status == "done"
        assert tool.reader is not None
        after = await read(at.world, at.bundle, tool, tool.reader, names, step=10)
        found = judge(
            at.bundle.catalogue, tool, names, report, after=after, touched=(made.id,), settled=True
        )
        assert (after, found.verdict) == (None, "contradicted")


def test_nothing_there_can_be_what_is_expected() -> None:
    gone = refund("after == null")
    assert verdict(gone, None).verdict == "verified"
    assert verdict(gone, {"id": "cus_1"}).verdict == "contradicted"


def test_a_result_may_be_held_against_the_world() -> None:
    same = refund("after.id == result.id")
    assert verdict(same, {"id": "re_1"}).verdict == "verified"
    withheld = msgspec.structs.replace(DONE, result=None, code="result_unreadable")
    assert verdict(same, {"id": "re_1"}, report=withheld).verdict == "unverifiable"


@pytest.mark.claim("verification.silent-no-op-contradicted")
@pytest.mark.parametrize(("acts", "verdict"), [(True, "verified"), (False, "contradicted")])
async def test_a_provider_that_says_yes_and_does_nothing_is_contradicted(
    acts: bool, verdict: str
) -> None:
    async with upstream() as system, bench() as at:
        system.on("/refunds", answer(201, {"id": "re_1", "status": "succeeded"}))
        at.add(http_tool(system.url, "/charges/{id}", name="payments.charge", method="GET"))
        tool = at.add(refund(base_url=system.url))
        made = action(tool)
        arguments: dict[str, JSON] = {"charge": "ch_1", "amount": 5}
        names: dict[str, JSON] = {
            "args": arguments,
            "before": {"refunded": 10},
            "action": action_names(made),
        }
        report = await execute(
            at.world, at.bundle, made, tool, arguments, before={"refunded": 10}, epoch=7
        )
        assert report.status == "done"
        system.on("/charges/ch_1", answer(200, {"refunded": 15 if acts else 10}))
        assert tool.reader is not None
        after = await read(at.world, at.bundle, tool, tool.reader, names, step=10)
        found = judge(
            at.bundle.catalogue, tool, names, report, after=after, touched=(made.id,), settled=True
        )
        assert found.verdict == verdict
