"""What is heard while a call runs: progress, log messages, and what a server asks its client."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from bailiwick.execution import read
from bailiwick.execution.mcp.hearing import heard
from bailiwick.nouns import Asking, McpUpstream, Reader
from bailiwick.ports import LISTENER
from bailiwick.values import JSON
from tests.s09_execute.bench import Bench, bench
from tests.s09_execute.mcp_desk import Notes, Protocol
from tests.s09_execute.mcp_passing import offered, run, serving, tool_of

REVISIONS: tuple[Protocol, ...] = ("2025-11-25", "2026-07-28")
BOTH = pytest.mark.parametrize("protocol", REVISIONS)
WAYS = pytest.mark.parametrize("over", ["pipes", "http"])
ALL: tuple[Asking, ...] = ("elicitation", "roots", "sampling")
ANSWERS: Mapping[str, Mapping[str, JSON]] = {
    "elicitation/create": {"action": "accept", "content": {"sure": True}},
    "roots/list": {"roots": [{"uri": "file:///notes"}]},
    "sampling/createMessage": {
        "role": "assistant",
        "content": {"type": "text", "text": "said"},
        "model": "m",
    },
}


class Ear:
    """A listener that keeps what it heard, and answers, or fails, as it is told to."""

    def __init__(self, level: str = "info") -> None:
        self.level = level
        self.progressed: list[tuple[float, float | None, str]] = []
        self.logged: list[tuple[str, str, JSON]] = []
        self.questions: list[tuple[str, Mapping[str, JSON]]] = []
        self.pause_s = 0.0
        self.fails = False
        self.answers: Mapping[str, Any] = ANSWERS
        self.able: Mapping[str, JSON] = {"elicitation": {}, "roots": {}, "sampling": {}}
        self.lacked: list[Mapping[str, JSON]] = []
        self.polled = 0

    def lacks(self, required: Mapping[str, JSON]) -> None:
        self.lacked.append(required)

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        if self.fails:
            raise RuntimeError("deaf")
        await asyncio.sleep(self.pause_s)
        self.progressed.append((progress, total, message))

    async def polls(self) -> None:
        self.polled += 1

    async def log(self, level: str, logger: str, data: JSON) -> None:
        self.logged.append((level, logger, data))

    async def asked(
        self, method: str, params: Mapping[str, JSON], name: str
    ) -> Mapping[str, JSON] | None:
        if self.fails:
            raise RuntimeError("dumb")
        self.questions.append((method, params))
        await asyncio.sleep(self.pause_s)
        answer: Mapping[str, JSON] | None = self.answers.get(method)
        return answer


@contextmanager
def listening(ear: Ear) -> Iterator[Ear]:
    """Calls that are made until the block ends have this listener."""
    token = LISTENER.set(ear)
    try:
        yield ear
    finally:
        LISTENER.reset(token)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    with serving(tmp_path_factory.mktemp("wide")) as desk:
        yield desk


@pytest.fixture
async def at(wide: Notes) -> AsyncIterator[Bench]:
    wide.forget()
    async with bench() as made:
        yield made


def upstream_of(
    wide: Notes, over: str, protocol: Protocol, *may_ask: Asking, name: str = "desk"
) -> McpUpstream:
    made: McpUpstream = getattr(wide, f"over_{over}")(name, protocol=protocol)
    return msgspec.structs.replace(made, may_ask=may_ask)


async def until(desk: Notes, entries: int) -> None:
    async with asyncio.timeout(30):
        while len(desk.journal) < entries:  # noqa: ASYNC110 - a file of another process
            await asyncio.sleep(0.02)


# --- progress and log messages -------------------------------------------------------------------


@pytest.mark.claim("mcp.heard-while-it-runs")
@BOTH
@WAYS
async def test_progress_and_log_messages_are_heard_in_order(
    at: Bench, wide: Notes, over: str, protocol: Protocol
) -> None:
    tool = await tool_of(at, upstream_of(wide, over, protocol), "chatty")
    with listening(Ear()) as ear:
        report = await run(at, tool, text="3")
    assert report.status == "done"
    assert ear.progressed == [(n, 3.0, f"step {n}\\u{{1b}}[2J") for n in range(3)]
    assert ear.logged == [("info", "wide", {"step": n}) for n in range(3)]
    assert report.evidence["heard"] == {"told": 6}
    unheard = await run(at, tool, id="act-2", text="3")
    assert (unheard.status, "heard" in unheard.evidence) == ("done", False)


@BOTH
async def test_who_listens_hears_that_a_server_has_its_client_come_back(
    at: Bench, wide: Notes, protocol: Protocol
) -> None:
    tool = await tool_of(at, upstream_of(wide, "http", protocol), "breaks", effect="read")
    with listening(Ear()) as ear:
        report = await run(at, tool)
    assert report.status == "done"
    assert (ear.polled > 0) == (protocol == "2025-11-25")


@pytest.mark.claim("mcp.heard-is-bounded")
async def test_a_megabyte_of_log_and_a_slow_or_failing_listener_hold_nobody_up(
    at: Bench, wide: Notes
) -> None:
    upstream = upstream_of(wide, "http", "2026-07-28")
    loud, chatty = await tool_of(at, upstream, "loud"), await tool_of(at, upstream, "chatty")
    with listening(Ear()) as ear:
        assert (await run(at, loud)).status == "done"
        assert ear.logged == [("error", "wide", "(left out: arguments_too_large)")]
        ear.pause_s = 10.0
        begun = asyncio.get_running_loop().time()
        report = await run(at, chatty, id="act-2", text="200")
        assert asyncio.get_running_loop().time() - begun < 8.0
        assert report.status == "done"
        heard = report.evidence["heard"]
        assert isinstance(heard, Mapping)
        assert heard["told"] == 101
        assert heard["left_out"] == 299
        ear.fails = True
        assert (await run(at, chatty, id="act-3", text="2")).status == "done"


@pytest.mark.claim("mcp.heard-is-bounded")
@WAYS
async def test_endless_progress_ends_the_call_by_name(at: Bench, wide: Notes, over: str) -> None:
    tool = await tool_of(at, upstream_of(wide, over, "2025-11-25"), "flood", retries=0)
    with listening(Ear()):
        report = await run(at, tool)
    assert (report.status, report.code) == ("unknown", "result_too_large")


async def test_what_a_look_for_another_tool_says_is_not_the_calls(at: Bench, wide: Notes) -> None:
    upstream = upstream_of(wide, "http", "2026-07-28", *ALL)
    tool = await tool_of(at, upstream, "plain")
    await tool_of(at, upstream, "chatty", effect="read")
    await tool_of(at, upstream, "ask", effect="read")
    names: dict[str, JSON] = {
        "args": {},
        "action": {"id": "a", "run": "r", "agent": "g", "provider_key": "k"},
    }
    with listening(Ear()) as ear:
        for looking, seen in (("chatty", "done"), ("ask", '{"action": "decline"}')):
            reader = Reader(tool=f"desk.{looking}", arguments={})
            assert await read(at.world, at.bundle, tool, reader, names) == {"text": seen}
    assert (ear.progressed, ear.logged, ear.questions) == ([], [], [])


# --- questions -----------------------------------------------------------------------------------


@pytest.mark.claim("mcp.asks-only-what-it-may")
@BOTH
@WAYS
async def test_what_a_server_may_ask_is_answered_by_who_listens(
    at: Bench, wide: Notes, over: str, protocol: Protocol
) -> None:
    upstream = upstream_of(wide, over, protocol, *ALL)
    with listening(Ear()) as ear:
        for name in ("ask", "roots", "sample"):
            tool = await tool_of(at, upstream, name)
            assert (await run(at, tool, id=f"act-{name}")).status == "done", name
    assert [method for method, _ in ear.questions] == list(ANSWERS)
    assert ear.questions[0][1]["message"] == "Sure?"
    answers = {each["tool"]: each["answer"] for each in wide.journal if "answer" in each}
    assert answers["ask"]["content"] == {"sure": True}
    assert answers["roots"]["roots"][0]["uri"] == "file:///notes"
    assert answers["sample"]["content"]["text"] == "said"


@pytest.mark.claim("mcp.asks-only-what-it-may")
@BOTH
async def test_nobody_listening_is_a_no_and_the_call_goes_on(
    at: Bench, wide: Notes, protocol: Protocol
) -> None:
    upstream = upstream_of(wide, "http", protocol, *ALL)
    ask = await tool_of(at, upstream, "ask")
    assert (await run(at, ask)).status == "done"
    with listening(Ear()) as ear:
        ear.fails = True
        assert (await run(at, ask, id="act-2")).status == "done"
        ear.fails, ear.answers = False, {"elicitation/create": {"action": "perhaps"}}
        assert (await run(at, ask, id="act-3")).status == "done"
    answers = [each["answer"] for each in wide.journal if "answer" in each]
    assert [answer["action"] for answer in answers] == ["decline"] * 3


@pytest.mark.claim("mcp.asks-only-what-it-may")
@BOTH
async def test_a_question_that_nobody_allowed_reaches_nobody(
    at: Bench, wide: Notes, protocol: Protocol
) -> None:
    ask = await tool_of(at, upstream_of(wide, "http", protocol, "roots"), "ask")
    with listening(Ear()) as ear:
        report = await run(at, ask)
    assert ear.questions == []
    if protocol == "2026-07-28":
        assert (report.status, report.code) == ("unknown", "input_required")
        assert "`elicitation/create`, which it may not" in report.message
        reading = await tool_of(
            at, upstream_of(wide, "http", protocol), "ask", effect="read", retries=2
        )
        assert (await run(at, reading, id="act-2")).status == "failed"
        assert [each.get("round") for each in wide.journal] == [1, 1]
    else:
        assert report.status == "done"
        assert "not supported" in wide.journal[0]["answer"]["error"]


@pytest.mark.claim("mcp.abilities-are-the-callers")
@WAYS
async def test_a_server_hears_what_may_be_asked_of_the_one_who_listens(
    at: Bench, wide: Notes, over: str
) -> None:
    upstream = upstream_of(wide, over, "2026-07-28", "elicitation", "roots")
    needs = await tool_of(at, upstream, "needs", effect="read", retries=0)
    form = '{"elicitation": {"form": {}}}'
    assert (await run(at, needs)).status == "done"
    with listening(Ear()) as ear:
        assert (await run(at, needs, id="act-2", text=form)).status == "done"
        # It says so for nobody else: of one session, each call has a listener of its own.
        ear.able = {"elicitation": {"url": {}}, "sampling": {"tools": {}, "other": {}}}
        refused = await run(at, needs, id="act-3", text=form)
        assert (refused.status, refused.code) == ("failed", "provider_refused")
        assert ear.lacked == [{"elicitation": {"form": {}}}]
        # What its file does not let it ask, no listener could have been able to.
        refused = await run(at, needs, id="act-4", text='{"sampling": {"context": {}}}')
        assert (refused.status, len(ear.lacked)) == ("failed", 1)
    assert [each["able"] for each in wide.journal] == [
        {},
        {"elicitation": {"form": {}}, "roots": {}},
        {"elicitation": {"url": {}}},
        {"elicitation": {"url": {}}},
    ]


@pytest.mark.claim("mcp.asks-only-what-it-may")
async def test_over_shared_pipes_a_question_of_nobody_knows_whose_call_is_declined(
    at: Bench, wide: Notes
) -> None:
    upstream = upstream_of(wide, "pipes", "2025-11-25", *ALL)
    ask, slow = await tool_of(at, upstream, "ask"), await tool_of(at, upstream, "slow")
    with listening(Ear()) as ear:
        beside = asyncio.create_task(run(at, slow, id="act-slow"))
        await until(wide, 1)
        assert (await run(at, ask)).status == "done"
        beside.cancel()
    assert ear.questions == []
    assert wide.journal[1]["answer"]["action"] == "decline"


@pytest.mark.claim("mcp.asks-only-what-it-may")
@pytest.mark.claim("mcp.heard-is-bounded")
async def test_a_listener_is_asked_little_and_seldom_and_only_what_is_allowed() -> None:
    with listening(Ear()) as ear:
        async with heard(("roots",)) as hearing:
            assert await hearing.asked("elicitation/create", {}) is None
            assert await hearing.asked("no/such", {}) is None
            assert await hearing.asked("roots/list", {"_": "x" * 100_000}) is None
            answers = [await hearing.asked("roots/list", {}) for _ in range(30)]
            account = hearing.account
    assert len([each for each in answers if each is not None]) == len(ear.questions) == 17
    assert account == {"questions": 33}
    assert await hearing.asked("roots/list", {}) is None


@pytest.mark.claim("mcp.continued-within-bounds")
async def test_a_call_is_continued_a_bounded_number_of_times(at: Bench, wide: Notes) -> None:
    upstream = upstream_of(wide, "http", "2026-07-28", "elicitation")
    loop = await tool_of(at, upstream, "loop", retries=2)
    with listening(Ear()) as ear:
        report = await run(at, loop, text="ask")
    assert (report.status, report.code, report.sends) == ("unknown", "input_required", 1)
    assert len(ear.questions) == 10
    assert [each["state"] for each in wide.journal] == [None, *map(str, range(1, 11))]
    wide.forget()
    report = await run(at, loop, id="act-2")
    assert (report.code, len(wide.journal)) == ("input_required", 11)


@pytest.mark.claim("mcp.continued-within-bounds")
@pytest.mark.claim("execution.fence-each-send")
@BOTH
@pytest.mark.parametrize(("effect", "status"), [("write", "unknown"), ("read", "failed")])
async def test_a_stop_between_the_rounds_leaves_a_write_unknown_and_ends_a_read(
    at: Bench, wide: Notes, protocol: Protocol, effect: str, status: str
) -> None:
    upstream = upstream_of(wide, "http", protocol, "elicitation")
    tool = await tool_of(at, upstream, "ask", effect=effect, retries=2)
    with listening(Ear()) as ear:
        ear.pause_s = 0.3
        calling = asyncio.create_task(run(at, tool))
        async with asyncio.timeout(20):
            while not ear.questions:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        at.room.stop()
        report = await calling
    if protocol == "2026-07-28":
        assert (report.status, report.code) == (status, "stopped")
        assert len(wide.journal) == 1
    else:
        assert wide.journal[0]["answer"]["action"] == "decline"


@pytest.mark.claim("mcp.continued-within-bounds")
async def test_a_continuation_that_is_not_taken_leaves_a_write_unknown(
    at: Bench, wide: Notes
) -> None:
    upstream = upstream_of(wide, "http", "2026-07-28")
    report = await run(at, await tool_of(at, upstream, "forgets", retries=2))
    assert (report.status, report.code) == ("unknown", "input_required")
    assert len(wide.journal) == 2


@pytest.mark.claim("mcp.continued-within-bounds")
async def test_a_question_takes_no_longer_than_its_call(at: Bench, wide: Notes) -> None:
    upstream = upstream_of(wide, "http", "2026-07-28", "elicitation")
    await run(at, await tool_of(at, upstream, "plain"), id="warm", text="x")
    ask = await tool_of(at, upstream, "ask", timeout_s=0.7, retries=0)
    with listening(Ear()) as ear:
        ear.pause_s = 30.0
        report = await run(at, ask)
    assert (report.status, report.code) == ("unknown", "answer_lost")


# --- cancellation --------------------------------------------------------------------------------


@pytest.mark.claim("mcp.cancelled-upstream")
@BOTH
@WAYS
async def test_a_cancelled_read_is_cancelled_at_its_server(
    at: Bench, wide: Notes, over: str, protocol: Protocol
) -> None:
    slow = await tool_of(at, upstream_of(wide, over, protocol), "slow", effect="read")
    calling = asyncio.create_task(run(at, slow))
    await until(wide, 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await until(wide, 2)
    assert wide.journal[1] == {"cancelled": "slow"}


async def test_a_prompt_may_be_listened_to_as_well(at: Bench, wide: Notes) -> None:
    prompts = offered(at, upstream_of(wide, "http", "2026-07-28"), "prompts")
    with listening(Ear()):
        assert (await run(at, prompts, name="ask")).status == "done"
