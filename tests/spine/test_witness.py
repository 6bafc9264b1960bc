"""A witness beside a running project: what it cosigns, its death, and what only it can find."""

import asyncio
import base64
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import bailiwick_verify as verifier
from bailiwick import ledger, operations
from bailiwick.config import load_settings
from bailiwick.errors import LedgerError
from bailiwick.housekeeping import tick
from bailiwick.ledger import note, records, tree
from bailiwick.ledger.tree import leaf_hash
from bailiwick.transactions import Append, Commit
from bailiwick_witness import Witness, create
from tests.ledger import samples
from tests.ledger.test_witness import served
from tests.postgres import Server
from tests.spine.house import House, opened
from tests.spine.test_keys import log_signers, receipts

SOCKETS = shutil.ignore_patterns("*.sock")


@pytest.fixture
def witness(folder: Path, tmp_path: Path) -> Iterator[Path]:
    """A witness that trusts the project's log, as a process; the project knows its address."""
    create(tmp_path / "witness", "witness.example/w1")
    (log,) = log_signers(folder)
    Witness(tmp_path / "witness").trust(log.key.vkey)
    with served(tmp_path / "witness") as (port, _):
        setting(folder, tmp_path / "witness", port)
        yield tmp_path / "witness"


def setting(folder: Path, witness: Path, port: int, *, required: bool = False) -> None:
    """Write the witness into the project's settings, in the place of an earlier one."""
    file = folder / "bailiwick.yaml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("witness:")]
    given = {"url": f"http://127.0.0.1:{port}", "key": Witness(witness).vkey, "required": required}
    file.write_text("\n".join([*kept, f"witness: {json.dumps(given)}", ""]))


def with_tiles(folder: Path, tiles: Path) -> Path:
    file = folder / "bailiwick.yaml"
    file.write_text(f"{file.read_text()}tiles: {tiles}\n")
    return tiles


async def act(house: House, on: str) -> str:
    outcome = await (await house.clerk(run=f"run-{on}")).act("desk.note", {"on": on})
    assert outcome.status == "done", outcome
    await told(house)
    return outcome.action


async def told(house: House) -> None:
    """Wait until all is in the tree, and tiles and witness, where there are any, know of it."""
    folder = ledger.tiles_folder(house.world)
    async with asyncio.timeout(60):
        while True:
            await house.bailiwick.settle()
            size, kept = await house.world.ledger.tree_size(), await head(house)
            cosigned = await house.world.ledger.checkpoint(cosigned=True)
            theirs = folder / "checkpoint" if folder else None
            if (
                not await house.world.ledger.unsequenced(1)
                and size == note.parse_checkpoint(note.parse(kept).text).size
                and (house.world.witness is None or (cosigned and cosigned[0] == size))
                and (theirs is None or (theirs.exists() and theirs.read_bytes() == kept))
            ):
                return
            await asyncio.sleep(0.02)


async def head(house: House) -> bytes:
    kept = await house.world.ledger.checkpoint()
    assert kept is not None
    return kept[1].encode()


def execute(folder: Path, *statements: tuple[str, Sequence[object]]) -> list[tuple[Any, ...]]:
    """Change the database as somebody does who may write it; give the rows of the last one."""
    settings = load_settings(folder)
    if settings.is_shared:
        with psycopg.connect(settings.store) as connection:
            for text, values in statements:
                cursor = connection.execute(text.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(settings.path(settings.store))) as database, database:
        for text, values in statements:
            rows = database.execute(text, values).fetchall()
        return rows


@pytest.mark.claim("ledger.cosigned-receipts")
@pytest.mark.claim("ledger.no-witness-said")
async def test_heads_are_cosigned_and_receipts_and_exports_carry_it(
    folder: Path, witness: Path, tmp_path: Path
) -> None:
    async with opened(folder) as house:
        action = await act(house, "t-1")
        found = await receipts(house, action)
        audited = await operations.audit(house.world)
        await operations.export(house.world, tmp_path / "out")
        state = await operations.witness_state(house.world)
        size = await house.world.ledger.tree_size()
    log, by = verifier.read_key(log_signers(folder)[0].key.vkey), Witness(witness).vkey
    for record, receipt in found:
        _, seen = verifier.verify_receipt(record, receipt, [log], [verifier.read_key(by)])
        assert seen.witnessed_s.keys() == {"witness.example/w1"}
    report = verifier.verify_export(tmp_path / "out", [log], [verifier.read_key(by)])
    assert (report.faults, audited["findings"]) == ([], [])
    assert audited["witness"] == f"the witness `witness.example/w1` cosigned {size} records"
    assert (state["lag"], state["answers"], state["holds"]) == (0, True, size)
    execute(folder, ("update checkpoints set cosignature = null", ()))
    settings = load_settings(folder)
    async with opened(folder) as house:  # the witness cosigns a head that it knows once more
        await told(house)
    (folder / "bailiwick.yaml").write_text(
        (folder / "bailiwick.yaml").read_text().replace("witness: ", "# ")
    )
    async with opened(folder) as house:
        said = str((await operations.audit(house.world))["witness"])
        assert said.startswith("no witness: whoever holds the log's key")
    assert settings.witness is not None


@pytest.mark.claim("witness.never-waited-for")
@pytest.mark.claim("ledger.cosigned-receipts")
async def test_a_dead_witness_keeps_no_action_waiting_and_receipts_only_if_required(
    folder: Path, tmp_path: Path
) -> None:
    create(tmp_path / "witness", "witness.example/w1")
    Witness(tmp_path / "witness").trust(log_signers(folder)[0].key.vkey)
    setting(folder, tmp_path / "witness", 9, required=True)  # nobody listens there
    async with opened(folder) as house:
        outcome = await (await house.clerk()).act("desk.note", {"on": "t-1"})
        assert outcome.status == "done"
        await house.bailiwick.settle()
        with pytest.raises(LedgerError) as waits:
            await operations.proofs.prove(house.world, outcome.action)
        assert waits.value.code in ("not_cosigned", "not_sequenced")
        state = await operations.witness_state(house.world)
        assert (state["answers"], state["cosigned"]) == (False, 0)
        assert "does not answer" in str(state["said"])
        (check,) = [c async for c in operations.examining._witness(house.world)]
        assert (check.level, "receipts wait for it" in check.help) == ("fail", True)
    with served(tmp_path / "witness") as (port, _):
        setting(folder, tmp_path / "witness", port, required=True)
        async with opened(folder) as house:
            await told(house)
            proved: Any = await operations.proofs.prove(house.world, outcome.action)
            receipt = base64.b64decode(proved["proofs"][0]["receipt"])
            assert b"witness.example/w1" in receipt


async def cut(folder: Path, records: int = 2) -> None:
    """Cut the last records off, and all that was signed over them; the database fits together."""
    ((size,),) = execute(folder, ("select size from tree", ()))
    left = size - records
    (left_head,) = execute(folder, ("select max(size) from checkpoints where size <= ?", (left,)))
    left = left_head[0]
    execute(
        folder,
        (
            "delete from records where seq in (select record from leaves where leaf_index >= ?)",
            (left,),
        ),
        ("delete from leaves where leaf_index >= ?", (left,)),
        ("delete from tree_nodes where (position + 1) * (1 << level) > ?", (left,)),
        ("delete from checkpoints where size > ?", (left,)),
        (
            "delete from actions where id not in"
            " (select action from records where action is not null)",
            (),
        ),
        ("update tree set size = ?", (left,)),
    )


async def resign(folder: Path) -> None:
    """Change an old record, and sign the whole tree anew with the stolen key of the log."""
    rows = execute(
        folder,
        ("select r.seq, r.body from records r join leaves on record = seq order by leaf_index", ()),
    )
    bodies = [bytes(body) for _, body in rows]
    at = next(i for i, body in enumerate(bodies) if b'"intended"' in body)
    digit = bodies[at].index(b'"at_us":') + 12
    bodies[at] = bodies[at][:digit] + bytes([bodies[at][digit] ^ 1]) + bodies[at][digit + 1 :]
    leaves = [tree.leaf_hash(body) for body in bodies]
    edge, inner = tree.append(tree.Frontier(), leaves)
    (thief,) = log_signers(folder)
    signed = note.sign_checkpoint(
        note.Checkpoint(thief.key.name, edge.size, tree.root(edge)), thief
    )
    execute(
        folder,
        (
            "update records set body = ?, hash = ? where seq = ?",
            (bodies[at], leaves[at].hex(), rows[at][0]),
        ),
        *(
            (
                "update tree_nodes set hash = ? where level = ? and position = ?",
                (hash, level, index),
            )
            for level, index, hash in [*((0, i, leaf) for i, leaf in enumerate(leaves)), *inner]
        ),
        ("delete from checkpoints", ()),
        ("insert into checkpoints (size, note) values (?, ?)", (edge.size, signed.decode())),
    )


@pytest.mark.claim("ledger.forgotten-records-hold")
@pytest.mark.claim("ledger.restore-is-accepted-by-people")
@pytest.mark.parametrize("known_by", ["tiles", "witness"])
async def test_a_tree_that_forgot_records_is_held_until_a_person_accepts_it(
    folder: Path, witness: Path, tmp_path: Path, known_by: str
) -> None:
    tiles = with_tiles(folder, tmp_path / "tiles")
    async with opened(folder) as house:
        await act(house, "t-1")
        await act(house, "t-2")
    if known_by == "tiles":
        Witness(witness).forget("bailiwick.local/log")
    else:
        shutil.rmtree(tiles)
    await cut(folder)
    async with opened(folder) as house:
        await refuses_writes_only(house, known_by)
        before = await house.world.ledger.tree_size()
        (fault,) = (await tick(house.world)).faults
        assert isinstance(fault, LedgerError)
        assert fault.code == "ledger_held"
        assert await house.world.ledger.tree_size() == before  # nothing that would contradict
        told_to = await house.command("ada", "ledger accept-restore")
        assert [name.partition(":")[0] for name in told_to["heads"]] == [known_by]
        outcome = await (await house.clerk(run="run-4")).act("desk.note", {"on": "t-4"})
        assert outcome.status == "done"
    async with opened(folder) as house:  # what was accepted is not disputed again
        await house.bailiwick.settle()
        assert (await house.world.store.control("default")).stops == ()
        findings = (await operations.audit(house.world))["findings"]
        assert findings == []
    if known_by == "tiles":
        assert "tiles.before-" in " ".join(os.listdir(tmp_path))
        key = verifier.read_key(log_signers(folder)[0].key.vkey)
        assert verifier.verify_export(tiles, [key]).faults == []


async def refuses_writes_only(house: House, known_by: str) -> None:
    """Nothing is written from the first action on; people can read, and stop."""
    clerk = await house.clerk(run="run-3")
    refused = await clerk.act("desk.note", {"on": "t-3"})
    assert (refused.status, refused.code) == ("refused", "stopped")
    assert (await clerk.act("desk.look", {"on": "t-3"})).status == "done"
    stops = await house.command("ada", "stops list")
    assert [(stop["scope"], stop["target"].partition(":")[0]) for stop in stops] == [
        ("ledger", known_by)
    ]
    await house.command("ada", "kill", scope="agent", target="rival")
    await house.command("ada", "resume", scope="agent", target="rival")
    for name in ("kill", "resume"):
        with pytest.raises(Exception, match="no scope `ledger`"):
            await house.command("ada", name, scope="ledger", target=stops[0]["target"])


@pytest.mark.claim("ledger.forgotten-records-hold")
async def test_a_whole_tree_signed_anew_with_the_stolen_key_is_found_by_the_witness(
    folder: Path, witness: Path
) -> None:
    async with opened(folder) as house:
        await act(house, "t-1")
        await act(house, "t-2")
    await resign(folder)
    async with opened(folder) as house:
        refused = await (await house.clerk()).act("desk.note", {"on": "t-3"})
        assert (refused.status, refused.code) == ("refused", "stopped")
        assert "another tree" in refused.message
        state = await operations.witness_state(house.world)
        assert state["held"] is True


@pytest.mark.claim("ledger.forgotten-records-hold")
async def test_yesterdays_database_is_held(
    folder: Path, witness: Path, kind: Server | None, tmp_path: Path
) -> None:
    async with opened(folder) as house:
        await act(house, "t-1")
    if kind is None:
        shutil.copytree(folder / "state", tmp_path / "yesterday", ignore=SOCKETS)
    else:
        store = load_settings(folder).store
        yesterday = kind.create(store.rpartition("/")[2])
    async with opened(folder) as house:
        await act(house, "t-2")
    if kind is None:
        shutil.rmtree(folder / "state")
        shutil.copytree(tmp_path / "yesterday", folder / "state")
    else:
        file = folder / "bailiwick.yaml"
        file.write_text(file.read_text().replace(store, kind.url(yesterday)))
    async with opened(folder) as house:
        refused = await (await house.clerk()).act("desk.note", {"on": "t-2"})
        assert (refused.status, refused.code) == ("refused", "stopped")
        await house.command("ada", "ledger accept-restore")
        outcome = await (await house.clerk(run="run-4")).act("desk.note", {"on": "t-4"})
        assert outcome.status == "done"


@pytest.mark.claim("ledger.tiles-rebuilt")
async def test_tiles_grow_with_the_log_and_are_rebuilt_from_the_records(
    folder: Path, tmp_path: Path
) -> None:
    tiles = with_tiles(folder, tmp_path / "tiles")
    key = verifier.read_key(log_signers(folder)[0].key.vkey)
    async with opened(folder) as house:
        for number in range(3):
            await act(house, f"t-{number}")
            report = verifier.verify_export(tiles, [key])
            size = await house.world.ledger.tree_size()
            assert (report.faults, report.head.size) == ([], size)
        bodies = [records.encode(samples.read(f"act-{n}")) for n in range(300)]
        await house.world.store.commit(
            Commit(
                tenant="acme",
                ops=tuple(
                    Append(kind="concluded", action=None, body=body, hash=leaf_hash(body).hex())
                    for body in bodies
                ),
            )
        )
        await told(house)
        assert verifier.verify_export(tiles, [key]).faults == []
        size = await house.world.ledger.tree_size()
        assert size > 256
        assert (tiles / "tile/0/000").stat().st_size == 256 * 32
        async with asyncio.timeout(30):  # they are removed once the new head stands
            while (tiles / "tile/0/000.p").exists():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.02)
        assert (tiles / f"tile/0/001.p/{size - 256}").exists()
        assert (tiles / "tile/1/000.p/1").exists()
        again = await operations.project(house.world, tmp_path / "again")
        assert again["records"] == size
        for path in (tmp_path / "again").rglob("*"):
            if path.is_file():
                mine = tiles / path.relative_to(tmp_path / "again")
                assert mine.read_bytes() == path.read_bytes(), path
        (tmp_path / "foreign").mkdir()
        (tmp_path / "foreign" / "letter").write_text("mine")
        with pytest.raises(LedgerError, match="something else than tiles"):
            await operations.project(house.world, tmp_path / "foreign")
