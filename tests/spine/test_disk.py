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

import pytest

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
