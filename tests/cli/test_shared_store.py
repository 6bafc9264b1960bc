"""The commands on a PostgreSQL database: nobody owns it, and everything works as on a file."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from msgspec.structs import replace

from bailiwick import Bailiwick
from bailiwick.config import Settings, load_settings
from bailiwick.housekeeping import tick
from bailiwick.operations import found
from bailiwick.operations.server_checks import server_checks
from bailiwick.store import postgres
from bailiwick.store.postgres.inspecting import ServerLook, Standby, inspect
from bailiwick.store.postgres.migrating import Schema
from bailiwick.wiring import open_world
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
    away = desk.here("ada", "init", "three", "--store", "postgresql://u@127.0.0.1:1/x")
    assert (away.code, away.fault) == (69, "store_unreachable")
    assert not (tmp_path / "three" / "keys").exists()
    assert server.password not in made.out + made.err + again.out + again.err
    assert yaml.safe_load((tmp_path / "one" / "bailiwick.yaml").read_text())["keys"] == "keys"


@pytest.mark.claim("ledger.one-log-a-database")
def test_a_second_tenant_of_a_database_signs_with_its_log_s_keys(
    server: Server, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, tmp_path)
    store = server.url(server.create())
    two = ("init", "two", "--store", store, "--tenant", "globex")
    assert desk.here("ada", "init", "one", "--store", store).code == 0
    strange = desk.here("ada", *two)
    assert (strange.code, strange.fault) == (2, "log_keys_needed")
    nowhere = desk.here("ada", *two, "--log-keys", "nowhere")
    assert (nowhere.code, nowhere.fault) == (69, "key_unreadable")
    assert not (tmp_path / "two" / "keys").exists()
    joined = desk.here("ada", *two, "--log-keys", "one/keys")
    assert joined.code == 0, joined.err
    for name in ("two", "one"):
        verified = desk.here("ada", "--project", name, "ledger", "verify")
        assert verified.code == 0, verified.out
    logs = [[*(tmp_path / each / "keys").glob("log-*")] for each in ("one", "two")]
    assert logs[0][0].read_bytes() == logs[1][0].read_bytes()
    assert load_settings(tmp_path / "two").tenant == "globex"
    wrong = desk.here("ada", "init", "three", "--tenant", "Globex!")
    assert (wrong.code, wrong.fault) == (2, "tenant_invalid")


@pytest.mark.claim("store.own-tenant-alone")
async def test_nobody_carries_on_what_is_another_tenant_s(server: Server, tmp_path: Path) -> None:
    """What ran out of time at one, and what its people are to be told, the other leaves alone."""
    store = f"store: {server.url(server.create())}\n"
    hasty = (
        "tenant: globex\npark_seconds: 1\n"
        "credentials:\n  h: {env: H, hosts: [127.0.0.1], tools: [notify.webhook], access: write}\n"
        "notify: {webhook: {url: 'http://127.0.0.1:1/told', credential: h}}\n"
    )
    for name, more, keys in (("one", "", None), ("two", hasty, tmp_path / "one" / "keys")):
        settings = {"bailiwick.yaml": MORE["bailiwick.yaml"] + store + more}
        await found(write_project(tmp_path / name, settings), PEOPLE, log_keys=keys)
    mine, its = (open_world(load_settings(tmp_path / name)) for name in ("one", "two"))
    try:
        taker = await Bailiwick(its).session("note-taker", subject="anna")
        note = {"customer": "c_1", "text": "hello", "visible_to": "customer"}
        assert (await taker.act("notes.add", note)).status == "parked"
        await asyncio.sleep(1.1)
        assert (await tick(mine)).woken == 0
        assert len(await its.outbox.due("globex", "looking")) == 1
        assert (await tick(its)).woken == 1
    finally:
        await mine.close()
        await its.close()


def test_doctor_looks_at_the_server_and_says_what_to_do(server: Server, blank: str) -> None:
    name = server.create(blank)
    settings = Settings(store=server.url(name))
    seen = inspect(settings)
    checks = {check.name: check for check in server_checks(seen, 64)}
    # The tests' server does not sync, and its only role is a superuser.
    levels = {each.name: each.level for each in checks.values() if each.level != "ok"}
    assert levels == {"durability": "fail", "rights": "warn"}
    assert "fsync = on" in checks["durability"].help
    assert all(check.help for check in checks.values() if check.level != "ok")
    assert abs(seen.clock_off_us) <= seen.clock_sure_us + 100_000
    assert seen.free_mb is not None
    server.tell("create role clerk login password 'x'")
    server.tell(f'grant connect on database "{name}" to clerk')
    with psycopg.connect(settings.store) as connection:
        given = "select, insert, update, delete on all tables in schema public"
        connection.execute(f"grant {given} to clerk".encode())
        connection.execute("revoke delete on effect_keys from clerk")
    address = settings.store.replace(f"bailiwick:{server.password}@", "clerk:x@")
    seen = inspect(Settings(store=address))
    assert (seen.lacks, seen.superuser) == (("effect_keys", "record_numbers"), False)
    assert (seen.standbys, seen.free_mb) == (None, None)
    server.drop(name)
    server.tell("drop role clerk")


SOUND = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "max_connections": "100",
}
GOOD = ServerLook(
    version="18.0",
    in_force=SOUND,
    read_only=False,
    schema=Schema(4, 1),
    wanted_schema=4,
    role="bailiwick",
    superuser=False,
    lacks=(),
    standbys=(Standby(name="b", sync="sync"),),
    connections=12,
    size_mb=10,
    free_mb=10_000,
    clock_off_us=40_000,
    clock_sure_us=1_000,
)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"in_force": {**SOUND, "full_page_writes": "off"}}, [("durability", "fail")]),
        ({"read_only": True}, [("server", "fail")]),
        ({"schema": Schema(3, 1)}, [("schema", "fail")]),
        ({"schema": Schema(5, 1)}, [("schema", "warn")]),
        ({"schema": Schema(5, 5)}, [("schema", "fail")]),
        ({"standbys": ()}, []),
        ({"standbys": None}, [("standbys", "warn")]),
        ({"standbys": (Standby(name="b", sync="async"),)}, [("standbys", "warn")]),
        (
            {"standbys": (), "in_force": {**SOUND, "synchronous_standby_names": "b"}},
            [("standbys", "fail")],
        ),
        ({"in_force": {**SOUND, "synchronous_commit": "local"}}, [("standbys", "warn")]),
        ({"lacks": ("actions",)}, [("rights", "fail")]),
        ({"superuser": True}, [("rights", "warn")]),
        ({"connections": 95}, [("connections", "warn")]),
        ({"free_mb": 100}, [("disk", "warn")]),
        ({"free_mb": None}, []),
        ({"clock_off_us": -2_000_000}, [("server clock", "warn")]),
        ({"clock_off_us": 9_000_000}, [("server clock", "fail")]),
        ({"clock_off_us": 9_000_000, "clock_sure_us": 9_000_000}, []),
    ],
)
def test_what_doctor_makes_of_a_server(
    change: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    checks = list(server_checks(replace(GOOD, **change), 64))
    bad = [check for check in checks if check.level != "ok"]
    assert [(check.name, check.level) for check in bad] == found
    assert all(check.help for check in bad)
