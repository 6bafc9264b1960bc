"""Whole stories, each command a process of its own."""

import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from bailiwick.identity.people import MIN_PASSWORD
from tests.cli.desk import AS_JSON, Desk, acting, soon

OWNER = """\
import asyncio
from pathlib import Path

GO = Path({go!r})

async def main(session):
    print("ready", flush=True)
    while not GO.exists():
        await asyncio.sleep(0.02)
    outcome = await session.act("notes.add", {{"customer": "c_1", "text": "after the stop"}})
    print(outcome.status, outcome.code, flush=True)
    return {{"code": outcome.code}}
"""


@pytest.mark.claim("cli.init-works")
def test_a_new_project_works_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "new", tmp_path)
    made = desk.run("ada", "init", "new", "--admin", "ada", "--json", cwd=tmp_path)
    password = made.data["password"]
    assert made.code == 0
    assert len(password) >= MIN_PASSWORD
    files = [path for path in desk.project.rglob("*") if path.is_file()]
    assert not any(password.encode() in path.read_bytes() for path in files)
    assert desk.run("ada", "login", "ada", stdin=f"{password}\n").code == 0
    assert desk.here("ada", "check").out.endswith("the project holds together\n")
    assert desk.here("ada", "doctor").code == 0
    read = desk.run("ada", *acting("notes.read", customer="c_1"))
    assert (read.code, read.out.split()[:2]) == (0, ["status", "done"])
    written = desk.run("ada", *acting("notes.add", customer="c_1", text="likes tea"), "--json")
    assert (written.code, written.data["verdict"]) == (0, "verified")
    asked = desk.run(
        "ada", *acting("notes.add", customer="c_1", text="hello", visible_to="customer"), "--json"
    )
    assert (asked.code, asked.data["status"]) == (4, "parked")
    voted = desk.run("ada", "approvals", "approve", asked.data["action"], "--yes")
    assert voted.code == 0, voted.err
    story = desk.data("ada", "actions", "show", asked.data["action"])
    assert (story["state"], story["verdict"]) == ("done", "verified")
    assert desk.here("ada", "ledger", "verify").code == 0


@pytest.mark.claim("cli.init-works")
def test_a_project_is_made_once(desk: Desk) -> None:
    again = desk.run("ada", "init")
    assert (again.code, again.fault) == (2, "project_exists")


@pytest.mark.claim("cli.two-people")
def test_two_people_at_their_own_terminals_approve(desk: Desk) -> None:
    parked = desk.run("ada", *acting("notes.add", customer="c_1", text="for everyone"), "--json")
    id = parked.data["action"]
    assert (parked.code, parked.data["code"]) == (4, "approval_required")
    desk.log_in("bo", "cy", "vi")
    digest = desk.data("bo", "approvals", "show", id)["digest"]
    first = desk.run("bo", "approvals", "approve", id, "--digest", digest)
    assert "the request is open" in first.out
    assert "notes.two asks 2 of support: bo, 1 missing" in first.out
    again = desk.here("bo", "approvals", "approve", id, "--digest", digest)
    assert (again.code, again.fault) == (3, "already_voted")
    viewer = desk.here("vi", "approvals", "approve", id, "--digest", digest)
    assert (viewer.code, viewer.fault) == (3, "not_allowed")
    second = desk.run("cy", "approvals", "approve", id, "--digest", digest)
    assert "the request is granted" in second.out
    shown = desk.here("cy", "actions", "show", id).out
    assert shown.startswith(f"action {id}: done\n")
    assert "notes.two asks 2 of support: bo, cy, satisfied" in shown


@pytest.mark.claim("limits.kill-without-owner")
def test_a_kill_does_not_wait_for_an_owner_that_is_stopped(desk: Desk) -> None:
    desk.log_in("ada")
    go = desk.homes / "go"
    owner = desk.own(OWNER.format(go=str(go)))
    _stop_between_commits(owner, desk.project / "state" / "bailiwick.sqlite")
    began_s = time.monotonic()
    killed = desk.here("ada", "kill", "everything", "--reason", "a drill", "--json")
    took_s = time.monotonic() - began_s
    assert killed.code == 0, killed.err
    assert killed.data["owner"] == "silent"
    assert "may still begin" in killed.err
    assert took_s < 3.0, "it waited for the owner"
    silent = desk.here("ada", "agents", "disable", "note-taker")
    assert (silent.code, silent.fault) == (69, "owner_silent")
    assert f"process {owner.pid} that owns" in silent.err
    owner.send_signal(signal.SIGCONT)
    go.touch()
    assert owner.stdout is not None
    assert owner.stdout.readline() == "refused stopped\n"
    owner.wait(timeout=30)
    assert desk.here("ada", "ledger", "verify").code == 0


@pytest.mark.claim("cli.kill-not-set-is-said")
def test_a_kill_names_the_process_that_stands_still_within_a_commit(desk: Desk) -> None:
    desk.log_in("ada")
    file = desk.project / "state" / "bailiwick.sqlite"
    owner = desk.own(OWNER.format(go=str(desk.homes / "go")))
    _stop_between_commits(owner, file)
    commit = sqlite3.connect(file, isolation_level=None)
    commit.execute("begin immediate")
    killed = desk.here("ada", "kill", "everything")
    assert (killed.code, killed.fault) == (69, "store_busy")
    assert "the stop is NOT set" in killed.err
    assert f"end process {owner.pid}, which owns the database" in killed.err
    commit.close()
    assert desk.here("ada", "kill", "everything").code == 0


@pytest.mark.claim("cli.owner-by-socket")
def test_commands_reach_the_process_that_owns_the_database(desk: Desk) -> None:
    desk.log_in("ada")
    go = desk.homes / "go"
    owner = desk.own(OWNER.format(go=str(go)))
    killed = desk.run("ada", "kill", "tool", "notes.add", "--json")
    assert (killed.code, killed.data["quiet"]) == (0, True)
    assert "owner" not in killed.data
    refused = desk.run("ada", "resume", "tool", "notes.read")
    assert (refused.code, refused.fault) == (2, "not_stopped")
    second = desk.run("ada", *acting("notes.read", customer="c_1"))
    assert (second.code, second.fault) == (69, "store_owned")
    go.touch()
    assert owner.stdout is not None
    assert owner.stdout.readline() == "refused stopped\n"
    assert owner.wait(timeout=30) == 0


@pytest.mark.claim("cli.owner-by-socket")
def test_a_vote_wakes_the_action_in_the_owner(desk: Desk) -> None:
    desk.log_in("bo", "cy")
    waits = OWNER.replace("after the stop", "for everyone").replace(
        "    print(outcome.status, outcome.code, flush=True)\n",
        "    print(outcome.action, flush=True)\n    await asyncio.sleep(30)\n",
    )
    go = desk.homes / "go"
    go.touch()
    owner = desk.own(waits.format(go=str(go)))
    assert owner.stdout is not None
    id = owner.stdout.readline().strip()
    for person in ("bo", "cy"):
        assert desk.here(person, "approvals", "approve", id, "--yes").code == 0
    states = (desk.data("bo", "actions", "show", id)["state"] for _ in soon())
    assert "done" in states
    assert owner.poll() is None


@pytest.mark.claim("cli.owner-by-socket")
def test_a_project_at_a_long_path_has_an_owner_too(desk: Desk, tmp_path: Path) -> None:
    far = tmp_path / ("far-" * 15) / ("away-" * 15) / "project"
    shutil.copytree(desk.project, far)
    distant = Desk(far, desk.homes, desk.owners)
    distant.log_in("ada")
    distant.own(OWNER.format(go=str(desk.homes / "go")))
    killed = distant.here("ada", "kill", "everything", AS_JSON)
    assert (killed.code, killed.data["quiet"], "owner" in killed.data) == (0, True, False)
    assert "owns the database, and answers" in distant.here("ada", "doctor").out


@pytest.mark.claim("cli.owner-by-socket")
def test_what_a_killed_owner_leaves_behind_stops_nobody(desk: Desk) -> None:
    desk.log_in("ada")
    owner = desk.own(OWNER.format(go=str(desk.homes / "never")))
    owner.kill()
    owner.wait()
    assert (desk.project / "state" / "bailiwick.sock").exists()
    assert desk.run("ada", "stops", "list").out == "nothing is stopped\n"
    assert desk.run("ada", "kill", "agent", "note-taker").code == 0
    assert desk.act("notes.read", customer="c_1")["code"] == "stopped"


def _stop_between_commits(owner: subprocess.Popen[str], file: Path) -> None:
    """Stop a process where it holds no lock on the database: it also writes of its own accord."""
    while True:
        owner.send_signal(signal.SIGSTOP)
        connection = sqlite3.connect(file, timeout=0)
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError:
            owner.send_signal(signal.SIGCONT)
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
