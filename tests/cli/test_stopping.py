"""`kill` in an emergency: a mistyped name does not look like safety, a stop not set is said so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.desk import Desk
from tests.s08_intend.disks import filled_up, small_disk

OWNER = """
import asyncio

async def main(session):
    await session.act("notes.add", {"customer": "c_1", "text": "likes tea"})
    print("ready", flush=True)
    await asyncio.sleep(60)
"""

# A disk that takes no byte more: no file may grow, nor be written at all.
FULL = """
import resource, sys
from bailiwick.cli import main
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _logged_in(desk: Desk) -> None:
    desk.log_in("ada")


@pytest.mark.claim("cli.kill-says-what-it-does-not-know")
@pytest.mark.parametrize(
    ("scope", "typed", "near"),
    [
        ("agent", "note-takr", "did you mean `note-taker`"),
        ("tool", "notes.ad", "did you mean `notes.add`"),
        ("tenant", "defualt", "did you mean `default`"),
        ("upstream", "pay.example", "`bailiwick kill everything` stops all"),
        ("run", "run_of_nobody", "`bailiwick kill everything` stops all"),
    ],
)
def test_a_name_that_nobody_has_is_stopped_and_does_not_pass_for_success(
    desk: Desk, scope: str, typed: str, near: str
) -> None:
    killed = desk.here("ada", "kill", scope, typed)
    assert killed.code == 1
    assert f"there is no {scope} `{typed}`" in killed.err
    assert near in killed.err
    # The stop stands all the same: whoever gets the name later is under it.
    pulled = desk.data("ada", "stops", "list")
    assert [(each["scope"], each["target"]) for each in pulled] == [(scope, typed)]


@pytest.mark.claim("cli.kill-says-what-it-does-not-know")
def test_who_means_a_name_to_come_says_so(desk: Desk) -> None:
    killed = desk.here("ada", "kill", "tool", "notes.erase", "--anyway")
    assert (killed.code, killed.err) == (0, "")


@pytest.mark.claim("cli.kill-says-what-it-does-not-know")
def test_what_is_known_is_stopped_without_a_word(desk: Desk) -> None:
    desk.act("notes.add", customer="c_1", text="likes tea")
    (run,) = {each["run"] for each in desk.data("ada", "actions", "list")}
    known = [["run", run], ["tool", "notes.add"], ["agent", "note-taker"], ["tenant"]]
    for words in [*known, ["everything"]]:
        killed = desk.here("ada", "kill", *words)
        assert (killed.code, killed.err) == (0, ""), words


@pytest.mark.claim("cli.kill-not-set-is-said")
def test_on_a_full_disk_it_is_said_that_the_stop_is_not_set(desk: Desk) -> None:
    answer = desk.program(FULL, "ada", "kill", "everything")
    assert answer.code == 69
    assert "the stop is NOT set" in answer.err
    assert "end what owns the database" in answer.err
    assert "Traceback" not in answer.err
    assert desk.data("ada", "stops", "list") == []
    assert desk.here("ada", "kill", "everything").code == 0


def test_a_forgotten_scope_is_told_in_one_line_with_those_that_there_are(desk: Desk) -> None:
    said = desk.here("ada", "kill").err.splitlines()
    assert len(said) == 2
    assert "choose from: everything, tenant, agent, tool, upstream, run" in said[0].lower()


def test_the_program_says_its_version(desk: Desk) -> None:
    answer = desk.here("nobody", "--version")
    assert (answer.code, answer.out.split()[0]) == (0, "bailiwick,")


@pytest.mark.claim("store.kill-on-a-full-disk")
def test_a_working_owner_is_stopped_though_its_disk_is_full(desk: Desk) -> None:
    with on_small_disk(desk) as disk:
        desk.own(OWNER)
        filled_up(disk / "filler")
        killed = desk.here("ada", "kill", "everything", "--reason", "the disk is full")
        assert (killed.code, killed.err) == (0, "")
        (stop,) = desk.data("ada", "stops", "list")
        assert stop["reason"] == "the disk is full"


@pytest.mark.claim("store.kill-on-a-full-disk")
def test_without_an_owner_too_a_full_disk_is_no_reason_not_to_stop(desk: Desk) -> None:
    """Opening the file takes room of its own: SQLite's index, which the last to close removed."""
    with on_small_disk(desk) as disk:
        assert desk.act("notes.add", customer="c_1", text="likes tea")["status"] == "done"
        kept = disk / "bailiwick.sqlite.reserve"
        assert kept.exists()
        (disk / "bailiwick.sqlite.bell").unlink()
        filled_up(disk / "filler")
        assert desk.data("ada", "stops", "list") == []
        assert kept.exists(), "who only looks leaves the room to who stops"
        killed = desk.here("ada", "kill", "everything", "--reason", "the disk is full")
        assert (killed.code, killed.err) == (0, "")
        (stop,) = desk.data("ada", "stops", "list")
        assert stop["reason"] == "the disk is full"
        assert not kept.exists()
        # Now that no room is kept any more it is said that the disk is full.
        filled_up(disk / "filler")
        killed = desk.here("ada", "kill", "tool", "notes.add")
        assert (killed.code, killed.fault) == (69, "disk_full")
        assert "the stop is NOT set" in killed.err
        (disk / "filler").unlink()
        assert desk.here("ada", "kill", "tool", "notes.add").code == 0
        assert desk.act("notes.add", customer="c_1", text="and coffee")["code"] == "stopped"
        assert desk.here("ada", "ledger", "verify").code == 0


@contextmanager
def on_small_disk(desk: Desk) -> Iterator[Path]:
    """Have the desk's database on a disk that can be filled."""
    disk = desk.project / "disk"
    with small_disk(disk, "24m"):
        for file in (desk.project / "state").iterdir():
            shutil.copy(file, disk / file.name)
        with (desk.project / "bailiwick.yaml").open("a") as settings:
            settings.write("store: disk/bailiwick.sqlite\n")
        desk.log_in("ada")
        try:
            yield disk
        finally:
            desk.end()
