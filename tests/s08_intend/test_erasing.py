"""Erasing at the commit point: guards that hold to its end, on both stores."""

import asyncio

import pytest
from msgspec.structs import replace

from bailiwick.nouns import Action, Erasure, LegalHold
from bailiwick.transactions import (
    Blocked,
    Committed,
    DropRunKey,
    EpochIs,
    Erase,
    InsertAction,
    MoveAction,
    Op,
    PutLegalHold,
    PutPayload,
    PutRound,
    PutRun,
    RaiseEpoch,
    RunIsClosed,
)
from tests.s08_intend.depot import NOW_US, TENANT, Depot, Where, action, depot

GONE = Erasure(at_us=NOW_US, by="ada", reason="asked for", epoch=2)
LONG = b"s" * 4000


def payload(name: str, sealed: bytes = b"sealed", kind: str = "proposal") -> PutPayload:
    return PutPayload(
        action=f"act-{name}", run="run-1", kind=kind, sealed=sealed, commitment="c" * 64
    )


def ended(name: str, run: str = "run-1") -> Action:
    return action(name, state="done", run=run, lease_owner=None, lease_until_us=None)


def erase(found: Action) -> Erase:
    return Erase(action=replace(found, version=found.version + 1, erased=GONE))


async def run_with(store: Depot, *names: str) -> None:
    """A run whose actions are done, with a payload each in the row, and one beside it."""
    begin: tuple[Op, ...] = (PutRun(run="run-1", agent="clerk", wrapped_key=b"key-1"),)
    for name in names:
        beside = payload(name, LONG, kind="result")
        done = await store.commit(*begin, payload(name), beside, InsertAction(action=ended(name)))
        assert isinstance(done, Committed)
        begin = ()


async def kept(store: Depot, name: str) -> list[bool]:
    kinds = ("proposal", "result")
    return [await store.shelf.payload(TENANT, f"act-{name}", kind) is not None for kind in kinds]


@pytest.mark.claim("store.erased-is-gone")
async def test_what_is_erased_is_gone_from_row_and_table_and_the_rest_stays(where: Where) -> None:
    async with depot(where) as store:
        await run_with(store, "a", "b")
        assert isinstance(await store.commit(erase(ended("a"))), Committed)
        assert (await kept(store, "a"), await kept(store, "b")) == ([False] * 2, [True] * 2)
        found = await store.store.action(TENANT, "act-a")
        assert found is not None
        assert (found.erased, found.version) == (GONE, 2)
        listed = await store.keeping.kept(TENANT, "run-1", "", 10)
        assert [each.id for each in listed] == ["act-b"]
        assert await store.commit(erase(ended("a"))) == Blocked(code="action_moved")


@pytest.mark.claim("store.run-key-dropped-last")
async def test_a_runs_key_goes_only_with_the_last_payload_and_a_new_one_may_come(
    where: Where,
) -> None:
    async with depot(where) as store:
        await run_with(store, "a", "b")
        dropping = DropRunKey(run="run-1")
        blocked = await store.commit(erase(ended("a")), dropping)
        assert blocked == Blocked(code="run_kept", details={"run": "run-1"})
        assert await kept(store, "a") == [True] * 2
        done = await store.commit(erase(ended("a")), erase(ended("b")), dropping)
        assert isinstance(done, Committed)
        run = await store.shelf.run(TENANT, "run-1")
        assert run is not None
        assert run.wrapped_key is None
        assert await store.due().run_keys(TENANT, "", 10) == []
        assert (run.started_at_us, run.parked_us) == (NOW_US, 0)
        # Who begins again first has the run's key; who comes second seals again.
        first, second = await store.together(
            (
                PutRun(run="run-1", agent="clerk", wrapped_key=b"key-2"),
                payload("c"),
                InsertAction(action=ended("c")),
            ),
            (
                PutRun(run="run-1", agent="clerk", wrapped_key=b"key-3"),
                payload("d"),
                InsertAction(action=ended("d")),
            ),
        )
        assert (type(first), second) == (Committed, Blocked(code="run_key_moved"))
        run = await store.shelf.run(TENANT, "run-1")
        assert run is not None
        assert run.wrapped_key == b"key-2"


@pytest.mark.claim("store.erasure-spares-open-runs")
@pytest.mark.parametrize("state", ["parked", "intended", "unknown", "contradicted"])
async def test_an_action_that_opens_in_the_same_batch_keeps_its_run(
    where: Where, state: str
) -> None:
    async with depot(where) as store:
        await run_with(store, "a")
        open = action("b", state=state)
        if state == "contradicted":
            open = action("b", state="done", verdict="contradicted", intended_at_us=NOW_US)
        epoch = await store.store.epoch(TENANT)
        guarded = (EpochIs(epoch=epoch), RaiseEpoch(), RunIsClosed(run="run-1"), erase(ended("a")))
        opening = (EpochIs(epoch=epoch), payload("b"), InsertAction(action=open))
        opened, blocked, other = await store.together(opening, guarded, (RunIsClosed(run="run-2"),))
        assert isinstance(opened, Committed)
        assert blocked == Blocked(code="run_open", details={"run": "run-1"})
        assert isinstance(other, Committed)
        assert await kept(store, "a") == [True] * 2
        closed = replace(open, state="failed", verdict=None, version=2)
        assert isinstance(await store.commit(MoveAction(action=closed)), Committed)
        # The other way round: what was judged before the erasure is judged again.
        done, late = await store.together(
            guarded, (EpochIs(epoch=epoch), InsertAction(action=action("c")))
        )
        assert (type(done), late) == (Committed, Blocked(code="epoch_moved"))


@pytest.mark.claim("vault.hold-keeps")
async def test_a_hold_stands_until_it_says_who_lifted_it(where: Where) -> None:
    async with depot(where) as store:
        held = LegalHold(kind="subject", target="sue", by="ada", reason="case 7", since_us=NOW_US)
        await store.commit(RaiseEpoch(), PutLegalHold(hold=held))
        assert (await store.store.control(TENANT)).holds == (held,)
        lifted = replace(held, lifted_by=("ada", "bo"))
        await store.commit(RaiseEpoch(), PutLegalHold(hold=lifted))
        assert (await store.store.control(TENANT)).holds == ()


@pytest.mark.claim("store.rounds-are-leased")
async def test_a_round_is_one_process_until_its_lease_is_over(where: Where) -> None:
    async with depot(where) as store, depot(where, alone=False) as other:
        other.clock = store.clock
        assert await store.keeping.round(TENANT, "retention", 60_000_000) == ""
        assert await store.keeping.round(TENANT, "retention", 60_000_000) is None
        if not where.is_file:
            assert await other.keeping.round(TENANT, "retention", 60_000_000) is None
        await store.commit(PutRound(name="retention", reached="run-7", due_at_us=0))
        assert await store.keeping.round(TENANT, "retention", 60_000_000) == "run-7"
        store.clock[0] += 60_000_000
        assert await store.keeping.round(TENANT, "retention", 60_000_000) == "run-7"


async def test_erased_bytes_are_in_no_file_of_the_database(where: Where) -> None:
    if not where.is_file:
        pytest.skip("a server keeps its own files")
    async with depot(where) as store:
        await run_with(store, "a", "b")
        secrets = (b"in-the-row-7d1f", b"beside-it-7d1f" + LONG, b"wrapped-7d1f")
        await store.commit(
            PutRun(run="run-2", agent="clerk", wrapped_key=secrets[2]),
            payload("x", secrets[0]),
            payload("x", secrets[1], kind="result"),
            InsertAction(action=ended("x", run="run-2")),
        )
        assert all(count(where, each) for each in secrets)
        await store.commit(erase(ended("x", run="run-2")), DropRunKey(run="run-2"))
        assert [count(where, each) for each in secrets] == [0, 0, 0]


@pytest.mark.claim("store.dead-batch-retried")
async def test_a_commit_right_after_an_erasure_is_not_kept_waiting_by_it(where: Where) -> None:
    """What empties the write-ahead log has ended by then; SQLite commits beside no open statement.

    It was a matter of the moment at which a thread lets go of what it was given, hence so often.
    """
    names = [f"n{number}" for number in range(60)]
    async with depot(where, batch_limit=1) as store:
        await run_with(store, *names)
        told = await asyncio.gather(
            *(store.commit(erase(ended(name))) for name in names),
            return_exceptions=True,
        )
        assert {type(each) for each in told} == {Committed}


def count(where: Where, text: bytes) -> int:
    files = where.file.parent.glob(f"{where.file.name}*")
    return sum(file.read_bytes().count(text[:14]) for file in files)
