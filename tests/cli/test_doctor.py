"""`doctor` says what is not in order and what to do, and names no secret."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bailiwick.operations.examining import synced
from tests.cli.desk import Desk, soon
from tests.s12_report.collecting import collecting, hangs

LATER = """
update records set body = cast(replace(cast(body as text), '"at_us":1', '"at_us":3') as blob)
where seq = (select max(seq) from records)
"""


def settings(project: Path, text: str) -> None:
    with (project / "bailiwick.yaml").open("a", encoding="utf-8") as file:
        file.write(text)


def database(project: Path, *statements: str) -> None:
    with sqlite3.connect(project / "state" / "bailiwick.sqlite") as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def expose_a_key(project: Path) -> None:
    (project / "keys" / "pseudonym.key").chmod(0o644)


def lose_a_key(project: Path) -> None:
    (project / "keys" / "agents" / "note-taker.json").write_text("{}")


def credential(project: Path) -> None:
    settings(
        project,
        "credentials:\n  desk:\n    env: NO_SUCH_VARIABLE\n    hosts: ['*.example.com']\n"
        "    tools: ['desk.*']\n    access: write\n",
    )


@pytest.mark.claim("cli.doctor-finds")
@pytest.mark.parametrize(
    ("harm", "level", "said"),
    [
        (expose_a_key, "fail", "[key_exposed]"),
        (lose_a_key, "fail", "[agent_key_malformed]"),
        (credential, "fail", "[credential_missing]"),
        (lambda p: settings(p, "keys: state/keys\n"), "fail", "[keys_missing]"),
        (lambda p: settings(p, "store: none.sqlite\n"), "fail", "there is no database at"),
        (
            lambda p: database(p, "update tree set size = 1"),
            "fail",
            "the tree has 1 record, but 5 were signed",
        ),
        (
            lambda p: database(p, "update control set release = 'ffff'"),
            "fail",
            "[no_release]",
        ),
        (
            lambda p: database(p, "delete from agents"),
            "warn",
            "note-taker has a manifest and no key",
        ),
        (lambda p: database(p, "delete from people"), "fail", "no administrator is enabled"),
        (lambda p: database(p, "pragma user_version = 99"), "fail", "version 99"),
        (lambda p: (p / "state").chmod(0o777), "fail", "others may write the database"),
    ],
)
def test_what_is_not_in_order_is_found(
    desk: Desk, harm: Callable[[Path], object], level: str, said: str
) -> None:
    before = desk.data("nobody", "doctor")
    assert {check["level"] for check in before} == {"ok", "warn"}
    if harm is credential or "keys:" in str(harm):
        (desk.project / "bailiwick.yaml").write_text("free_space_watermark_mb: 1\n")
    harm(desk.project)
    answer = desk.here("nobody", "doctor", "--json")
    found = [check for check in answer.data if said in check["said"]]
    assert [check["level"] for check in found] == [level], answer.data
    assert found[0]["help"]
    assert answer.code == (1 if level == "fail" else 0)


@pytest.mark.claim("cli.doctor-finds")
def test_durability_is_asked_of_a_connection_that_writes(desk: Desk) -> None:
    (asked,) = [each for each in desk.data("nobody", "doctor") if each["name"] == "durability"]
    assert asked["level"] == "ok"
    assert "journal_mode=wal and synchronous=full are in force" in asked["said"]
    (desk.project / "bailiwick.yaml").write_text("free_space_watermark_mb: 1\n")
    database(desk.project, "pragma journal_mode = delete")
    (asked,) = [each for each in desk.data("nobody", "doctor") if each["name"] == "durability"]
    assert (asked["level"], "does not use its write-ahead log" in asked["said"]) == ("fail", True)


@pytest.mark.claim("cli.doctor-finds")
@pytest.mark.parametrize(
    ("took_us", "level", "said"),
    [
        ([1, 2, 900], "warn", "an fsync takes 2 µs here, which no disk does"),
        ([19, 19, 19], "warn", "an fsync takes 19 µs here, which no disk does"),
        ([20, 20, 20], "ok", "an fsync takes 20 µs here"),
        ([900, 1200, 90_000], "ok", "an fsync takes 1200 µs here"),
    ],
)
def test_a_sync_that_is_too_quick_is_not_believed(
    took_us: list[int], level: str, said: str
) -> None:
    found = synced(took_us)
    assert (found.level, said in found.said) == (level, True)
    assert (found.help == "") is (level == "ok")


@pytest.mark.claim("cli.doctor-finds")
def test_what_a_sync_costs_is_measured_beside_the_database(desk: Desk) -> None:
    there = set((desk.project / "state").iterdir())
    (measured,) = [each for each in desk.data("nobody", "doctor") if each["name"] == "sync"]
    assert "an fsync takes " in measured["said"]
    assert set((desk.project / "state").iterdir()) >= there
    assert not list((desk.project / "state").glob(".sync*"))


@pytest.mark.claim("cli.doctor-finds")
def test_a_full_disk(desk: Desk) -> None:
    (desk.project / "bailiwick.yaml").write_text("free_space_watermark_mb: 999999999\n")
    answer = desk.here("nobody", "doctor")
    assert answer.code == 1
    assert "new effects stop at 999999999 MB" in answer.out


@pytest.mark.claim("cli.doctor-finds")
def test_a_clock_behind_the_records(desk: Desk) -> None:
    """A millennium or so, since the first of sixteen digits is another."""
    database(desk.project, LATER)
    checks = {check["name"]: check for check in desk.data("nobody", "doctor")}
    assert checks["clock"]["level"] == "fail"
    assert "behind the newest record" in checks["clock"]["said"]


@pytest.mark.claim("ledger.late-record-alarms")
@pytest.mark.claim("cli.doctor-finds")
def test_a_record_that_nobody_sequences(desk: Desk) -> None:
    database(
        desk.project,
        "delete from leaves where leaf_index = 4",
        "update tree set size = 4",
        "delete from checkpoints where size > 4",
    )
    for _ in soon():
        checks = {check["name"]: check for check in desk.data("nobody", "doctor")}
        if "sequencer" in checks:
            break
    assert checks["sequencer"]["level"] == "warn"


@pytest.mark.claim("cli.doctor-finds")
def test_a_clock_that_was_set_is_told_once(desk: Desk) -> None:
    assert "it was not set since the last look" in desk.here("nobody", "doctor").out
    file = desk.project / "state" / "clock.json"
    look = json.loads(file.read_text())
    file.write_text(json.dumps({**look, "offset_us": look["offset_us"] - 90_000_000}))
    told = desk.here("nobody", "doctor")
    assert told.code == 0
    assert "it was set forward by" in told.out
    assert "it was not set since the last look" in desk.here("nobody", "doctor").out


@pytest.mark.claim("cli.doctor-finds")
def test_backups_that_nobody_made_or_tried_are_told(desk: Desk) -> None:
    assert "none was made by `bailiwick backup` here" in desk.here("nobody", "doctor").out
    old = {"backup": 1_600_000_000_000_000, "drill": 1_600_000_000_000_000}
    (desk.project / "state" / "backups.json").write_text(json.dumps(old))
    told = desk.here("nobody", "doctor")
    assert "warn  backup" in told.out
    assert "the last backup was" in told.out


@pytest.mark.claim("cli.doctor-finds")
def test_who_is_told_is_looked_at_and_never_fails_the_rest(desk: Desk) -> None:
    """The event file and the collector: there, in the way, refusing, and silent."""

    def told(text: str) -> dict[str, tuple[str, str]]:
        (desk.project / "bailiwick.yaml").write_text(f"free_space_watermark_mb: 1\n{text}")
        answer = desk.here("nobody", "doctor", "--json")
        assert answer.code == 0, answer.err
        checks = [each for each in answer.data if each["name"] in ("events", "collector")]
        assert all(each["help"] or each["level"] == "ok" for each in checks)
        return {each["name"]: (each["level"], each["said"]) for each in checks}

    def events(where: str) -> tuple[str, str]:
        return told(f"telemetry: {{events: {where}}}\n")["events"]

    def collector(url: str, more: str = "") -> tuple[str, str]:
        return told(f"telemetry_endpoint: {url}\n{more}")["collector"]

    assert told("") == told("telemetry: {events: stderr}\n") == {}
    file = desk.project / "state" / "events.jsonl"
    assert events("state/events.jsonl")[0] == "ok"
    assert not file.exists(), "a look makes nothing"
    file.touch()
    assert events("state/events.jsonl")[0] == "ok"
    file.unlink()
    os.mkfifo(file)
    assert events("state/events.jsonl")[0] == "warn"  # nobody reads it
    assert "Is a directory" in events("state")[1]
    assert "No such file" in events("nowhere/events.jsonl")[1]

    with collecting() as one:
        assert collector(one.url, "telemetry: {headers: {x-key: k}}\n")[0] == "ok"
        assert (one.bodies, one.headers[0]["x-key"]) == ([("/v1/traces", b"")], "k")
        one.behave = lambda taking, _: taking.answer(401)
        level, said = collector(one.url)
        assert (level, "it refuses" in said, "k" in said.split()) == ("warn", True, False)
        one.behave = lambda taking, _: taking.answer(503)
        assert collector(one.url)[0] == "warn"
        one.behave = hangs
        began = time.monotonic()
        level, said = collector(one.url, "telemetry: {timeout_seconds: 60}\n")
        assert (level, "no answer" in said, time.monotonic() - began < 15) == ("warn", True, True)
        one.over.set()
    assert collector(one.url)[0] == "warn"
