"""After a crash: found, sent again under the key, certainly not there, or unknown."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bailiwick.execution import provider_key, reconcile
from bailiwick.nouns import EffectReport, Reader, Tool
from bailiwick.values import JSON
from tests.s09_execute.bench import (
    Bench,
    action,
    bench,
    free_port,
    http_tool,
    now_us,
    python_tool,
)
from tests.s09_execute.upstream import Behaviour, Upstream, answer, reset, silence, upstream

KEYED: dict[str, Any] = {"key_header": "Idempotency-Key", "key_retention_s": 3600.0}
BY_METADATA = "after.data.exists(r, has(r.metadata.action_id) && r.metadata.action_id == action.id)"
DONE = answer(201, {"id": "re_1"}, acts=True)


@pytest.fixture
async def at() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture
async def system() -> AsyncIterator[Upstream]:
    async with upstream() as made:
        made.on("/refunds", DONE)
        yield made


def finding(
    at: Bench,
    system: Upstream,
    *,
    found: str = BY_METADATA,
    authoritative: bool = False,
    **more: Any,
) -> Tool:
    """A refund whose object is looked for by a list of the charge's refunds."""
    at.add(
        http_tool(
            system.url,
            "/charges/{charge}/refunds",
            name="payments.list",
            method="GET",
            timeout_s=1.0,
            retries=0,
        )
    )
    arguments = {"charge": "args.charge"}
    find = Reader(tool="payments.list", arguments=arguments, authoritative=authoritative)
    return at.add(http_tool(system.url, find=find, found=found, timeout_s=1.0, **more))


def refunds(*action_ids: str | None) -> Behaviour:
    """The list of the charge's refunds, each with the action id in its metadata, or without."""
    data = [{"amount": 5, "metadata": {"action_id": id} if id else {}} for id in action_ids]
    return answer(200, {"data": data})


async def settle(
    at: Bench, tool: Tool, *, ago_s: float = 60.0, deadline_s: float = 5.0
) -> EffectReport | None:
    return await reconcile(
        at.world,
        at.bundle,
        action(tool, ago_s=ago_s, deadline_s=deadline_s),
        tool,
        {"charge": "ch_1", "amount": 5},
        before={},
        now_us=now_us(),
    )


def status(report: EffectReport | None) -> tuple[str, str]:
    assert report is not None
    return report.status, report.code


# When


@pytest.mark.parametrize(
    ("ago_s", "settles_within_s", "early"), [(4, 0, True), (6, 0, False), (6, 3, True)]
)
async def test_nothing_is_asked_before_deadline_and_settling_time(
    at: Bench, system: Upstream, ago_s: float, settles_within_s: float, early: bool
) -> None:
    system.on("/charges/ch_1/refunds", refunds("act-1"))
    tool = finding(at, system, settles_within_s=settles_within_s, **KEYED)
    report = await settle(at, tool, ago_s=ago_s)
    assert (report is None) is early
    assert (system.arrivals == []) is early


# Found


@pytest.mark.claim("execution.found-needs-our-id")
@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (["act-1"], True),
        (["act-0", "act-1"], True),
        ([], False),
        (["act-0"], False),
        (["act-11"], False),
    ],
)
async def test_found_is_an_object_that_carries_our_action_id(
    at: Bench, system: Upstream, listed: list[str], found: bool
) -> None:
    system.on("/charges/ch_1/refunds", refunds(*listed))
    report = await settle(at, finding(at, system))
    assert status(report) == (("done", "") if found else ("unknown", "in_doubt"))
    assert system.effects == 0


@pytest.mark.claim("execution.found-needs-our-id")
@pytest.mark.parametrize(
    "found",
    [
        "size(after.data) > 0",
        "after.data.exists(r, r.amount == args.amount)",
        "action.id != ''",
        "after.data.exists(r, has(r.metadata) && action.run == 'run-1')",
        "true",
    ],
)
async def test_the_same_state_without_our_id_is_evidence_and_not_found(
    at: Bench, system: Upstream, found: str
) -> None:
    """A person made the same refund by hand, and the expression cannot tell it from ours."""
    system.on("/charges/ch_1/refunds", refunds(None))
    report = await settle(at, finding(at, system, found=found, authoritative=True))
    assert status(report) == ("unknown", "in_doubt")
    assert report is not None
    assert report.evidence["find"] == "without_our_id"
    assert report.evidence["answer"] == {"data": [{"amount": 5, "metadata": {}}]}


async def test_an_object_may_be_recognised_by_the_provider_key(at: Bench, system: Upstream) -> None:
    key = provider_key("acme", "act-1")
    system.on("/charges/ch_1/refunds", answer(200, {"key": key, "id": "re_1"}))
    report = await settle(at, finding(at, system, found="after.key == action.provider_key"))
    assert report is not None
    assert (report.status, report.result) == ("done", {"key": key, "id": "re_1"})


@pytest.mark.parametrize("found", ["after.nothing.id == action.id", "action.id", "1 / 0 == 1"])
async def test_what_cannot_be_recognised_is_neither_found_nor_absent(
    at: Bench, system: Upstream, found: str
) -> None:
    system.on("/charges/ch_1/refunds", refunds("act-1"))
    report = await settle(at, finding(at, system, found=found, authoritative=True))
    assert status(report) == ("unknown", "in_doubt")
    assert report is not None
    assert report.evidence["find"] == "unclear"


# Not there


@pytest.mark.claim("execution.unknown-is-not-failed")
@pytest.mark.parametrize("listing", [refunds(), refunds("act-0"), answer(404)])
async def test_not_there_counts_only_by_an_authoritative_reader(
    at: Bench, system: Upstream, listing: Behaviour
) -> None:
    system.on("/charges/ch_1/refunds", listing)
    certain = await settle(at, finding(at, system, authoritative=True))
    assert status(certain) == ("failed", "not_found_after_crash")
    uncertain = await settle(at, finding(at, system, authoritative=False))
    assert status(uncertain) == ("unknown", "in_doubt")
    assert system.effects == 0


async def test_without_reader_and_key_it_is_unknown(at: Bench, system: Upstream) -> None:
    report = await settle(at, at.add(http_tool(system.url)))
    assert status(report) == ("unknown", "in_doubt")
    assert system.arrivals == []


async def test_not_there_waits_until_a_repeat_by_another_owner_has_settled(
    at: Bench, system: Upstream
) -> None:
    """Until its key ran out, an owner that has crashed since may have sent it again."""
    system.on("/charges/ch_1/refunds", refunds())
    members = {**KEYED, "key_retention_s": 60.0, "settles_within_s": 5.0}
    tool = finding(at, system, authoritative=True, **members)
    assert await settle(at, tool, ago_s=62) is None
    assert status(await settle(at, tool, ago_s=70)) == ("failed", "not_found_after_crash")
    assert system.effects == 0


# Sent again


async def test_inside_its_retention_the_key_settles_it(at: Bench, system: Upstream) -> None:
    report = await settle(at, at.add(http_tool(system.url, **KEYED)))
    assert status(report) == ("done", "")
    assert system.arrivals[0].headers["idempotency-key"] == provider_key("acme", "act-1")


@pytest.mark.claim("execution.never-resend-without-key")
@pytest.mark.parametrize(
    "members",
    [
        {},
        {"key_header": "Idempotency-Key"},
        {"key_retention_s": 3600.0},
        {**KEYED, "key_retention_s": 30.0},
        {**KEYED, "key_retention_s": 60.2},
    ],
    ids=["no key", "not honoured", "not sent", "forgotten", "forgotten on the way"],
)
async def test_without_a_key_that_is_kept_nothing_is_sent_again(
    at: Bench, system: Upstream, members: dict[str, Any]
) -> None:
    report = await settle(at, at.add(http_tool(system.url, timeout_s=0.5, **members)))
    assert status(report) == ("unknown", "in_doubt")
    assert system.arrivals == []


async def test_it_is_looked_for_before_it_is_sent_again(at: Bench, system: Upstream) -> None:
    tool = finding(at, system, **KEYED)
    system.on("/charges/ch_1/refunds", refunds("act-1"))
    assert status(await settle(at, tool)) == ("done", "")
    assert system.effects == 0
    for listing in (refunds(), refunds(None), refunds("act-0")):
        system.on("/charges/ch_1/refunds", listing)
        assert status(await settle(at, tool)) == ("done", "")
    assert system.effects == 3


@pytest.mark.claim("execution.fence-each-send")
@pytest.mark.parametrize("authoritative", [True, False])
async def test_a_stop_forbids_the_repeat_and_not_the_look(
    at: Bench, system: Upstream, authoritative: bool
) -> None:
    at.room.stop()
    tool = finding(at, system, authoritative=authoritative, **KEYED)
    system.on("/charges/ch_1/refunds", refunds())
    assert status(await settle(at, tool))[0] == "unknown"
    assert system.effects == 0
    system.on("/charges/ch_1/refunds", refunds("act-1"))
    assert status(await settle(at, tool)) == ("done", "")


@pytest.mark.parametrize(
    "behaviour", [answer(503, Retry_After="1"), answer(409), answer(500), reset(), silence(9)]
)
async def test_a_repeat_that_settles_nothing_is_tried_later_and_then_given_up(
    at: Bench, system: Upstream, behaviour: Behaviour
) -> None:
    system.on("/refunds", behaviour)
    tool = at.add(http_tool(system.url, timeout_s=1.0, retries=0, **KEYED))
    assert await settle(at, tool) is None
    assert status(await settle(at, tool, ago_s=3000))[0] == "unknown"
    assert len(system.arrivals) == 2


async def test_an_unreachable_provider_is_tried_later_and_then_given_up(at: Bench) -> None:
    tool = at.add(http_tool(f"http://127.0.0.1:{free_port()}", timeout_s=0.3, **KEYED))
    assert await settle(at, tool) is None
    assert status(await settle(at, tool, ago_s=3000)) == ("unknown", "in_doubt")


@pytest.mark.claim("execution.unknown-is-not-failed")
async def test_a_refused_repeat_is_failed_only_if_nothing_of_ours_is_there(
    at: Bench, system: Upstream
) -> None:
    system.on("/refunds", answer(422))
    system.on("/charges/ch_1/refunds", refunds())
    doubtful = await settle(at, finding(at, system, authoritative=False, **KEYED))
    assert status(doubtful) == ("unknown", "in_doubt")
    assert doubtful is not None
    assert doubtful.evidence["then"] == "provider_refused"
    certain = await settle(at, finding(at, system, authoritative=True, **KEYED))
    assert status(certain) == ("failed", "not_found_after_crash")


# A reader that fails


@pytest.mark.parametrize("listing", [answer(500), answer(403), reset(), answer(200, raw=b"<")])
async def test_a_reader_that_fails_is_asked_later_and_then_it_is_unknown(
    at: Bench, system: Upstream, listing: Behaviour
) -> None:
    system.on("/charges/ch_1/refunds", listing)
    tool = finding(at, system, authoritative=True)
    assert await settle(at, tool) is None
    assert status(await settle(at, tool, ago_s=700)) == ("unknown", "reconcile_failed")


async def test_patience_with_a_reader_does_not_outlast_the_key(at: Bench, system: Upstream) -> None:
    system.on("/charges/ch_1/refunds", answer(500))
    tool = finding(at, system, **{**KEYED, "key_retention_s": 61.8})
    assert await settle(at, tool, ago_s=30) is None
    assert status(await settle(at, tool, ago_s=60.5)) == ("done", "")


async def test_a_python_tool_is_settled_by_the_key_it_is_given(at: Bench) -> None:
    keys: list[JSON] = []

    async def note(charge: str, amount: int, context: Any) -> None:
        keys.append(context.provider_key)

    tool = at.add(python_tool(context=True, key_retention_s=3600.0), note)
    assert status(await settle(at, tool)) == ("done", "")
    assert keys == [provider_key("acme", "act-1")]
