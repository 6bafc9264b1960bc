"""Files that cannot be owned, read or written: a coded fault, and nothing half done."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yoyo

from bailiwick import store
from bailiwick.errors import StoreError, StoreFenced, StoreUnavailable
from bailiwick.ports import (
    Append,
    Blocked,
    Committed,
    EpochIs,
    InsertAction,
    MoveAction,
    PutPayload,
    Settle,
    Take,
)
from bailiwick.store import SCHEMA_VERSION, schema_version
from bailiwick.store.migrating import migrate
from tests.s08_intend.depot import Depot, action, depot, hold

MIB = 1024 * 1024

OPENS = """\
import sys
from pathlib import Path
from bailiwick.config import Settings
from bailiwick.errors import StoreError
from bailiwick.store import Database
try:
    Database(Path(sys.argv[1]), Settings(), lambda: 0, alone=sys.argv[2] == "alone")
except StoreError as error:
    print(error.code)
else:
    print("open")
"""


def test_a_file_of_an_older_program_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "old.sqlite"
    folder = Path(store.__file__).parent / "migrations" / "sqlite"
    backend = yoyo.get_backend(f"sqlite:///{file}")
    first = yoyo.read_migrations(str(folder)).filter(lambda each: each.id == "0001_spine")
    backend.apply_migrations(first)
    backend.connection.close()
    with closing(sqlite3.connect(file)) as writer, writer:
        writer.execute("insert into breakers values ('t', 'tool:x', 3, 7)")
    assert schema_version(file) == 1
    assert migrate(file)
    assert schema_version(file) == SCHEMA_VERSION
    assert not migrate(file)
    with closing(sqlite3.connect(file)) as reader:
        kept = reader.execute("select failures, open_until_us, recent from breakers").fetchall()
        assert kept == [(3, 7, "")]
        assert reader.execute("select count(*) from modes").fetchone() == (0,)
    assert schema_version(file.with_suffix(f".before-v{SCHEMA_VERSION}")) == 1


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """A disk of its own at the folder, which only root may mount; gives what remounts it."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk to fill")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, f"size={size}", "none", str(folder)]).returncode != 0:
        pytest.skip("this machine does not let a small disk be mounted")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", str(folder)], check=True)


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
        "select (select count(*) from actions), (select count(*) from payloads),"
        " (select count(*) from records),"
        " (select count(*) from actions where records <> ''),"
        " (select coalesce(sum(held), 0) from budgets)"
    )[0]


@pytest.mark.claim("store.one-owner")
async def test_a_file_has_one_owner_and_others_stand_beside(tmp_path: Path) -> None:
    async with depot(tmp_path) as at:
        assert other_process(at.file, "alone") == "store_owned"
        assert other_process(at.file, "beside") == "open"
        assert isinstance(await at.commit(*stored("a")), Committed)
    assert other_process(at.file, "alone") == "open"


@pytest.mark.claim("store.newer-schema-refused")
async def test_a_file_of_a_newer_program_is_not_touched(tmp_path: Path) -> None:
    async with depot(tmp_path) as at:
        file = at.file
    with closing(sqlite3.connect(file)) as writer:
        writer.execute(f"pragma user_version = {SCHEMA_VERSION + 1}")
    before = file.read_bytes()
    with pytest.raises(StoreFenced) as migrating:
        migrate(file)
    with pytest.raises(StoreFenced) as opening:
        async with depot(tmp_path, alone=False):
            pass
    assert (migrating.value.code, opening.value.code) == ("schema_version", "schema_version")
    assert "newer program" in opening.value.help
    assert (file.read_bytes(), schema_version(file)) == (before, SCHEMA_VERSION + 1)
    # The lock that was taken for it is given back.
    with closing(sqlite3.connect(file)) as writer:
        writer.execute(f"pragma user_version = {SCHEMA_VERSION}")
    async with depot(tmp_path) as at:
        assert isinstance(await at.commit(*stored("a")), Committed)


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(200)])
async def test_a_file_that_is_no_database_is_said_to_be_none(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "store.sqlite").write_bytes(content)
    with pytest.raises(StoreError) as fault:
        async with depot(tmp_path):
            pass
    assert fault.value.code in ("store_corrupt", "schema_version")
    assert (tmp_path / "store.sqlite").read_bytes() == content


@pytest.mark.claim("store.read-only-said")
@pytest.mark.parametrize("alone", [True, False])
async def test_a_disk_that_takes_no_writes_is_a_coded_fault(tmp_path: Path, alone: bool) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "8m") as remount:
        async with depot(folder) as at:
            await at.commit(*stored("a"))
        remount("ro")
        with pytest.raises(StoreUnavailable) as fault:
            async with depot(folder, alone=alone) as at:
                await at.commit(*stored("b"))
        assert fault.value.code in ("store_read_only", "store_missing")
        assert "permissions" in fault.value.help
        remount("rw")  # which nothing that was left open keeps from it
        async with depot(folder) as at:
            assert counts(at) == (1, 1, 1, 1, 1)


@pytest.mark.claim("store.read-only-said")
@pytest.mark.parametrize("beside", ["lock", "bell"])
async def test_what_cannot_be_written_beside_the_file_is_named(tmp_path: Path, beside: str) -> None:
    async with depot(tmp_path) as at:
        await at.commit(*stored("a"))
    taken = tmp_path / f"store.sqlite.{beside}"
    taken.unlink()
    taken.mkdir()
    with pytest.raises(StoreUnavailable) as fault:
        async with depot(tmp_path):
            pass
    assert (fault.value.code, str(taken) in fault.value.message) == ("store_read_only", True)
    taken.rmdir()
    # Whoever could not open it has not kept the owner's lock.
    async with depot(tmp_path) as at:
        assert isinstance(await at.commit(*stored("b")), Committed)


@pytest.mark.claim("store.full-disk-nothing-half-done")
async def test_a_full_disk_fails_whole_commits_and_serves_again_with_room(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "2m"):
        filler = folder / "filler"
        filler.write_bytes(bytes(MIB))
        async with depot(folder) as at:
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
        async with depot(folder) as at:
            assert counts(at) == (written + 1,) * 5


@pytest.mark.claim("store.full-disk-nothing-half-done")
async def test_one_member_too_large_for_the_disk_does_not_fail_its_neighbours(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "2m"):
        async with depot(folder) as at:
            commits = [stored("a"), stored("b", 3 * MIB), stored("c")]
            answers = await asyncio.gather(
                *(at.commit(*ops) for ops in commits), return_exceptions=True
            )
            codes = [getattr(each, "code", type(each).__name__) for each in answers]
            assert codes == ["Committed", "disk_full", "Committed"]
            assert counts(at) == (2,) * 5


@pytest.mark.claim("store.outcomes-still-fit")
async def test_below_the_watermark_no_intent_begins_but_outcomes_are_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, "4m"):
        async with depot(folder, free_space_watermark_mb=1) as at:
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
