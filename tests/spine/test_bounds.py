"""Bounds as an agent meets them, through `act`: breakers, rates, run seconds, attempts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bailiwick import Outcome
from bailiwick.runtime import Session
from bailiwick.testing import Clock
from tests.spine.house import AGENT, SETTINGS, TOOLS, House, effects, files, founded, opened

NOW_US = 1_800_000_000_000_000  # a full minute
THRESHOLD = 3
BOUNDED = (
    AGENT.replace("NAME", "clerk")
    + """\
max_runtime_seconds: 300
rates:
  - {tool: desk.refund, limit: 2, per: minute}
"""
)
BREAKERS = f"breaker_threshold: {THRESHOLD}\nbreaker_open_seconds: 30\n"


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW_US)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A project with bounds."""
    settings = SETTINGS + BREAKERS
    return await founded(tmp_path / "project", people=True, clerk=BOUNDED, settings=settings)


@pytest.fixture
async def house(folder: Path, clock: Clock) -> AsyncIterator[House]:
    """The project, open, by a clock that stands until a test moves it."""
    async with opened(folder, now_us=clock.now_us) as house:
        yield house


async def note(clerk: Session, on: str, how: str = "", tool: str = "desk.note") -> Outcome:
    return await clerk.act(tool, {"on": on, "how": how})


async def failures(clerk: Session, many: int, name: str, tool: str = "desk.note") -> set[str]:
    return {(await note(clerk, f"{name}-{turn}", "raise", tool)).status for turn in range(many)}


@pytest.mark.claim("limits.breaker-opens-and-closes")
@pytest.mark.parametrize(("tool", "status"), [("desk.note", "unknown"), ("desk.file", "running")])
async def test_a_tool_that_keeps_failing_is_left_alone_for_a_while(
    house: House, clock: Clock, tool: str, status: str
) -> None:
    clerk = await house.clerk()
    assert await failures(clerk, THRESHOLD, "bad", tool) == {status}
    no = await note(clerk, "t-1", tool=tool)
    assert (no.status, no.step, no.code) == ("refused", 3, "breaker_open")
    assert no.retry_after_s == 30.0
    assert effects("t-1") == 0
    # Another tool has another breaker.
    assert (await clerk.act("desk.look", {"on": "t-1"})).status == "done"
    clock.advance(29)
    assert (await note(clerk, "t-1", tool=tool)).code == "breaker_open"
    clock.advance(1)
    assert (await note(clerk, "t-1", tool=tool)).status == "done"


@pytest.mark.claim("limits.breaker-opens-and-closes")
async def test_a_success_forgets_the_failures_before_it(house: House) -> None:
    clerk = await house.clerk()
    for name in ("a", "b", "c"):
        assert await failures(clerk, THRESHOLD - 1, name) == {"unknown"}
        assert (await note(clerk, f"{name}-good")).status == "done"


@pytest.mark.claim("limits.breaker-opens-and-closes")
async def test_an_open_breaker_outlives_its_process(folder: Path, clock: Clock) -> None:
    async with opened(folder, now_us=clock.now_us) as house:
        await failures(await house.clerk(), THRESHOLD, "bad")
    async with opened(folder, now_us=clock.now_us) as house:
        assert (await note(await house.clerk(), "t-1")).code == "breaker_open"


@pytest.mark.claim("limits.rates-through-act")
async def test_a_rate_refuses_the_call_beyond_it_until_the_next_minute(
    house: House, clock: Clock
) -> None:
    clerk = await house.clerk()
    asked = [{"on": f"ch-{number}", "amount_minor": 100} for number in range(4)]
    assert [(await clerk.act("desk.refund", each)).status for each in asked[:2]] == ["done"] * 2
    # Another run of the same agent draws on the same rate.
    no = await (await house.clerk("run-2")).act("desk.refund", asked[2])
    assert (no.status, no.step, no.code) == ("refused", 6, "denied")
    assert no.retry_after_s == 60.0
    assert no.details["over"] == [["rate:tool:desk.refund", "calls", "minute", 2]]
    assert effects("ch-2") == 0
    assert (await note(clerk, "t-1")).status == "done"
    clock.advance(59.5)
    assert (await clerk.act("desk.refund", asked[3])).retry_after_s == 0.5
    # What another rule forbids as well, waiting does not help.
    worse = {**asked[2], "amount_minor": 1_000_001}
    assert (await clerk.act("desk.refund", worse)).retry_after_s is None
    clock.advance(0.5)
    assert (await clerk.act("desk.refund", asked[3])).status == "done"


@pytest.mark.claim("limits.upstream-rate")
async def test_an_upstream_is_called_so_often_by_all_and_says_when_again(
    tmp_path: Path, clock: Clock
) -> None:
    limits = (
        "rates: [{upstream: till, per: hour, limit: 2}, {upstream: till, per: minute, limit: 1}]"
    )
    tools = TOOLS.replace('key_retention_s="none",', 'key_retention_s="none", upstream="till",')
    folder = await founded(tmp_path / "project", people=True, limits=limits, tools=tools)
    async with opened(folder, now_us=clock.now_us) as house:
        clerk, rival = await house.clerk(), await house.clerk("run-2", agent="rival")
        assert (await note(clerk, "a")).status == "done"
        no = await note(rival, "b", tool="desk.file")
        assert (no.code, no.retry_after_s) == ("denied", 60.0)
        # What goes elsewhere is not counted.
        assert (await clerk.act("desk.look", {"on": "a"})).status == "done"
        clock.advance(60)
        assert (await note(rival, "b", tool="desk.file")).status == "done"
        no = await note(clerk, "c")
        assert no.retry_after_s == 3540.0  # the hour is full by now, and ends later
        clock.advance(3540)
        assert (await note(clerk, "c")).status == "done"
    assert effects("b") == effects("c") == 1


@pytest.mark.claim("limits.run-seconds-through-act")
async def test_a_run_ends_when_its_seconds_are_over_and_another_begins(
    house: House, clock: Clock
) -> None:
    clerk = await house.clerk()
    assert (await note(clerk, "t-1")).status == "done"
    clock.advance(299)
    assert (await note(clerk, "t-2")).status == "done"
    clock.advance(1)
    no = await note(clerk, "t-3")
    assert (no.status, no.step, no.code) == ("refused", 3, "run_time_exceeded")
    assert effects("t-3") == 0
    assert (await note(await house.clerk("run-2"), "t-3")).status == "done"


async def test_a_release_that_raises_an_agents_bounds_is_seen_to_loosen(house: House) -> None:
    more = BOUNDED.replace("300", "400") + "max_attempts_per_step: 9\n"
    told = await house.command("ada", "release diff", files=files(clerk=more))
    assert told["loosens"] is True
    assert "raises the max_runtime_seconds of 300 of agent `clerk` to 400" in told["changes"]
    assert "raises the max_attempts_per_step of 5 of agent `clerk` to 9" in told["changes"]
    fewer = BOUNDED.replace("300", "200") + "max_attempts_per_step: 1\n"
    released = files(clerk=fewer)
    del released["bailiwick.yaml"]  # settings are no part of a release
    told = await house.command("ada", "release diff", files=released)
    assert told["loosens"] is False
