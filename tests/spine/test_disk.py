"""A full disk as an agent meets it: nothing half done, and what was done is found again.

No file may be written any more (RLIMIT_FSIZE), which needs no rights and no disk of one's own. It
is done in a process of its own, since the limit holds for all of it.
"""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from bailiwick import Outcome
from bailiwick.errors import StoreUnavailable
from bailiwick.store.sqlite import SqliteStore
from bailiwick.testing import write_project
from tests.spine.house import SETTINGS, effects, files, founded, opened, storing_in

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, json, os, resource, sys
from bailiwick import Bailiwick, BailiwickError
from bailiwick.execution.egress import EgressDoor
from tests.spine.house import effects

def full():
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))

class Filling(EgressDoor):
    async def call(self, function, *rest):
        result = await super().call(function, *rest)
        if effects("t-1"):
            full()
        return result

async def main(when):
    async with Bailiwick.open(".", egress=Filling()) as bailiwick:
        clerk = await bailiwick.session("clerk", subject="sue", run="run-1")
        await clerk.act("desk.file", {"on": "t-0"})
        if when == "before":
            full()
        try:
            told = (await clerk.act("desk.file", {"on": "t-1"})).status
        except BailiwickError as fault:
            told = fault.code
        print(json.dumps([told, effects("t-1")]), flush=True)
        os._exit(0)  # as if it had been ended: nothing more can be written

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="session")
def kind() -> None:
    """A file: the disk of a server is the server's own care."""


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded project that no test opens, with its database in a file."""
    with storing_in(None, keep=True):
        return asyncio.run(founded(tmp_path_factory.mktemp("estate") / "project", people=True))


@pytest.mark.claim("spine.full-disk-nothing-half-done")
@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after the effect", 1)])
async def test_a_disk_that_fills_up_begins_nothing_and_loses_no_intent(
    folder: Path, when: str, made: int
) -> None:
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", PROGRAM, when],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout, ran.stderr
    assert json.loads(ran.stdout) == ["store_broken", made]
    with closing(sqlite3.connect(folder / "state" / "bailiwick.sqlite")) as database:
        states = [state for (state,) in database.execute("select state from actions order by id")]
    # What was not written has not begun; what was done has its intent, which is looked up.
    assert states == ["done", "intended"][: 1 + made]
    async with opened(folder) as house:
        outcome = await (await house.clerk()).act("desk.file", {"on": "t-1"})
        assert outcome.earlier is bool(made)


@pytest.mark.claim("spine.full-disk-nothing-half-done")
async def test_a_disk_that_is_nearly_full_begins_nothing_and_says_why(folder: Path) -> None:
    low = SETTINGS.replace("watermark_mb: 1", "watermark_mb: 999999999")
    write_project(folder, files(settings=low))
    async with opened(folder) as house:
        no = await (await house.clerk()).act("desk.note", {"on": "t-1"})
        assert (no.status, no.step, no.code) == ("refused", 8, "disk_low")
        assert "free some space" in no.help
        assert effects("t-1") == 0
        assert await house.world.register.actions("default", (), 10) == []


@pytest.mark.claim("spine.full-disk-nothing-half-done")
async def test_a_full_database_takes_no_more_intents_loses_none_and_serves_again(
    folder: Path,
) -> None:
    """It may not grow any more, as on a full disk, which needs neither rights nor a disk."""
    large = "x" * 50_000

    async def filed(on: int) -> Outcome:
        return await house.until(await clerk.act("desk.file", {"on": f"t-{on}", "how": large}))

    async with opened(folder) as house:
        clerk = await house.clerk()
        assert (await filed(0)).status == "done"
        writing = cast("SqliteStore", house.world.store)._database._writer
        assert writing is not None
        writing._connection.execute("pragma max_page_count = 1")  # no fewer than there are
        refused, codes = list[str](), set[str]()
        asked = 0
        while len(refused) < 3:
            asked += 1
            assert asked < 50
            try:
                assert (await filed(asked)).status == "done"
            except StoreUnavailable as fault:
                refused.append(f"t-{asked}")
                codes.add(fault.code)
        assert codes == {"disk_full"}
        listed = await house.world.register.actions("default", (), 1000)
        there = {each.resource.id for each in listed if each.resource}
        assert {on for on in refused if effects(on)} <= there  # no effect without its intent
        writing._connection.execute("pragma max_page_count = 1000000")
        for each in range(asked + 1):
            assert ((await filed(each)).status, effects(f"t-{each}")) == ("done", 1)
