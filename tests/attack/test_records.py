"""The log signs nothing that was changed under it, and catches up with what it has not signed."""

import pytest

from bailiwick import ledger
from bailiwick.errors import LedgerError
from bailiwick.ledger import note
from tests.attack.desk import tamper
from tests.spine.house import House


async def act(house: House, on: str) -> None:
    assert (await (await house.clerk()).act("desk.note", {"on": on})).status == "done"


async def signed(house: House) -> note.Checkpoint:
    kept = await house.world.ledger.checkpoint()
    assert kept is not None
    origin, (public,) = house.world.keys.log_keys()
    return note.verify_checkpoint(kept[1].encode(), [note.NoteKey(origin, note.ED25519, public)])


@pytest.mark.claim("ledger.changed-tree-not-signed")
@pytest.mark.parametrize("more", [False, True])
async def test_a_tree_whose_nodes_were_changed_is_not_signed(quiet: House, more: bool) -> None:
    await act(quiet, "t-1")
    await quiet.bailiwick.settle()
    before = await signed(quiet)
    (kept,) = [tuple(await quiet.world.ledger.nodes([(0, before.size - 1)]))]
    assert kept
    tamper(quiet, "create table put_back as select * from tree_nodes")
    tamper(quiet, "update tree_nodes set hash = zeroblob(32)")
    if more:
        await act(quiet, "t-2")
    with pytest.raises(LedgerError):
        await ledger.sequence(quiet.world.ledger, quiet.world.keys)
    assert await signed(quiet) == before
    tamper(quiet, "delete from tree_nodes")
    tamper(quiet, "insert into tree_nodes select * from put_back")
    await ledger.sequence(quiet.world.ledger, quiet.world.keys)
    assert (await signed(quiet)).size == before.size + (2 if more else 0)


@pytest.mark.claim("ledger.changed-tree-not-signed")
async def test_a_tree_that_was_swapped_for_a_shorter_one_is_not_signed(quiet: House) -> None:
    await act(quiet, "t-1")
    await quiet.bailiwick.settle()
    before = await signed(quiet)
    tamper(quiet, "create table put_back as select * from tree")
    tamper(quiet, "update tree set size = size - 1")
    await act(quiet, "t-2")
    with pytest.raises(LedgerError):
        await ledger.sequence(quiet.world.ledger, quiet.world.keys)
    assert await signed(quiet) == before
    tamper(quiet, "update tree set size = (select size from put_back)")


async def test_what_was_placed_and_not_signed_is_signed_by_whoever_comes_next(
    quiet: House,
) -> None:
    await act(quiet, "t-1")
    await quiet.bailiwick.settle()
    before = await signed(quiet)
    await act(quiet, "t-2")
    await quiet.bailiwick.settle()
    tamper(quiet, "delete from checkpoints where size > ?", before.size)
    assert await ledger.sequence(quiet.world.ledger, quiet.world.keys) == 0
    after = await signed(quiet)
    assert after.size == await quiet.world.ledger.tree_size() > before.size
