"""Files that cannot be owned, read or written: a coded fault, and nothing half done."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode
from msgspec.structs import replace
from yoyo import get_backend, read_migrations

from bailiwick.errors import StoreError, StoreFenced, StoreUnavailable
from bailiwick.nouns import Stop
from bailiwick.store import migrating
from bailiwick.store.bell import Bell
from bailiwick.store.reserve import RESERVE_BYTES
from bailiwick.store.sqlite import (
    SCHEMA_VERSION,
    SqliteRegister,
    SqliteShelf,
    durability,
    schema_version,
)
from bailiwick.store.writer import connect
from bailiwick.transactions import (
    Append,
    Blocked,
    Committed,
    EpochIs,
    InsertAction,
    MoveAction,
    PutPayload,
    PutStop,
    RaiseEpoch,
    Settle,
    Take,
)
from tests.s08_intend.depot import NOW_US, TENANT, Depot, action, depot, hold, within
from tests.s08_intend.disks import filled_up, small_disk

MIB = 1024 * 1024

OPENS = """\
import sys
from pathlib import Path
from bailiwick.config import Settings
from bailiwick.errors import StoreError
from bailiwick.store.sqlite import Database
try:
    Database(Path(sys.argv[1]), Settings(), lambda: 0, alone=sys.argv[2] == "alone")
except StoreError as error:
    print(error.code)
else:
    print("open")
"""


def other_process(file: Path, how: str) -> str:
    found = subprocess.run(
        [sys.executable, "-c", OPENS, str(file), how], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def stored(id: str, size: int = 1) -> tuple[Any, ...]:
    """An intent with all that goes with it, and a payload of a size."""
    return (
        EpochIs(epoch=2, room=True),
        Take(action=f"act-{id}", holds=(hold("tenant", 1, limit=10_000),)),
        PutPayload(
            action=f"act-{id}", run="run-1", kind="proposal", sealed=bytes(size), commitment=""
        ),
        Append(kind="intended", action=f"act-{id}", body=b"{}", hash=id),
        InsertAction(action=action(id)),
    )


def counts(at: Depot) -> tuple[int, ...]:
    """How many actions, payloads, records, listed records and held units there are."""
    return at.rows(
        "select (select count(*) from actions),"
        " (select count(*) from payloads)"
        " + (select count(*) from actions where length(proposal) > 0),"
        " (select count(*) from records),"
        " (select count(*) from actions where records <> ''),"
        " (select coalesce(sum(held), 0) from budgets)"
    )[0]


@pytest.mark.parametrize("sizes", [(1, 2048), (2048, 2049), (100_000, 1), (2049, 100_000)])
async def test_a_payload_is_found_wherever_its_length_has_put_it(
    tmp_path: Path, sizes: tuple[int, int]
) -> None:
    first, second = sizes
    async with depot(within(tmp_path)) as at:
        shelf = SqliteShelf(at.database)
        assert await shelf.payload(TENANT, "act-a", "proposal") is None
        assert isinstance(await at.commit(*stored("a", first)), Committed)
        assert await shelf.payload(TENANT, "act-a", "proposal") == ("run-1", bytes(first))
        assert await shelf.payload(TENANT, "act-a", "result") is None
        again = PutPayload(
            action="act-a", run="run-1", kind="proposal", sealed=b"x" * second, commitment=""
        )
        moved = replace(action("a"), version=2)
        assert isinstance(await at.commit(again, MoveAction(action=moved)), Committed)
        assert await shelf.payload(TENANT, "act-a", "proposal") == ("run-1", b"x" * second)


@pytest.mark.claim("store.one-owner")
async def test_a_file_has_one_owner_and_others_stand_beside(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as at:
        assert other_process(at.where.file, "alone") == "store_owned"
        assert other_process(at.where.file, "beside") == "open"
        assert isinstance(await at.commit(*stored("a")), Committed)
    assert other_process(at.where.file, "alone") == "open"


@pytest.mark.claim("store.durability-in-force")
async def test_a_connection_that_writes_has_its_durability_in_force(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as at:
        assert durability(at.file) == ("wal", "full")
        assert isinstance(await at.commit(*stored("a")), Committed)
    # A database in memory keeps no write-ahead log, whatever it is told.
    with pytest.raises(StoreUnavailable) as fault:
        connect(Path(":memory:"))
    assert fault.value.code == "store_not_durable"
    assert "`memory`" in fault.value.message


@pytest.mark.claim("store.newer-schema-refused")
async def test_a_file_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as at:
        file = at.where.file
    with closing(sqlite3.connect(file)) as writer:
        writer.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    before = file.read_bytes()
    with pytest.raises(StoreFenced) as refused:
        migrating.migrate(file)
    with pytest.raises(StoreFenced) as opening:
        async with depot(within(tmp_path), alone=False):
            pass
    assert (refused.value.code, opening.value.code) == ("schema_version", "schema_version")
    assert "newer program" in opening.value.help
    assert (file.read_bytes(), schema_version(file)) == (before, SCHEMA_VERSION + 1)
    # The lock that was taken for it is given back.
    with closing(sqlite3.connect(file)) as writer:
        writer.execute(f"pragma user_version = {SCHEMA_VERSION}")
    async with depot(within(tmp_path)) as at:
        assert isinstance(await at.commit(*stored("a")), Committed)


def older(folder: Path) -> Path:
    """A file as the first schema left it: one action in order, one contradicted, one resolved."""
    file = folder / "store.sqlite"
    steps = read_migrations(str(Path(migrating.__file__).parent / "migrations" / "sqlite"))
    backend = get_backend(f"sqlite:///{file}")
    with closing(backend.connection):
        backend.apply_migrations(steps.filter(lambda step: step.id == "0001_spine"))
    done = (
        action("a", state="done", verdict="verified"),
        action("b", state="done", verdict="contradicted"),
        action("c", state="done", code="resolved"),
    )
    with closing(sqlite3.connect(file)) as writer, writer:
        writer.executemany(
            "insert into actions (tenant, id, agent, subject, name, attempt, state, version,"
            " updated_at_us, body) values (?, ?, ?, ?, ?, 1, ?, 1, 0, ?)",
            [
                (TENANT, each.id, each.agent, each.subject, each.name, each.state, encode(each))
                for each in done
            ],
        )
    return file


@pytest.mark.claim("store.older-schema-migrated")
async def test_a_file_of_an_older_program_is_copied_and_migrated(tmp_path: Path) -> None:
    file = older(tmp_path)
    with closing(sqlite3.connect(file)) as killed:
        # What a killed owner leaves: its last commit is in the write-ahead log only.
        killed.execute("pragma journal_mode = wal")
        killed.execute("pragma wal_autocheckpoint = 0")
        with killed:
            killed.execute("insert into control (tenant, epoch) values ('late', 7)")
        copy = migrating.migrate(file)
    assert copy is not None
    assert (schema_version(copy), schema_version(file)) == (1, SCHEMA_VERSION)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as reader:
        assert reader.execute("select epoch from control").fetchall() == [(7,)]
    async with depot(within(tmp_path)) as at:
        found = await SqliteRegister(at.database).actions(TENANT, ("contradicted",), 9)
        assert [each.id for each in found] == ["act-b"]
        assert isinstance(await at.commit(*stored("d")), Committed)
    assert migrating.migrate(file) is None


@pytest.mark.claim("store.older-schema-migrated")
async def test_an_older_file_is_not_served_before_it_is_migrated(tmp_path: Path) -> None:
    file = older(tmp_path)
    before = file.read_bytes()
    with pytest.raises(StoreFenced) as fault:
        async with depot(within(tmp_path), alone=False):
            pass
    assert (fault.value.code, fault.value.help) == ("schema_version", "run `bailiwick migrate`")
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(200)])
async def test_a_file_that_is_no_database_is_said_to_be_none(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(StoreError) as fault:
        async with depot(within(tmp_path)):
            pass
    assert fault.value.code in ("store_corrupt", "schema_version")
    assert (tmp_path / "store.sqlite").read_bytes() == content


@pytest.mark.claim("store.read-only-said")
@pytest.mark.parametrize("alone", [True, False])
async def test_a_disk_that_takes_no_writes_is_a_coded_fault(tmp_path: Path, alone: bool) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "8m") as remount:
        async with depot(within(folder)) as at:
            await at.commit(*stored("a"))
        remount("ro")
        with pytest.raises(StoreUnavailable) as fault:
            async with depot(within(folder), alone=alone) as at:
                await at.commit(*stored("b"))
        assert fault.value.code in ("store_read_only", "store_missing")
        assert "permissions" in fault.value.help
        remount("rw")  # which nothing that was left open keeps from it
        async with depot(within(folder)) as at:
            assert counts(at) == (1, 1, 1, 1, 1)


@pytest.mark.claim("store.read-only-said")
@pytest.mark.parametrize("beside", ["lock", "bell"])
async def test_what_cannot_be_written_beside_the_file_is_named(tmp_path: Path, beside: str) -> None:
    async with depot(within(tmp_path)) as at:
        await at.commit(*stored("a"))
    taken = tmp_path / f"store.sqlite.{beside}"
    taken.unlink()
    taken.mkdir()
    with pytest.raises(StoreUnavailable) as fault:
        async with depot(within(tmp_path)):
            pass
    assert (fault.value.code, str(taken) in fault.value.message) == ("store_read_only", True)
    taken.rmdir()
    # Whoever could not open it has not kept the owner's lock.
    async with depot(within(tmp_path)) as at:
        assert isinstance(await at.commit(*stored("b")), Committed)


@pytest.mark.claim("store.full-disk-nothing-half-done")
async def test_a_full_disk_fails_whole_commits_and_serves_again_with_room(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "2m"):
        filler = folder / "filler"
        filler.write_bytes(bytes(MIB))
        async with depot(within(folder)) as at:
            written, faults = 0, list[str]()
            while len(faults) < 3:
                assert written < 100
                try:
                    assert isinstance(await at.commit(*stored(str(written), 64_000)), Committed)
                    written += 1
                except StoreUnavailable as fault:
                    faults.append(fault.code)
            assert written > 0
            assert set(faults) == {"disk_full"}
            assert counts(at) == (written,) * 5
            filler.unlink()
            assert isinstance(await at.commit(*stored(str(written), 64_000)), Committed)
            assert counts(at) == (written + 1,) * 5
        async with depot(within(folder)) as at:
            assert counts(at) == (written + 1,) * 5


@pytest.mark.claim("store.full-disk-nothing-half-done")
async def test_one_member_too_large_for_the_disk_does_not_fail_its_neighbours(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "2m"):
        async with depot(within(folder)) as at:
            commits = [stored("a"), stored("b", 3 * MIB), stored("c")]
            answers = await asyncio.gather(
                *(at.commit(*ops) for ops in commits), return_exceptions=True
            )
            codes = [getattr(each, "code", type(each).__name__) for each in answers]
            assert codes == ["Committed", "disk_full", "Committed"]
            assert counts(at) == (2,) * 5


@pytest.mark.claim("store.kill-on-a-full-disk")
async def test_a_kill_is_written_on_a_disk_that_is_full_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    stop = Stop(scope="everything", target="", by="ada", reason="now", since_us=NOW_US)
    with small_disk(folder, "24m"):
        async with depot(within(folder)) as at:
            assert isinstance(await at.commit(*stored("a")), Committed)
            kept = folder / "store.sqlite.reserve"
            assert kept.stat().st_blocks * 512 >= RESERVE_BYTES
            filler = folder / "filler"
            filled_up(filler)
            done = await at.commit(RaiseEpoch(), PutStop(stop=stop))
            assert isinstance(done, Committed)
            assert (await at.store.control("acme")).stops == (stop,)
            assert not kept.exists()
            filled_up(filler)
            with pytest.raises(StoreUnavailable) as fault:
                await at.commit(
                    PutPayload(
                        action="act-b", run="run-1", kind="x", sealed=bytes(8 * MIB), commitment=""
                    )
                )
            assert fault.value.code == "disk_full"
            filler.unlink()
            await asyncio.sleep(0.15)  # it looks at the disk ten times a second
            assert isinstance(await at.commit(RaiseEpoch()), Committed)
            assert kept.exists()


@pytest.mark.claim("store.outcomes-still-fit")
async def test_below_the_watermark_no_intent_begins_but_outcomes_are_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "4m"):
        async with depot(within(folder), free_space_watermark_mb=1) as at:
            assert isinstance(await at.commit(*stored("a")), Committed)
            (folder / "filler").write_bytes(bytes(3 * MIB))
            await asyncio.sleep(0.15)  # it looks at the disk ten times a second
            assert await at.commit(*stored("b")) == Blocked(code="disk_low")
            assert counts(at) == (1,) * 5
            ended = MoveAction(action=action("a", state="done", version=2))
            record = Append(kind="concluded", action="act-a", body=b"{}", hash="z")
            outcome = await at.commit(Settle(action="act-a"), record, ended)
            assert isinstance(outcome, Committed)
            assert at.balances() == {"tenant": (1, 0)}
            (folder / "filler").unlink()
            await asyncio.sleep(0.15)
            assert isinstance(await at.commit(*stored("b")), Committed)


@pytest.mark.claim("store.control-change-heard")
async def test_a_control_change_is_heard_though_its_caller_has_left(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as store:
        bell = Bell(store.where.file, alone=False)  # as another process has it
        known = await store.store.epoch(TENANT)
        heard = bell.heard()
        killing = asyncio.create_task(store.commit(RaiseEpoch()))
        await asyncio.sleep(0)
        killing.cancel()
        await store.commit(*stored("a"))  # by now what was written for the caller is written
        assert killing.cancelled()
        assert store.rows("select epoch from control") == [(known + 1,)]
        assert bell.heard() != heard
        assert await store.store.epoch(TENANT) == known + 1
        heard = bell.heard()
        await store.commit(*stored("b"))
        assert bell.heard() == heard
        bell.close()
