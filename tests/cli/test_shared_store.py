"""The commands on a PostgreSQL database: nobody owns it, and everything works as on a file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bailiwick.config import load_settings
from bailiwick.operations import found
from bailiwick.store import postgres
from tests.cli.desk import MORE, PEOPLE, Desk, acting, write_project
from tests.postgres import Server


@pytest.fixture
def shared(server: Server, tmp_path: Path) -> Iterator[Desk]:
    """A project whose database is a server's, and people who are not logged in."""
    store = f"store: {server.url(server.create())}\n"
    settings = {"bailiwick.yaml": MORE["bailiwick.yaml"] + store}
    folder = write_project(tmp_path / "project", settings)
    asyncio.run(found(folder, PEOPLE))
    (tmp_path / "homes").mkdir()
    made = Desk(folder, tmp_path / "homes")
    yield made
    made.end()


def test_a_project_is_used_from_the_command_line(shared: Desk, server: Server) -> None:
    shared.log_in("ada", "bo", "cy")
    assert shared.act("notes.add", customer="c_1", text="likes tea")["status"] == "done"
    parked = shared.act("notes.add", customer="c_1", text="for everyone")
    assert parked["status"] == "parked"
    for person in ("bo", "cy"):
        voted = shared.here(person, "approvals", "approve", parked["action"], "--yes")
        assert voted.code == 0, voted.err
    assert shared.data("ada", "actions", "show", parked["action"])["state"] == "done"

    assert shared.here("ada", "kill", "everything", "--reason", "test").code == 0
    stopped = shared.data("ada", *acting("notes.add", customer="c_1", text="no"))
    assert (stopped["status"], stopped["code"]) == ("refused", "stopped")
    verified = shared.here("ada", "ledger", "verify")
    assert verified.code == 0, verified.out + verified.err
    doctor = shared.here("ada", "doctor")
    assert "[" not in doctor.err, doctor.err
    assert server.password not in doctor.out + doctor.err
    migrated = shared.data("ada", "migrate")
    assert (migrated["from"], migrated["to"]) == (postgres.SCHEMA_VERSION,) * 2
    assert not (shared.project / "state" / "bailiwick.sqlite").exists()


@pytest.mark.claim("store.no-password-told")
def test_a_project_is_founded_on_an_empty_database_once(server: Server, tmp_path: Path) -> None:
    desk = Desk(tmp_path, tmp_path)
    store = server.url(server.create())
    made = desk.here("ada", "init", "one", "--store", store)
    assert made.code == 0, made.err
    assert load_settings(tmp_path / "one").store == store
    again = desk.here("ada", "init", "two", "--store", store)
    assert (again.code, again.fault) == (2, "project_founded")
    assert not (tmp_path / "two" / "keys").exists()
    assert server.password not in made.out + made.err + again.out + again.err
    assert yaml.safe_load((tmp_path / "one" / "bailiwick.yaml").read_text())["keys"] == "keys"
