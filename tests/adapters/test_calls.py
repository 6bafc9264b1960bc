"""What the adapters share, without a framework: names, keys, what a model is told, the wait."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bailiwick import Grant, Outcome, open_blocking
from bailiwick.adapters.calls import Calls, key_of, told
from bailiwick.errors import ConfigError
from tests.spine.house import House, effects, founded, opened

SMALL: dict[str, Any] = {"on": "ch-1", "amount_minor": 1_000}
LARGE: dict[str, Any] = {"on": "ch-2", "amount_minor": 20_000}


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded project with people."""
    return asyncio.run(founded(tmp_path_factory.mktemp("calls") / "project", people=True))


@pytest.fixture
async def house(estate: Path) -> AsyncIterator[House]:
    """The project, open."""
    async with opened(estate) as house:
        yield house


@pytest.mark.claim("adapters.one-call-one-effect")
def test_a_key_is_that_of_one_call_of_one_conversation() -> None:
    keys = {key_of("c", "1"), key_of("c", "1", 1), key_of("c", "2"), key_of("d", "1")}
    assert len(keys) == 4
    assert key_of("c", "1", 0) in keys


@pytest.mark.claim("adapters.noes-are-told")
def test_a_model_is_told_no_details() -> None:
    no = Outcome(
        action="",
        status="refused",
        code="denied",
        message="over budget",
        help="try again later",
        retry_after_s=9.0,
        details={"over": [["tenant", "value:USD", "day", 5]], "rules": ["secret-rule"]},
    )
    assert told(no) == {
        "status": "refused",
        "code": "denied",
        "message": "over budget",
        "help": "try again later",
        "retry_after_s": 9.0,
    }
    unknown = told(Outcome(action="act_2", status="unknown", code="lost"))
    assert (unknown["code"], "do not try it" in str(unknown["help"])) == ("lost", True)
    done = Outcome(action="act_1", status="done", verdict="verified", result=None)
    said = {"status": "done", "verdict": "verified", "result": None, "action": "act_1"}
    assert told(done) == said
    assert msgspec.json.decode(msgspec.json.encode(told(done))) == said


@pytest.mark.claim("adapters.one-call-one-effect")
async def test_a_call_that_is_asked_again_waits_for_its_end_and_no_longer(house: House) -> None:
    calls = Calls(await house.clerk(), wait_s=5.0)
    first = await calls.act("desk_refund", LARGE, "k")
    assert first.status == "parked"
    waiting = asyncio.create_task(calls.act("desk_refund", LARGE, "k", again=True))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await house.vote("bo", first.action)
    assert ((await waiting).status, effects("ch-2")) == ("done", 1)
    other = {**LARGE, "on": "ch-3"}
    brief = Calls(await house.clerk(), wait_s=0.05)
    assert (await brief.act("desk_refund", other, "j")).status == "parked"
    assert (await brief.act("desk_refund", other, "j", again=True)).status == "parked"


async def test_input_that_is_no_proposal_is_a_refusal(house: House) -> None:
    calls = Calls(await house.clerk())
    for name, arguments, code in (
        ("desk_refund", '{"on": "a", "on": "b"}', "json_duplicate_key"),
        ("no such tool!", {}, "tool_malformed"),
        ("desk_nothing", {}, "tool_not_granted"),
    ):
        outcome = await calls.act(name, arguments, "key-of-it")
        assert (outcome.status, outcome.code) == ("refused", code)
        assert outcome.help


@pytest.mark.claim("adapters.tools-as-granted")
async def test_a_session_lists_the_tools_that_its_grants_cover(house: House) -> None:
    session = await house.clerk()
    tools = {each.name: each for each in await session.tools()}
    assert list(tools) == ["desk.file", "desk.look", "desk.made", "desk.note", "desk.refund"]
    assert tools["desk.refund"].wire_name == "desk_refund"
    assert tools["desk.look"].description == "Looks at a thing."
    assert (tools["desk.look"].effect, tools["desk.refund"].effect) == ("read", "write")
    assert tools["desk.refund"].schema["required"] == ["on", "amount_minor"]
    less = await house.bailiwick.session(
        "clerk", subject="sue", grants=(Grant(tools=("desk.look", "shop.*")),)
    )
    assert [each.name for each in await less.tools()] == ["desk.look"]


async def test_a_session_of_another_loop_is_not_waited_for_in_a_thread(house: House) -> None:
    calls = Calls(await house.clerk())
    with pytest.raises(ConfigError, match="session_not_blocking"):
        calls.blocking(calls.tools())


def test_a_blocking_session_serves_any_loop_and_any_thread(estate: Path) -> None:
    with open_blocking(estate) as bailiwick:
        session = bailiwick.session("clerk", subject="sue", run="run-9")
        calls = Calls(session)
        assert list(calls.blocking(calls.tools())) == list(asyncio.run(calls.tools()))
        assert next(each.name for each in session.tools()) == "desk.file"
        here = calls.blocking(calls.act("desk_refund", SMALL, "k-9"))
        there = asyncio.run(calls.act("desk_refund", SMALL, "k-9"))
        assert (here.status, here.action, effects("ch-1")) == ("done", there.action, 1)
