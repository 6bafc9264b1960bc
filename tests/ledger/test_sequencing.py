"""The sequencer on the real store: one root a size, nothing lost, nothing changed is signed."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from bailiwick import ledger
from bailiwick.errors import LedgerError, StoreUnavailable
from bailiwick.ledger.note import Checkpoint, parse_checkpoint, verify_checkpoint
from bailiwick.ledger.tree import Frontier, append, leaf_hash, root
from bailiwick.ports import Keys, Ledger
from bailiwick.store.sqlite import SqliteLedger
from bailiwick.transactions import Append
from tests.ledger.samples import LOG
from tests.s08_intend.depot import Depot, depot, within


class LogKey:
    """The log's key, which remembers what it was given to sign and can lose its process first."""

    def __init__(self, *, crashes: bool = False) -> None:
        self.heads: list[Checkpoint] = []
        self.crashes = crashes

    def log_keys(self) -> tuple[str, list[bytes]]:
        return LOG.key.name, [LOG.key.public]

    def sign_checkpoint(self, body: bytes) -> list[bytes]:
        if self.crashes:
            raise StoreUnavailable("the process is gone", code="store_closed")
        self.heads.append(parse_checkpoint(body.decode()))
        return [LOG.private.sign(body)]


class Stalled:
    """The ledger's door for a sequencer that is held up just before it extends the tree."""

    def __init__(self, door: Ledger) -> None:
        self.door = door
        self.arrived, self.may_go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.door, name)

    async def extend(
        self, old_size: int, records: Sequence[int], nodes: Sequence[tuple[int, int, bytes]]
    ) -> bool:
        self.arrived.set()
        await self.may_go_on.wait()
        return await self.door.extend(old_size, records, nodes)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Depot]:
    async with depot(within(tmp_path)) as store:
        yield store


async def sequenced(store: Depot, key: LogKey) -> int:
    return await ledger.sequence(SqliteLedger(store.database), cast(Keys, key))


async def commit(store: Depot, *words: str) -> None:
    """Commit records, each in a transaction of its own."""
    for word in words:
        body = word.encode()
        await store.commit(
            Append(kind="control", action=None, body=body, hash=leaf_hash(body).hex())
        )


def leaves(store: Depot) -> list[str]:
    """The bodies of the records in the order of their leaves."""
    query = "select body from records join leaves on record = seq order by leaf_index"
    return [body.decode() for (body,) in store.rows(query)]


def head(store: Depot) -> Checkpoint:
    """The newest signed head, its signature checked."""
    ((kept,),) = store.rows("select note from checkpoints order by size desc limit 1")
    return verify_checkpoint(kept.encode(), [LOG.key])


def root_of(words: Sequence[str]) -> bytes:
    grown, _ = append(Frontier(), [leaf_hash(word.encode()) for word in words])
    return root(grown)


@pytest.mark.claim("ledger.one-root-a-size")
async def test_of_two_sequencers_one_extends_and_the_other_signs_nothing(store: Depot) -> None:
    await commit(store, "a", "b", "c")
    slow, quick = LogKey(), LogKey()
    door = Stalled(SqliteLedger(store.database))
    late = asyncio.create_task(ledger.sequence(cast(Ledger, door), cast(Keys, slow)))
    await door.arrived.wait()  # it means to make "a", "b", "c" the tree of three
    await commit(store, "d")
    assert await sequenced(store, quick) == 4
    door.may_go_on.set()
    assert await late == 0
    assert (slow.heads, [each.size for each in quick.heads]) == ([], [4])
    assert (leaves(store), head(store).root) == (list("abcd"), root_of("abcd"))


@pytest.mark.claim("ledger.one-root-a-size")
async def test_sequencers_that_keep_racing_sign_one_root_for_each_size(store: Depot) -> None:
    keys = [LogKey() for _ in range(4)]
    written: list[str] = []

    async def race(key: LogKey) -> None:
        for _ in range(8):
            await sequenced(store, key)

    async def write() -> None:
        for number in range(40):
            await commit(store, f"record {number}")
            written.append(f"record {number}")

    await asyncio.gather(write(), *map(race, keys))
    await sequenced(store, keys[0])
    assert leaves(store) == written
    for signed in (each for key in keys for each in key.heads):
        assert signed.root == root_of(written[: signed.size])
    assert head(store).size == 40


@pytest.mark.claim("ledger.nothing-left-unsequenced")
async def test_a_record_that_is_committed_late_comes_after_all_that_have_a_leaf(
    store: Depot,
) -> None:
    await commit(store, "a")
    key = LogKey()
    with closing(sqlite3.connect(store.file, isolation_level=None, timeout=5)) as other:
        other.execute("begin immediate")
        other.execute(
            "insert into records (tenant, kind, body, hash) values ('acme', 'control', ?, '')",
            (b"late",),
        )
        # While another process holds its record back, ours waits, and what is in the tree is
        # what was committed.
        mine = asyncio.create_task(commit(store, "mine"))
        await asyncio.sleep(0.05)
        assert not mine.done()
        assert [bytes(each.body) for each in await unplaced(store)] == [b"a"]
        other.execute("commit")
    await mine
    assert await sequenced(store, key) == 3
    assert leaves(store) == ["a", "late", "mine"]
    assert await unplaced(store) == []


@pytest.mark.claim("ledger.nothing-left-unsequenced")
async def test_more_records_than_one_batch_all_get_their_leaf(store: Depot) -> None:
    words = [f"record {number}" for number in range(2_003)]
    entries = [word.encode() for word in words]
    await store.commit(
        *(
            Append(kind="control", action=None, body=body, hash=leaf_hash(body).hex())
            for body in entries
        )
    )
    key = LogKey()
    assert await sequenced(store, key) == 2_003
    assert (leaves(store), head(store).root) == (words, root_of(words))
    assert [each.size for each in key.heads] == [1_000, 2_000, 2_003]


async def unplaced(store: Depot) -> list[Any]:
    return list(await SqliteLedger(store.database).unsequenced(10))


@pytest.mark.claim("ledger.unsigned-head-is-signed")
async def test_a_crash_between_extending_and_signing_is_made_good(store: Depot) -> None:
    await commit(store, "a", "b")
    await sequenced(store, LogKey())
    await commit(store, "c", "d", "e")
    with pytest.raises(StoreUnavailable):
        await sequenced(store, LogKey(crashes=True))
    assert (len(leaves(store)), head(store).size) == (5, 2)
    key = LogKey()
    assert await sequenced(store, key) == 0
    assert [each.size for each in key.heads] == [5]
    assert head(store).root == root_of("abcde")


@pytest.mark.claim("ledger.unsigned-head-is-signed")
async def test_a_crash_before_the_first_signing_is_made_good(store: Depot) -> None:
    await commit(store, "a")
    with pytest.raises(StoreUnavailable):
        await sequenced(store, LogKey(crashes=True))
    assert store.rows("select * from checkpoints") == []
    assert await sequenced(store, LogKey()) == 0
    assert head(store).root == root_of("a")


@pytest.mark.claim("ledger.changed-tree-not-signed")
@pytest.mark.parametrize("unsigned", [0, 1, 4])
@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (
            "update tree_nodes set hash = zeroblob(32) where (level, position) = (2, 0)",
            "proof_invalid",
        ),
        (
            "update tree_nodes set hash = zeroblob(32) where (level, position) = (0, 4)",
            "proof_invalid",
        ),
        ("delete from tree_nodes where (level, position) = (2, 0)", "tree_incomplete"),
        ("update tree set size = 4", "tree_smaller"),
        ("update tree set size = 0", "tree_smaller"),
    ],
)
async def test_what_was_signed_and_then_changed_is_not_signed_again(
    store: Depot, harm: str, code: str, unsigned: int
) -> None:
    await commit(store, *"abcde")
    await sequenced(store, LogKey())
    if unsigned:  # the tree may have grown since, with nobody there to sign it
        await commit(store, *"fghi"[:unsigned])
        with pytest.raises(StoreUnavailable):
            await sequenced(store, LogKey(crashes=True))
    before = head(store)
    with closing(sqlite3.connect(store.file)) as other:
        other.execute(harm)
        other.commit()
    await commit(store, "z")
    key = LogKey()
    with pytest.raises(LedgerError) as fault:
        await sequenced(store, key)
    assert (key.heads, head(store)) == ([], before)
    assert fault.value.code == code
    assert "z" not in leaves(store)
