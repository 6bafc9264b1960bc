"""MCP servers that nobody here wrote, put under a project by the steps of docs/mcp.md."""

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bailiwick import Bailiwick, Outcome, Session
from tests.cli.desk import Desk
from tests.interop.servers import FILES, MEMORY, declare, graph, pid, sent

CALLERS, ROUNDS = 32, 2
KILLED_AFTER = (20, 60)
WRITES = {"files.write": "write_file", "memory.note": "create_entities"}

pytestmark = pytest.mark.skipif(
    not (FILES.exists() and MEMORY.exists()) and "CI" not in os.environ,
    reason="`make interop` and `make test` install the servers, if npm's packages can be had",
)


@pytest.fixture(scope="module")
def desk(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The project, with what the servers offer accepted and released."""
    folder = tmp_path_factory.mktemp("servers")
    shutil.copytree(founded, folder / "project")
    (folder / "homes").mkdir()
    desk = Desk(folder / "project", folder / "homes")
    declare(desk)
    desk.log_in("ada")
    accepted = desk.data("ada", "tools", "accept", "--yes")
    assert accepted["accepted"] == [
        *("files/read_text_file", "files/write_file"),
        *("memory/create_entities", "memory/open_nodes"),
    ]
    assert desk.here("ada", "release", "activate").code == 0
    yield desk
    desk.end()


async def test_what_they_do_is_read_back_and_what_they_refuse_is_not_taken_for_undone(
    desk: Desk,
) -> None:
    async with Bailiwick.open(desk.project) as bailiwick:
        taker = await bailiwick.session("note-taker", subject="a-customer")

        path = desk.project / "shared" / "tea.txt"
        outcome = await taker.act("files.write", {"path": str(path), "content": "likes tea\n"})
        assert (outcome.status, outcome.verdict) == ("done", "verified")
        assert path.read_text() == "likes tea\n"

        path = desk.project / "outside.txt"
        outcome = await taker.act("files.write", {"path": str(path), "content": "x"})
        assert (outcome.status, outcome.code) == ("unknown", "tool_error")
        assert not path.exists()

        async with asyncio.timeout(60):  # its calls have little time, and it is to start first
            while (  # noqa: ASYNC110 - another process
                await taker.act("memory.open", {"names": ["anna"]})
            ).status != "done":
                await asyncio.sleep(0.2)
        outcome = await taker.act("memory.note", {"name": "anna", "text": "likes tea"})
        assert (outcome.status, outcome.verdict) == ("done", "verified")
        assert graph(desk)["anna"] == ["likes tea", outcome.action]


class Told(NamedTuple):
    """What a caller was told of one call: the tool, what it touched, and the outcome."""

    tool: str
    name: str
    text: str
    outcome: Outcome


class Load:
    """Callers that write, read again, and try anew after a no, and what they were told."""

    def __init__(self, desk: Desk, bailiwick: Bailiwick) -> None:
        self.told: list[Told] = []
        self._desk = desk
        self._bailiwick = bailiwick

    async def run(self) -> None:
        """Have all callers work at once, and kill both servers while they do."""
        async with asyncio.timeout(90):
            await asyncio.gather(
                *(self._call(number) for number in range(CALLERS)),
                *(self._kill(name) for name in ("files", "memory")),
            )
            for index, each in enumerate(self.told):
                self.told[index] = each._replace(outcome=await self._ended(each.outcome))

    async def _call(self, number: int) -> None:
        run = f"run-{number}"
        session = await self._bailiwick.session("note-taker", subject="a-customer", run=run)
        for turn in range(ROUNDS):
            path = str(self._desk.project / "shared" / f"{number}-{turn}")
            await self._write(session, "files.write", "path", path, "content")
            await self._tell(session, "files.read", path, "", {"path": path})
            name = f"{number}-{turn}"
            await self._write(session, "memory.note", "name", name, "text")
            await self._tell(session, "memory.open", name, "", {"names": [name]})

    async def _write(
        self, session: Session, tool: str, member: str, name: str, content: str
    ) -> None:
        """Try until it is not certain any more that nothing was done."""
        for attempt in range(100):
            text = f"{name} {attempt}"
            outcome = await self._tell(session, tool, name, text, {member: name, content: text})
            if outcome.status not in ("failed", "refused"):
                return
            await asyncio.sleep(0.2)

    async def _tell(
        self, session: Session, tool: str, name: str, text: str, arguments: dict[str, object]
    ) -> Outcome:
        outcome = await session.act(tool, arguments)
        self.told.append(Told(tool, name, text, outcome))
        return outcome

    async def _kill(self, name: str) -> None:
        """Kill a server that stands still, if possible with a write that came to it meanwhile."""
        killed = 0
        for calls in KILLED_AFTER:
            while (  # noqa: ASYNC110 - another process
                pid(self._desk, name) in (0, killed) or self._calls(name) < calls
            ):
                await asyncio.sleep(0.01)
            killed = pid(self._desk, name)
            for _ in range(10):
                os.kill(killed, signal.SIGSTOP)
                before = len(sent(self._desk, name))
                await asyncio.sleep(0.03)
                if any(each.tool in WRITES.values() for each in sent(self._desk, name)[before:]):
                    break
                os.kill(killed, signal.SIGCONT)
                await asyncio.sleep(0.02)
            os.kill(killed, signal.SIGKILL)

    def _calls(self, name: str) -> int:
        return sum(each.tool.startswith(name) for each in self.told)

    async def _ended(self, outcome: Outcome) -> Outcome:
        while outcome.status == "running":
            await asyncio.sleep(0.05)
            outcome = await self._bailiwick.outcome(outcome.action)
        return outcome


@pytest.mark.claim("mcp.real-servers")
@pytest.mark.claim("mcp.death-stays-within")
async def test_killed_under_load_they_come_back_and_what_is_done_is_there_once(desk: Desk) -> None:
    async with Bailiwick.open(desk.project) as bailiwick:
        load = Load(desk, bailiwick)
        await load.run()
    assert {each.outcome.status for each in load.told} <= {"done", "failed", "unknown", "refused"}
    assert all(each.outcome.code for each in load.told if each.outcome.status != "done")
    for tool, name in WRITES.items():
        calls = Counter(each.action for each in sent(desk, tool.split(".")[0]) if each.tool == name)
        told = [each for each in load.told if each.tool == tool]
        assert len({each.name for each in told}) == CALLERS * ROUNDS
        for each in told:
            of, is_there = each.outcome, there(desk, each)
            assert calls[of.action] <= 1
            if of.status == "done":
                assert (calls[of.action], is_there) == (1, True)
            elif of.status != "unknown":
                assert not is_there, of
        # They came back: what was called after the last kill is done, and that was most.
        done = sum(each.outcome.status == "done" for each in told)
        assert done > CALLERS * ROUNDS / 2


def there(desk: Desk, told: Told) -> bool:
    """Whether what a call was to write is in the world."""
    if told.tool == "memory.note":
        return told.outcome.action in graph(desk).get(told.name, [])
    path = Path(told.name)
    return path.exists() and path.read_text() == told.text
