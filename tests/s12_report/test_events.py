"""Events are lines of JSON with stable names, bounded, and never in anybody's way."""

import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bailiwick.config import Settings, TelemetrySettings
from bailiwick.telemetry.events import EventLog
from bailiwick.telemetry.postbox import BATCH, CAPACITY
from tests.s12_report.test_backends import told
from tests.spine.house import copied, opened

ACTION = """
time class_uid category_uid activity_id activity_name type_uid severity_id status_id status
status_code action_id disposition_id duration metadata ai_agent api policy unmapped
""".split()  # noqa: SIM905 - a list of twenty lines would be harder to read
CHANGE = """
time class_uid category_uid activity_id activity_name type_uid severity_id status_id status
metadata actor entity unmapped
""".split()  # noqa: SIM905 - likewise
SECRET = "sesame-7261"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def log(file: Path) -> EventLog:
    return EventLog(Settings(telemetry=TelemetrySettings(events=str(file))))


@pytest.mark.claim("telemetry.events")
async def test_each_action_and_control_change_is_a_line(estate: Path, tmp_path: Path) -> None:
    folder = copied(estate, tmp_path / "project")
    with (folder / "bailiwick.yaml").open("a") as settings:
        settings.write("telemetry: {events: events.jsonl}\n")
    async with opened(folder) as house:
        clerk = await house.clerk(subject="subject-7261")
        done = await clerk.act("desk.note", {"on": "thing-7261", "words": SECRET})
        await clerk.act("desk.look", {"on": "t"})
        await clerk.act("desk.refund", {"on": "c", "amount_minor": 1, "currency": "EUR"})
        parked = await clerk.act("desk.refund", {"on": "c", "amount_minor": 9000})
        await house.command("ada", "kill", scope="run", target="run-9", reason="reason-7261")
        await house.command("ada", "mode set", agent="clerk", tool="desk.*", mode="draft")
    file = folder / "events.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = lines(file)
    actions = [event for event in found if event["class_uid"] == 6003]
    changes = [event for event in found if event["class_uid"] == 3004]
    assert len(actions) + len(changes) == len(found)
    assert all(list(event) == ACTION for event in actions)
    assert all(list(event) == CHANGE for event in changes)
    assert [event["status"] for event in actions] == ["done", "done", "refused", "parked"]
    assert [event["action_id"] for event in actions] == [1, 1, 2, 2]
    assert [event["type_uid"] for event in actions] == [600399, 600302, 600399, 600399]
    assert actions[0]["api"] == {"operation": "desk.note", "request": {"uid": done.action}}
    assert actions[3]["api"]["request"]["uid"] == parked.action
    assert actions[0]["unmapped"]["verdict"] == "verified"
    assert len(actions[0]["unmapped"]["steps_us"]) == 12
    kill, mode = changes
    assert (kill["unmapped"]["change"], kill["entity"]) == (
        "kill",
        {"type": "run", "name": "run-9"},
    )
    assert mode["unmapped"]["change"] == "mode-draft"
    assert mode["entity"]["name"] == "clerk/desk.*"
    assert kill["actor"]["user"]["uid"] == mode["actor"]["user"]["uid"] != ""
    for word in ("7261", '"ada"'):
        assert word not in file.read_text()


@pytest.mark.claim("telemetry.events")
def test_what_is_dropped_is_counted_and_said(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # nobody reads it yet: to open it hangs, as a share that is gone does
    events = log(pipe)
    for number in range(CAPACITY + BATCH + 50):
        events.report(told(number))
    lost = events.dropped
    assert lost >= 50
    holding = os.open(pipe, os.O_RDWR)  # or the reader would end with the first batch
    with (tmp_path / "read").open("wb") as read, subprocess.Popen(["cat", pipe], stdout=read):
        events.close()
        os.close(holding)
    assert events.dropped == lost
    found = lines(tmp_path / "read")
    assert [event["count"] for event in found if event["class_uid"] == 0] == [lost]
    assert len(found) == CAPACITY + BATCH + 50 - lost + 1


def test_a_file_that_cannot_be_written_keeps_nobody_waiting(tmp_path: Path) -> None:
    events = log(tmp_path / "missing" / "events.jsonl")
    events.report(told(1))
    began_s = time.monotonic()
    events.close()
    assert time.monotonic() - began_s < 3
    assert events.dropped == 1


def test_the_file_may_be_moved_away_and_a_link_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    events = log(file)
    events.report(told(1))
    until_s = time.monotonic() + 5
    while not file.exists() and time.monotonic() < until_s:
        time.sleep(0.05)
    file.rename(tmp_path / "old.jsonl")
    events.report(told(2))
    events.close()
    assert [len(lines(each)) for each in (file, tmp_path / "old.jsonl")] == [1, 1]
    (tmp_path / "link").symlink_to(file)
    linked = log(tmp_path / "link")
    linked.report(told(3))
    linked.close()
    assert (linked.dropped, len(lines(file))) == (1, 1)


def test_a_line_is_bounded_and_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    events = log(file)
    long = "\n\u202e" * 100_000
    events.report(replace(told(1), run=long, code=long, agent=long, tenant=long, tool=long))
    events.close()
    (line,) = file.read_bytes().splitlines()
    assert len(line) < 16_384


def test_events_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    events = log(Path("stderr"))
    events.report(told(1))
    events.close()
    out, err = capfd.readouterr()
    assert (json.loads(err)["class_uid"], out) == (6003, "")
