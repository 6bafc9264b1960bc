"""Outcomes that nobody knows, or that the world contradicts: people find out, on record."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bailiwick.store.sqlite import SCHEMA_VERSION
from tests.cli.desk import Desk
from tests.repo.sources import ROOT

AS_BEFORE = """
drop table legal_holds;
drop table rounds;
drop index actions_by_run;
alter table actions drop column run;
alter table actions drop column erased;
drop table modes;
alter table breakers drop column recent;
insert into payloads (tenant, action, kind, run, sealed, commitment)
select tenant, id, 'proposal', json_extract(cast(body as text), '$.run'), proposal, ''
from actions where length(proposal) > 0;
insert into payloads (tenant, action, kind, run, sealed, commitment)
select tenant, id, 'result', json_extract(cast(body as text), '$.run'), result, ''
from actions where length(result) > 0;
alter table actions drop column proposal;
alter table actions drop column result;
drop table mandates;
drop table mandate_uses;
drop table notices;
drop table carried;
drop table used_once;
drop index records_of_control;
drop index checkpoints_cosigned;
alter table checkpoints drop column cosignature;
drop index actions_contradicted;
drop index records_of_releases;
alter table actions drop column contradicted;
delete from _yoyo_migration where migration_id <> '0001_spine';
pragma user_version = 1;
"""


def held(desk: Desk) -> int:
    """How many calls of the tenant are held, and not spent."""
    rows = desk.data("ada", "budget")
    return sum(row["held"] for row in rows if (row["node"], row["unit"]) == ("tenant", "calls"))


@pytest.mark.claim("cli.people-resolve-doubts")
@pytest.mark.parametrize("word", ["done", "failed"])
@pytest.mark.parametrize(
    ("tool", "state", "doubt"),
    [
        ("faults.lose", "unknown", "nobody knows whether it was done"),
        ("faults.pretend", "done", "it was answered as done, and the world does not show it"),
    ],
)
def test_what_is_in_doubt_keeps_its_hold_until_a_person_resolves_it(
    desk: Desk, tmp_path: Path, *, tool: str, state: str, doubt: str, word: str
) -> None:
    desk.log_in("ada")
    id = desk.act(tool, customer="c_1")["action"]
    (listed,) = desk.data("ada", "in-doubt", "list")
    assert (listed["action"], listed["state"], listed["doubt"]) == (id, state, doubt)
    assert held(desk) == 1
    assert "1 outcome" in desk.here("ada", "doctor").out
    words = ("in-doubt", "resolve", id, word, "--evidence", "I asked the customer: c_1 knows")
    assert desk.here("ada", *words).code == 0
    assert held(desk) == 0
    assert desk.here("ada", "in-doubt", "list").out == "nothing is in doubt\n"
    again = desk.here("ada", *words)
    assert (again.code, again.fault) == (2, "not_in_doubt")
    story = desk.data("ada", "actions", "show", id)
    kinds = [record["kind"] for record in story["records"]]
    assert (story["state"], kinds) == (word, ["intended", "concluded", "resolved"])
    assert "c_1 knows" in story["payloads"]["resolution"]["evidence"]
    assert desk.here("ada", "ledger", "verify").code == 0
    exported = desk.data("ada", "ledger", "export", str(tmp_path / "export"))
    program = str(ROOT / "src" / "bailiwick_verify.py")
    verified = subprocess.run(
        [sys.executable, program, "verify", exported["folder"], "--key", exported["vkey"]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout
    assert "outcomes in doubt: 0" in verified.stdout


def test_what_ended_well_is_not_in_doubt(desk: Desk) -> None:
    desk.log_in("ada")
    desk.act("notes.add", customer="c_1", text="likes tea")
    desk.act("faults.refuse", customer="c_1")
    assert desk.data("ada", "in-doubt", "list") == []


@pytest.mark.claim("store.older-schema-migrated")
def test_an_older_database_is_migrated_by_a_command(desk: Desk) -> None:
    desk.log_in("ada")
    nothing = f"schema version {SCHEMA_VERSION}: there is nothing to do\n"
    assert desk.here("ada", "migrate").out == nothing
    with contextlib.closing(sqlite3.connect(desk.project / "state" / "bailiwick.sqlite")) as file:
        file.executescript(AS_BEFORE)
    refused = desk.here("ada", "in-doubt", "list")
    assert (refused.code, refused.fault) == (69, "schema_version")
    assert "run `bailiwick migrate`" in refused.err
    examined = [check for check in desk.data("ada", "doctor") if check["name"] == "schema"]
    assert (examined[0]["level"], examined[0]["help"]) == ("fail", "run `bailiwick migrate`")
    migrated = desk.data("nobody", "migrate")
    assert (migrated["from"], migrated["to"]) == (1, SCHEMA_VERSION)
    assert Path(migrated["copy"]).is_file()
    assert desk.here("ada", "in-doubt", "list").out == "nothing is in doubt\n"
    assert desk.here("ada", "doctor").code == 0
