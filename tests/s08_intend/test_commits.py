"""The commit point: all or nothing for each member, whatever its neighbours in the batch do."""

import asyncio
from typing import cast

import pytest
from msgspec.structs import replace

from bailiwick.nouns import Approval
from bailiwick.transactions import (
    Append,
    Blocked,
    Claim,
    CloseApproval,
    Committed,
    EpochIs,
    InsertAction,
    MoveAction,
    OpenApproval,
    PutRun,
    RaiseEpoch,
    Settle,
    Take,
    UseOnce,
)
from tests.s08_intend.depot import NOW_US, Where, action, depot, hold

RECORD = Append(kind="test", action=None, body=b"{}", hash="00")


# What neither database takes: not a text.
POISON = Append(kind="test", action=None, body=b"{}", hash=cast("str", ["not", "a", "text"]))


def insert(name: str) -> InsertAction:
    return InsertAction(action=action(name))


@pytest.mark.claim("store.epoch-guard")
async def test_what_was_judged_under_another_epoch_is_not_written(where: Where) -> None:
    async with depot(where) as store:
        judged_under = await store.store.epoch("acme")
        raised, late, new = await store.together(
            (RaiseEpoch(),),
            (insert("a"), RECORD, EpochIs(epoch=judged_under)),
            (EpochIs(epoch=judged_under + 1), insert("b")),
        )
        assert isinstance(raised, Committed)
        assert late == Blocked(code="epoch_moved")
        assert isinstance(new, Committed)
        assert store.rows("select id from actions") == [("act-b",)]
        assert store.rows("select count(*) from records") == [(0,)]


@pytest.mark.claim("store.member-all-or-nothing")
async def test_a_blocked_member_leaves_no_trace_and_its_neighbours_stay(where: Where) -> None:
    async with depot(where) as store:
        approval = Approval(
            action="act-b",
            tenant="acme",
            request_digest="d",
            asks=(),
            state="open",
            requested_at_us=0,
            expires_at_us=0,
        )
        before, blocked, after = await store.together(
            (Take(action="act-a", holds=(hold("tenant", 40),)), RECORD, insert("a")),
            (
                Take(action="act-b", holds=(hold("agent", 10), hold("tenant", 10))),
                OpenApproval(approval=approval),
                PutRun(run="run-2", agent="clerk", wrapped_key=b"k"),
                Claim(key="charge", action="act-b"),
                RECORD,
                insert("b"),
                CloseApproval(action="act-b", expect=("granted",), state="consumed"),
            ),
            (
                Claim(key="charge", action="act-c"),
                Take(action="act-c", holds=(hold("tenant", 60),)),
                RECORD,
                insert("c"),
            ),
        )
        assert [type(each) for each in (before, blocked, after)] == [Committed, Blocked, Committed]
        assert blocked == Blocked(code="approval_moved")
        assert store.balances() == {"tenant": (0, 100)}
        assert store.rows("select action from effect_keys") == [("act-c",)]
        assert store.rows("select id from actions order by id") == [("act-a",), ("act-c",)]
        assert store.rows("select count(*) from records") == [(2,)]
        assert store.rows("select count(*) from approvals") == [(0,)]
        assert store.rows("select count(*) from runs") == [(0,)]


@pytest.mark.claim("store.dead-batch-retried")
async def test_a_member_that_kills_its_batch_is_alone_in_failing(where: Where) -> None:
    async with depot(where) as store:
        answers = await asyncio.gather(
            store.commit(Take(action="act-a", holds=(hold("tenant", 50),)), insert("a")),
            store.commit(Take(action="act-p", holds=(hold("tenant", 50),)), insert("p"), POISON),
            store.commit(Take(action="act-b", holds=(hold("tenant", 50),)), insert("b")),
            store.commit(Take(action="act-c", holds=(hold("tenant", 1),)), insert("c")),
            return_exceptions=True,
        )
        kinds = [type(each).__name__ for each in answers]
        assert kinds == ["Committed", "StoreUnavailable", "Committed", "Blocked"]
        assert "act-p" not in {id for (id,) in store.rows("select id from actions")}
        assert store.balances() == {"tenant": (0, 100)}
        assert await store.commit(insert("d")) == Committed(at_us=NOW_US)


@pytest.mark.claim("store.answered-when-durable")
async def test_what_is_answered_is_there_for_another_process(where: Where) -> None:
    async with depot(where) as store:

        async def member(number: int) -> int:
            await store.commit(insert(f"{number}"))
            return store.rows("select id from actions").count((f"act-{number}",))

        assert await asyncio.gather(*map(member, range(40))) == [1] * 40


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(where: Where) -> None:
    async with depot(where) as store:
        first = asyncio.create_task(store.commit(insert("a")))
        second = asyncio.create_task(store.commit(insert("b")))
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance(await second, Committed)
        # What was written for the one who left stays written, whole or not at all.
        assert store.rows("select count(*) from actions") in ([(1,)], [(2,)])
        assert isinstance(await store.commit(insert("c")), Committed)


@pytest.mark.claim("store.one-conclusion")
async def test_of_two_conclusions_of_one_intent_one_is_written(where: Where) -> None:
    async with depot(where) as store:
        intent = action("a")
        await store.commit(Take(action=intent.id, holds=(hold("tenant", 10),)), insert("a"))
        done = replace(intent, version=2, state="done", lease_until_us=None)
        failed = replace(intent, version=2, state="failed", lease_until_us=None)
        answers = await store.together(
            (RECORD, Settle(action=intent.id), MoveAction(action=done)),
            (RECORD, Settle(action=intent.id, spent={"calls": 0}), MoveAction(action=failed)),
        )
        assert [type(each) for each in answers] == [Committed, Blocked]
        assert answers[1] == Blocked(code="action_moved")
        assert store.rows("select state from actions") == [("done",)]
        assert store.rows("select count(*) from records") == [(1,)]
        assert store.balances() == {"tenant": (10, 0)}


@pytest.mark.claim("store.claim-once")
async def test_two_tickers_never_get_one_row(where: Where) -> None:
    async with depot(where) as store, depot(where, alone=False) as other:
        stale = {f"act-{number}" for number in range(20)}
        for number in range(20):
            await store.commit(insert(f"{number}"))
        store.clock[0] = other.clock[0] = NOW_US + 6_000_000
        one, two = await asyncio.gather(
            store.due().stale_intents("acme", "one"), other.due().stale_intents("acme", "two")
        )
        assert (set(one) | set(two), set(one) & set(two)) == (stale, set())
        # Whoever comes later finds them taken, until the lease has run out.
        assert await other.due().stale_intents("acme", "three") == []
        store.clock[0] = other.clock[0] = NOW_US + 12_000_000
        assert set(await other.due().stale_intents("acme", "three")) == stale


@pytest.mark.claim("store.claim-once")
async def test_a_parked_action_is_woken_by_one_ticker(where: Where) -> None:
    async with depot(where) as store, depot(where, alone=False) as other:
        await store.commit(
            InsertAction(
                action=action("a", state="parked", park_until_us=NOW_US, lease_until_us=None)
            )
        )
        assert await store.due().expired_parks("acme", "one") == ["act-a"]
        assert await other.due().expired_parks("acme", "two") == []
        store.clock[0] = other.clock[0] = NOW_US + 6_000_000
        assert await other.due().expired_parks("acme", "two") == ["act-a"]


@pytest.mark.claim("store.claim-once")
async def test_what_a_process_is_carrying_on_it_does_not_claim_again(where: Where) -> None:
    async with depot(where) as store:
        parked = action("c", state="parked", park_until_us=NOW_US, lease_until_us=None)
        for each in (action("a"), action("b"), parked):
            await store.commit(InsertAction(action=each))
        store.clock[0] = NOW_US + 6_000_000
        assert await store.due().stale_intents("acme", "me", {"act-a", "act-b"}) == []
        assert await store.due().expired_parks("acme", "me", {"act-c"}) == []
        assert await store.due().stale_intents("acme", "me", {"act-b"}) == ["act-a"]
        assert await store.due().expired_parks("acme", "me", {"act-b"}) == ["act-c"]


@pytest.mark.claim("store.claim-once")
async def test_a_claim_behind_a_conclusion_leaves_the_claimed_actions_holds(
    where: Where,
) -> None:
    async with depot(where) as store:
        for name, amount in (("done", 10), ("stale", 7)):
            taken = Take(action=f"act-{name}", holds=(hold("tenant", amount),))
            await store.commit(taken, InsertAction(action=action(name, lease_owner="gone")))
        done = replace(action("done"), version=2, state="done", lease_until_us=None)
        store.clock[0] = NOW_US + 6_000_000
        _, claimed = await asyncio.gather(
            store.commit(Settle(action="act-done"), MoveAction(action=done)),
            store.due().stale_intents("acme", "me"),
        )
        assert "act-stale" in claimed
        held = await store.store.action("acme", "act-stale")
        assert held is not None
        ended = replace(held, version=held.version + 1, state="done", lease_until_us=None)
        await store.commit(Settle(action="act-stale"), MoveAction(action=ended))
        assert store.balances() == {"tenant": (17, 0)}


async def test_a_run_keeps_the_first_key_that_was_written_for_it(where: Where) -> None:
    async with depot(where) as store:
        first, same, other = await store.together(
            (PutRun(run="r", agent="clerk", wrapped_key=b"1"), insert("a")),
            (PutRun(run="r", agent="clerk", wrapped_key=b"1"), insert("b")),
            (PutRun(run="r", agent="clerk", wrapped_key=b"2"), insert("c")),
        )
        assert [type(each) for each in (first, same, other)] == [Committed, Committed, Blocked]
        assert other == Blocked(code="run_key_moved")
        assert store.rows("select wrapped_key from runs") == [(b"1",)]


async def test_a_name_counts_once_until_its_time_is_over(where: Where) -> None:
    async with depot(where) as store, depot(where, alone=False) as other:
        once = UseOnce(name="n", until_us=NOW_US + 10)
        first, again = await store.together((once, insert("a")), (once, insert("b")))
        assert (type(first), again) == (Committed, Blocked(code="used_before"))
        assert await other.commit(insert("c"), once) == Blocked(code="used_before")
        rivals = await asyncio.gather(
            *(each.commit(UseOnce(name="m", until_us=NOW_US + 20)) for each in (store, other))
        )
        assert sorted(type(each).__name__ for each in rivals) == ["Blocked", "Committed"]
        assert store.rows("select id from actions") == [("act-a",)]
        store.clock[0] = NOW_US + 10
        assert isinstance(await store.commit(UseOnce(name="o", until_us=NOW_US + 30)), Committed)
        assert store.rows("select name from used_once order by name") == [("m",), ("o",)]
