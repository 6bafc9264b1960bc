"""`ledger verify` finds what was done to the log, and to the rows that it speaks of."""

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bailiwick import operations
from bailiwick.config import load_settings
from bailiwick.runtime import Bailiwick
from bailiwick.wiring import open_world
from tests.cli.desk import Desk
from tests.repo.sources import ROOT
from tests.spine.house import House

Members = Mapping[str, Any]
Tamper = Callable[[sqlite3.Connection], object]


@pytest.fixture(scope="module")
def once(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after a write, a read, an approved write, a refusal and a control change."""
    folder = tmp_path_factory.mktemp("once")
    shutil.copytree(founded, folder / "project")
    (folder / "homes").mkdir()
    desk = Desk(folder / "project", folder / "homes")
    desk.log_in("ada", "bo", "cy")
    assert desk.act("notes.add", customer="c_1", text="likes tea")["status"] == "done"
    assert desk.act("notes.read", customer="c_1")["status"] == "done"
    parked = desk.act("notes.add", customer="c_1", text="hello", visible_to="customer")
    assert desk.here("bo", "approvals", "approve", parked["action"], "--yes").code == 0
    assert desk.act("notes.add", customer="c_1", text="")["status"] == "refused"
    assert desk.here("ada", "kill", "tool", "faults.lose").code == 0
    return desk.project


@pytest.fixture
def used(once: Path, tmp_path: Path) -> Desk:
    """That project for each test, and people who are not logged in."""
    shutil.copytree(once, tmp_path / "project", ignore=shutil.ignore_patterns("*.sock"))
    (tmp_path / "homes").mkdir()
    return Desk(tmp_path / "project", tmp_path / "homes")


def database(desk: Desk) -> sqlite3.Connection:
    return sqlite3.connect(desk.project / "state" / "bailiwick.sqlite", isolation_level=None)


def findings(desk: Desk) -> list[str]:
    """What the verification finds, each as `what: reason`; it says so with its exit code."""
    answer = desk.here("nobody", "ledger", "verify", "--json")
    found = [f"{each['what']}: {each['reason']}" for each in answer.data["findings"]]
    assert answer.code == (1 if found else 0)
    return found


def sql(text: str) -> Tamper:
    return lambda database: database.execute(text)


def change_action(which: Callable[[Members], bool], **members: object) -> Tamper:
    """Change members of the first such action's row."""

    def tamper(database: sqlite3.Connection) -> None:
        rows = database.execute("select id, body from actions order by id").fetchall()
        id, body = next((id, body) for id, body in rows if which(json.loads(body)))
        changed = json.dumps({**json.loads(body), **members}).encode()
        database.execute("update actions set body = ? where id = ?", (changed, id))

    return tamper


def change_account(table: str, name: str, **members: object) -> Tamper:
    """Change members of a person's or an agent's account."""

    def tamper(database: sqlite3.Connection) -> None:
        find = f"select body from {table} where name = ?"  # noqa: S608 - our own table
        (body,) = database.execute(find, (name,)).fetchone()
        changed = json.dumps({**json.loads(body), **members}).encode()
        database.execute(f"update {table} set body = ? where name = ?", (changed, name))  # noqa: S608

    return tamper


def in_state(state: str) -> Callable[[Members], bool]:
    return lambda action: action["state"] == state


def swap_byte(database: sqlite3.Connection) -> None:
    """Change one digit of the fourth record, so that it is a valid record still."""
    (body,) = database.execute("select body from records where seq = 4").fetchone()
    at = body.index(b'"at_us":') + 12
    digit = b"1" if body[at : at + 1] != b"1" else b"2"
    changed = body[:at] + digit + body[at + 1 :]
    database.execute("update records set body = ? where seq = 4", (changed,))


def change_checkpoint(database: sqlite3.Connection) -> None:
    size, note = database.execute(
        "select size, note from checkpoints order by size desc limit 1"
    ).fetchone()
    lines = note.split("\n")
    lines[2] = ("A" if lines[2][0] != "A" else "B") + lines[2][1:]
    database.execute("update checkpoints set note = ? where size = ?", ("\n".join(lines), size))


def sign_less(database: sqlite3.Connection) -> None:
    """Cut the newest leaves off the tree, and let the newest checkpoint stand."""
    database.execute("delete from leaves where leaf_index >= 6")
    database.execute("delete from records where seq > 6")
    database.execute("update tree set size = 6")


def unplace(database: sqlite3.Connection) -> None:
    """Forget the newest checkpoint: its records are there, but nobody has signed for them."""
    database.execute("delete from checkpoints")


def test_an_untouched_ledger_is_verified_and_the_limits_of_that_are_said(used: Desk) -> None:
    answer = used.here("nobody", "ledger", "verify")
    assert answer.code == 0
    assert answer.out.startswith("verified: ")
    assert "no witness" in answer.out.splitlines()[-1]


@pytest.mark.claim("cli.verify-names-what-changed")
@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        pytest.param(
            swap_byte,
            "record 3: its bytes do not give the hash that the tree has",
            id="a changed byte",
        ),
        pytest.param(
            sql("delete from records where seq = 3"), "record 2: it was removed", id="a record gone"
        ),
        pytest.param(
            sql("update records set body = cast('{}' as blob) where seq = 3"),
            "record 2: its bytes do not give the hash that the tree has",
            id="no record any more",
        ),
        pytest.param(change_checkpoint, "checkpoint ", id="another root"),
        pytest.param(unplace, "checkpoint: there is none", id="no checkpoint"),
        pytest.param(sign_less, "tree: it has 6 records, fewer than", id="a tree that shrank"),
        pytest.param(
            sql("update tree_nodes set hash = zeroblob(32) where level = 1 and position = 0"),
            "node 0 of level 1: it is not the hash of the nodes below it",
            id="a changed node",
        ),
    ],
)
def test_what_was_done_to_the_log_is_found(used: Desk, tamper: Tamper, expected: str) -> None:
    with database(used) as connection:
        tamper(connection)
    assert any(found.startswith(expected) for found in findings(used)), findings(used)


@pytest.mark.claim("ledger.row-against-record")
@pytest.mark.parametrize(
    ("tamper", "expected"),
    [
        pytest.param(
            change_action(in_state("refused"), state="done"),
            "it is done, but its newest record, ",
            id="a refusal made a success",
        ),
        pytest.param(
            change_action(in_state("done"), state="failed"),
            "says done",
            id="a success made a failure",
        ),
        pytest.param(
            change_action(lambda action: action.get("verdict") == "verified", verdict=None),
            "its verdict is None, but ",
            id="a verdict",
        ),
        pytest.param(
            change_action(lambda action: bool(action.get("intent_hash")), intent_hash="00" * 32),
            "the record of its intent is missing",
            id="another intent",
        ),
        pytest.param(
            change_action(in_state("done"), agent="somebody-else"),
            "its agent is not the one that",
            id="another agent",
        ),
        pytest.param(
            change_action(in_state("done"), subject="somebody-else"),
            "its subject is not the one that",
            id="another subject",
        ),
        pytest.param(
            sql("delete from actions where state = 'refused'"),
            "which is not there",
            id="an action gone",
        ),
        pytest.param(
            change_account("people", "vi", roles=["admin"]),
            "account vi: its roles",
            id="a role",
        ),
        pytest.param(
            change_account("people", "bo", public_key="A" * 43),
            "account bo: its vote key",
            id="a vote key",
        ),
        pytest.param(
            change_account("people", "bo", queues=["support", "finance"]),
            "account bo: its vote key, or its queues",
            id="a queue",
        ),
        pytest.param(
            sql("delete from stops"),
            "stop on tool faults.lose: it is on record and not in force",
            id="a stop gone",
        ),
        pytest.param(
            sql(
                "insert into stops select tenant, scope, 'notes.add',"
                " cast(replace(body, 'faults.lose', 'notes.add') as blob) from stops"
            ),
            "stop on tool notes.add: it is on no record",
            id="a stop that nobody pulled",
        ),
        pytest.param(
            sql("insert into revocations values ('default', 'k', 'ada', '', 1)"),
            "revocations: they are not the ones on record",
            id="a revocation that nobody made",
        ),
        pytest.param(
            change_account("agents", "note-taker", enabled=False),
            "agent note-taker: that it is enabled",
            id="an agent disabled",
        ),
        pytest.param(
            sql("update control set release = 'another'"),
            "release another decides, but ",
            id="another release",
        ),
        pytest.param(
            sql("update control set epoch = epoch + 1"),
            "was begun by no record",
            id="an epoch without a change",
        ),
    ],
)
def test_a_row_that_says_otherwise_than_its_record_is_found(
    used: Desk, tamper: Tamper, expected: str
) -> None:
    with database(used) as connection:
        tamper(connection)
    assert any(expected in found for found in findings(used)), findings(used)


@pytest.mark.claim("ledger.row-against-record")
def test_what_was_revoked_or_disabled_and_is_not_any_more_is_found(used: Desk) -> None:
    used.log_in("ada")
    assert used.here("ada", "revoke", "some-token").code == 0
    assert used.here("ada", "agents", "disable", "note-taker").code == 0
    assert findings(used) == []
    with database(used) as connection:
        connection.execute("delete from revocations")
        change_account("agents", "note-taker", enabled=True)(connection)
    assert findings(used) == [
        "revocations: they are not the ones on record",
        "agent note-taker: that it is enabled is not what is on record",
    ]


# --- records that have no place in the tree yet --------------------------------------------------


async def unsequenced(desk: Desk) -> None:
    """Act, vote, be refused and stop without anybody who sequences."""
    world = open_world(load_settings(desk.project))
    try:
        session = await Bailiwick(world).session("note-taker", subject="a-customer")
        arguments = {"customer": "c_2", "text": "not in the tree"}
        assert (await session.act("notes.add", arguments)).status == "done"
        parked = await session.act("notes.add", {"customer": "c_2", "text": "for everyone"})
        assert parked.status == "parked"
        refused = await session.act("notes.add", {"customer": "c_2", "text": ""})
        assert refused.status == "refused"
        house = House(Bailiwick(world), {})
        await house.vote("bo", parked.action)
        await house.command("ada", "kill", scope="tool", target="faults.refuse", reason="test")
    finally:
        await world.close()


@pytest.mark.claim("ledger.removed-row-found")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("concluded", "it is done, but its newest record, "),
        ("intended", "the record of its intent is missing"),
        ("parked", "it is parked, and no record says so"),
        ("refused", "it is refused, and no record says so"),
        ("vote", "vote of bo on action "),
        ("control", "was begun by no record"),
    ],
)
def test_a_record_removed_before_it_had_a_place_is_found(
    used: Desk, monkeypatch: pytest.MonkeyPatch, kind: str, expected: str
) -> None:
    monkeypatch.chdir(used.project)
    asyncio.run(unsequenced(used))
    assert findings(used) == []
    with database(used) as connection:
        newest = "select max(seq) from records where kind = ?"
        (seq,) = connection.execute(newest, (kind,)).fetchone()
        assert (
            connection.execute("select 1 from leaves where record = ?", (seq,)).fetchone() is None
        )
        connection.execute("delete from records where seq = ?", (seq,))
        # The hand that takes the record away takes its number from the action's row too.
        connection.execute("update actions set records = replace(records, ?, '')", (f"{seq},",))
    assert any(expected in found for found in findings(used)), findings(used)


@pytest.mark.claim("ledger.removed-row-found")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("vote", "vote of bo on action "), ("control", "was begun by no record")],
)
def test_a_vote_or_a_change_without_its_record_is_found(
    used: Desk, kind: str, expected: str
) -> None:
    with database(used) as connection:
        newest = "select max(seq) from records where kind = ?"
        (seq,) = connection.execute(newest, (kind,)).fetchone()
        connection.execute("delete from records where seq >= ?", (seq,))
        connection.execute("delete from leaves where record >= ?", (seq,))
        connection.execute("update tree set size = (select count(*) from leaves)")
        connection.execute("delete from tree_nodes where level = 0 and position >= ?", (seq - 1,))
        connection.execute("delete from checkpoints where size >= ?", (seq,))
    assert any(expected in found for found in findings(used)), findings(used)


# --- beside a working owner, and by others -------------------------------------------------------


def test_verifying_beside_a_working_owner_finds_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.project)

    async def work() -> list[object]:
        async with Bailiwick.open(desk.project) as bailiwick:
            session = await bailiwick.session("note-taker", subject="a-customer")

            async def act(number: int) -> None:
                await session.act("notes.add", {"customer": "c_1", "text": f"note {number}"})

            found: list[object] = []
            beside = open_world(load_settings(desk.project), alone=False)
            for first in range(0, 60, 10):
                acting = [asyncio.create_task(act(first + i)) for i in range(10)]
                while not all(task.done() for task in acting):
                    report = await operations.audit(beside)
                    found.append(report["findings"])
                    await asyncio.sleep(0)
                await asyncio.gather(*acting)
            await beside.close()
            return found

    seen = asyncio.run(work())
    assert len(seen) >= 6
    assert all(found == [] for found in seen), [found for found in seen if found]


def verifier(*words: str) -> subprocess.CompletedProcess[str]:
    program = ROOT / "src" / "bailiwick_verify.py"
    return subprocess.run(
        [sys.executable, str(program), *words], capture_output=True, text=True, check=False
    )


@pytest.mark.claim("cli.proofs-for-others")
def test_others_verify_an_export_and_a_receipt_without_us(used: Desk, tmp_path: Path) -> None:
    used.log_in("ada")
    folder = tmp_path / "export"
    exported = used.data("nobody", "ledger", "export", str(folder))
    whole = verifier("verify", str(folder), "--key", exported["vkey"])
    assert whole.returncode == 0, whole.stdout
    assert f"verified: {exported['records']} records" in whole.stdout
    again = used.here("nobody", "ledger", "export", str(folder))
    assert (again.code, again.fault) == (2, "folder_not_empty")
    id = used.data("ada", "actions", "list", "--state", "done")[0]["action"]
    proved = used.data("ada", "ledger", "prove", id, "--to", str(tmp_path / "proofs"))
    assert len(proved["files"]) >= 4
    for record, receipt in zip(proved["files"][::2], proved["files"][1::2], strict=True):
        one = verifier("receipt", record, receipt, "--key", proved["vkey"])
        assert one.returncode == 0, one.stdout
