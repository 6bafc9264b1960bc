"""Backups: made beside a working owner, restored elsewhere, drilled; half ones never look whole."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bailiwick.config import load_settings
from bailiwick.operations import backup
from tests.cli.desk import MORE, Desk, soon

OWNER = """
import asyncio

async def main(session):
    print("ready", flush=True)
    for n in range(10_000):
        await session.act("notes.add", {"customer": "c_1", "text": f"note {n}"}, key=f"k{n}")
        await asyncio.sleep(0.01)
"""
# As far as the database's copy, then it dies, as by kill -9.
BROKEN = """
import os, signal, sys
from pathlib import Path
from bailiwick.config import load_settings
from bailiwick.operations import backups
backups.contents = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
backups.backup(load_settings(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.mark.claim("backup.restores-whole")
def test_a_backup_beside_a_working_owner_is_restored_and_verifies(
    desk: Desk, tmp_path: Path
) -> None:
    desk.log_in("ada", "bo")
    desk.own(OWNER)
    for _ in soon():
        if len(desk.data("ada", "actions", "list")) > 3:
            break
    there = tmp_path / "kept" / "monday"
    made = desk.here("nobody", "backup", str(there), "--json")
    assert made.code == 0, made.err
    desk.end()
    held = made.data["contents"]
    assert held["actions"] >= 3
    again = desk.here("nobody", "backup", str(there))
    assert (again.code, again.fault) == (2, "backup_exists")
    assert not list(there.rglob("*.key"))
    assert not list(there.rglob("vault-*"))
    private = [there, *(path for path in there.rglob("*") if path.is_file())]
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    # Without its keys a restored project says which are missing.
    bare = desk.here("nobody", "restore", str(there), "--to", str(tmp_path / "bare"), "--json")
    assert (bare.code, bare.data["verified"]) == (1, None)
    assert any(name.startswith("vault-") for name in bare.data["missing_keys"])
    twice = desk.here("nobody", "restore", str(there), "--to", str(tmp_path / "bare"))
    assert (twice.code, twice.fault) == (2, "project_exists")
    new = tmp_path / "new"
    shutil.copytree(desk.project / "keys", new / "keys")
    told = desk.here("nobody", "restore", str(there), "--to", str(new), "--json")
    assert told.code == 0, told.out + told.err
    assert (told.data["verified"], told.data["payload"]) == (True, True)
    assert told.data["contents"] == held
    assert told.data["missing_keys"] == []
    assert told.data["intents_last_day"] >= 3
    restored = Desk(new, desk.homes)
    restored.log_in("bo")
    newest = restored.data("bo", "actions", "list")[0]
    kept = restored.data("bo", "actions", "show", newest["action"])["payloads"]["proposal"]
    assert kept["arguments"]["customer"] == "c_1"


@pytest.mark.claim("backup.half-never-whole")
def test_what_was_broken_off_or_changed_is_not_restored(desk: Desk, tmp_path: Path) -> None:
    there, to = tmp_path / "kept", tmp_path / "to"
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(desk.project), str(there)], check=False
    )
    assert done.returncode == -signal.SIGKILL
    partial = tmp_path / "kept.partial"
    assert partial.is_dir()
    assert not there.exists()
    half = desk.here("nobody", "restore", str(partial), "--to", str(to))
    assert (half.code, half.fault) == (1, "backup_incomplete")
    backup(load_settings(desk.project), there)
    assert not partial.exists()
    manifest = json.loads((there / "manifest.json").read_text())
    for name in manifest["files"]:
        kept = (there / name).read_bytes()
        (there / name).write_bytes(kept + b" ")
        changed = desk.here("nobody", "restore", str(there), "--to", str(to))
        assert (changed.code, changed.fault) == (1, "backup_damaged")
        (there / name).write_bytes(kept)
    files = {**manifest["files"], "../outside": "0" * 64}
    (there / "manifest.json").write_text(json.dumps({**manifest, "files": files}))
    outside = desk.here("nobody", "restore", str(there), "--to", str(to))
    assert (outside.fault, "no path inside" in outside.err) == ("backup_damaged", True)
    assert not to.exists()


@pytest.mark.claim("backup.drill")
def test_a_drill_says_whether_the_backup_would_serve(desk: Desk) -> None:
    desk.log_in("ada")
    desk.act("notes.add", customer="c_1", text="likes tea")
    before = sorted(desk.project.rglob("*"))
    passed = desk.here("nobody", "backup", "--drill", "--json")
    assert passed.code == 0, passed.out
    assert (passed.data["verified"], passed.data["payload"]) == (True, True)
    assert {path.name for path in desk.project.rglob("*") if path not in before} <= {
        "backups.json",
        "bailiwick.sqlite-shm",
        "bailiwick.sqlite-wal",
    }
    assert "the last drill was 0 days ago" in desk.here("nobody", "doctor").out
    # Under another vault key no payload opens, and the drill does not pass.
    (key,) = (desk.project / "keys").glob("vault-*.key")
    key.write_text("A" * 43)
    failed = desk.here("nobody", "backup", "--drill", "--json")
    assert (failed.code, failed.data["passed"], failed.data["payload"]) == (1, False, False)
    usage = desk.here("nobody", "backup")
    assert (usage.code, usage.fault) == (2, "usage")


def test_a_database_of_a_server_is_refused_by_name(desk: Desk) -> None:
    secret = "store: postgresql://me:hunter2@127.0.0.1:1/db\n"
    (desk.project / "bailiwick.yaml").write_text(MORE["bailiwick.yaml"] + secret)
    refused = desk.here("nobody", "backup", "x")
    assert (refused.code, refused.fault) == (2, "backup_postgres")
    assert "pg_dump" in refused.err
    assert "hunter2" not in refused.err
