"""The refund desk's demo, whole: run once without a terminal, then looked at from outside."""

import ast
import hashlib
import json
import os
import re
import runpy
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.examples.outside_system import REFUND_DESK

SEED = runpy.run_path(str(REFUND_DESK / "seed.py"))
README = REFUND_DESK.parents[1] / "README.md"
SOURCES = REFUND_DESK.parents[1] / "src"
STATE = REFUND_DESK / "state"
PROJECT = STATE / "project"
PASSWORD = "a password for a demo only"
TABLE = "What became of each ticket, and why"
NEXT = "Five things to try next"
PATIENCE_S = 300
pytestmark = pytest.mark.timeout(2 * PATIENCE_S)


class Played(NamedTuple):
    """A finished demo: what it printed, and where its people's sessions are."""

    text: str
    code: int
    sessions: Path

    def after(self, heading: str) -> list[str]:
        """The lines of a section, without the empty one after its heading."""
        lines = self.text.splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith(heading)) + 2
        end = next((i for i in range(start, len(lines)) if not lines[i]), len(lines))
        return lines[start:end]

    def command(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run `bailiwick` in the demo's project."""
        return subprocess.run(
            [sys.executable, "-m", "bailiwick.cli", *words],
            cwd=PROJECT,
            env={**os.environ, "XDG_STATE_HOME": str(self.sessions), "PYTHONPATH": str(SOURCES)},
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[subprocess.Popen[str]]:
    """The demo on PostgreSQL, running beside the other one."""
    with played_on("postgres") as process:
        yield process


@contextmanager
def played_on(store: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that is being played; whatever becomes of the test, it has an end."""
    process = subprocess.Popen(
        [sys.executable, str(REFUND_DESK / "demo.py"), "--store", store],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it ends its servers
            process.communicate()


@pytest.fixture(scope="module")
def demo(on_postgres: subprocess.Popen[str], tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, run where an earlier run left something, with somebody logged in afterwards."""
    STATE.mkdir(exist_ok=True)
    (STATE / "left-behind").write_text("by an earlier run")
    with played_on("sqlite") as process:
        text, _ = process.communicate(timeout=PATIENCE_S)
    played = Played(text, process.returncode, tmp_path_factory.mktemp("sessions"))
    if process.returncode == 0:
        logged_in = played.command("login", "olga", given=f"{PASSWORD}\n")
        assert logged_in.returncode == 0, logged_in.stderr
    return played


def provider(query: str) -> list[Any]:
    """Ask the payments provider's own database."""
    connection = sqlite3.connect(STATE / "payments" / "db.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def run_of(ticket: str) -> str:
    """The run of a ticket: the trace that the agents' client says its calls are part of."""
    return f"trace:{hashlib.sha256(ticket.encode()).hexdigest()[:32]}"


def test_everything_in_it_is_as_expected(demo: Played) -> None:
    assert demo.code == 0, demo.text
    assert "as expected" in demo.text.splitlines()[-1]
    assert "NOT AS EXPECTED" not in demo.text


@pytest.mark.claim("demo.same-on-postgres")
def test_two_processes_on_postgres_and_an_mcp_desk_come_to_the_same_table(
    demo: Played, on_postgres: subprocess.Popen[str], tmp_path: Path
) -> None:
    text, _ = on_postgres.communicate(timeout=PATIENCE_S)
    shared = Played(text, on_postgres.returncode, tmp_path)
    assert shared.code == 0, shared.text
    assert "and a second time beside" in shared.text
    assert "the ticket desk is an MCP server" in shared.text
    assert shared.after(TABLE) == demo.after(TABLE)


def test_it_begins_anew(demo: Played) -> None:
    assert not (STATE / "left-behind").exists()


def test_it_speaks_before_it_imports_anything_large(demo: Played) -> None:
    tree = ast.parse((REFUND_DESK / "demo.py").read_text())
    imported = {
        alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported == {"importlib", "sys"}
    assert not any(isinstance(node, ast.ImportFrom) for node in tree.body)
    assert demo.text.startswith("Bailiwick: the refund desk.")


def test_it_says_what_it_is_about_to_do(demo: Played) -> None:
    """Nobody looks at a silent terminal while processes start and passwords are hashed."""
    steps = (
        "Starting the payments",
        "payments runs",
        "ticket desk runs",
        "founding the",
        "is founded",
    )
    said = [demo.text.index(each) for each in steps]
    assert said == sorted(said)


def test_the_table_tells_each_ticket_and_its_outcome(demo: Played) -> None:
    rows = [line.split() for line in demo.after(TABLE)][1:]
    outcomes = [(row[0], ticket.expected in row) for row, ticket in _beside(rows)]
    assert outcomes == [(ticket.id, True) for ticket in SEED["TICKETS"]]


def _beside(rows: list[list[str]]) -> list[tuple[list[str], Any]]:
    return list(zip(rows, SEED["TICKETS"], strict=True))


@pytest.mark.claim("demo.one-refund-after-sigkill")
def test_killed_after_a_refund_it_comes_back_to_one(demo: Played) -> None:
    assert "SIGKILLed itself after the refund was made" in demo.text
    ((ids, count),) = provider(
        "SELECT group_concat(action_id), count(*) FROM effects WHERE charge = 'ch_13'"
    )
    assert count == 1
    story = json.loads(demo.command("--json", "actions", "show", ids).stdout)
    assert (story["state"], story["verdict"]) == ("done", "verified")
    assert story["run"] == run_of("tk_14")
    # However long the start took, and whoever looked it up in the end, that is what is told.
    told = next(line for line in demo.after(TABLE) if line.startswith("tk_14"))
    assert told.endswith("found after the crash; verified")


@pytest.mark.claim("demo.books-agree")
def test_the_provider_made_the_refunds_that_are_on_record_and_no_others(demo: Played) -> None:
    listed = demo.command(
        *("--json", "actions", "list", "--tool", "payments.refund", "--state", "done"),
        *("--limit", "1000"),
    )
    ours = sorted(each["action"] for each in json.loads(listed.stdout))
    theirs = sorted(action for (action,) in provider("SELECT action_id FROM effects"))
    assert ours == theirs
    assert len(set(theirs)) == len(theirs) > 21


def test_nothing_is_refunded_that_was_refused(demo: Played) -> None:
    paid = {charge for (charge,) in provider("SELECT charge FROM effects")}
    by_ticket = {ticket.id: ticket for ticket in SEED["TICKETS"]}
    refused = {"tk_07", "tk_12", "tk_13", "tk_24", "tk_25", "tk_26", "tk_27", "tk_39", "tk_40"}
    charges = {
        f"ch_{int(by_ticket[id].invoice[5:]):02d}" for id in refused if by_ticket[id].invoice
    }
    assert paid.isdisjoint(charges)
    assert provider("SELECT count(*) FROM customers WHERE deleted_at_us IS NOT NULL") == [(1,)]
    assert provider("SELECT customer, role FROM permissions") == [("cus_30", "billing_admin")]


def test_without_a_terminal_the_people_are_marked_as_scripted(demo: Played) -> None:
    votes = [line for line in demo.text.splitlines() if " votes " in line]
    assert len(votes) == 12
    assert all("(scripted)" in line for line in votes)


@pytest.mark.claim("demo.outside-text-escaped")
def test_hostile_text_is_shown_as_escapes_and_lines_stay_short(demo: Played) -> None:
    assert all(char.isprintable() or char == "\n" for char in demo.text)
    assert "\\u{1b}[2J" in demo.text
    shown = demo.text.partition(NEXT)[0].splitlines()
    assert max(map(len, shown)) <= 100


def test_a_changed_byte_is_found_and_its_record_named(demo: Played) -> None:
    ledger = demo.after("The ledger")
    assert "verified" in ledger[0]
    assert "verified" in ledger[1]
    record = ledger[2].partition("byte of ")[2].partition(" is changed")[0]
    assert record.startswith("record ")
    assert "NOT VERIFIED" in ledger[3]
    assert ledger[4].strip().startswith(f"{record}:")


@pytest.mark.claim("undo.plan-first")
def test_what_was_done_for_a_ticket_can_be_planned_to_be_undone(demo: Played) -> None:
    planned = demo.command("--json", "undo", run_of("tk_01"), "--plan", "--anyway")
    assert planned.returncode == 0, planned.stderr
    steps = json.loads(planned.stdout)["steps"]
    told = [(each["tool"], each["reverser"], each["code"]) for each in steps]
    assert told[0][:2] == ("payments.refund", "payments.cancel_refund")
    assert told[1:] == [("desk.note", None, "no_reverser"), ("desk.tag", "desk.untag", "")]


def test_who_can_delete_is_told_for_each_agent(demo: Played) -> None:
    answers = demo.after("Which agents can delete customer data?")
    assert [line.split()[:2] for line in answers] == [
        ["account", "yes:"],
        ["refund-desk", "no:"],
        ["triage", "no:"],
        ["without", "people:"],
    ]


def test_the_commands_it_suggests_work(demo: Played) -> None:
    suggested = [line for line in demo.after(NEXT) if line.startswith("     bailiwick ")]
    assert len(suggested) == 5
    for line in suggested:
        ran = demo.command(*shlex.split(line)[1:])
        assert ran.returncode == 0, (line, ran.stderr)
        assert ran.stdout


def test_the_readme_shows_what_it_really_prints(demo: Played) -> None:
    def plain(line: str) -> str:
        return re.sub(r"[0-9.]+", "0", line).strip()

    (excerpt,) = re.findall(r"```text\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    printed = {plain(line) for line in demo.text.splitlines()}
    assert [line for line in excerpt.splitlines() if plain(line) not in printed] == []


def test_what_people_vote_changes_what_is_expected() -> None:
    outcomes = SEED["outcomes"]
    usual = {ticket.id: ticket.expected for ticket in SEED["TICKETS"]}
    assert outcomes({}) == usual
    # What is not refunded of $129.00 leaves room for a later $45.00.
    assert outcomes({"tk_04": "deny"}) == {**usual, "tk_39": "refunded"}
    # What is not refunded is no duplicate when it is asked for again.
    assert outcomes({"tk_11": "deny"}) == {**usual, "tk_31": "asked_one"}
