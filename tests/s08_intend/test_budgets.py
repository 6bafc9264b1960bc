"""Budgets in the batch: what is held and spent is what was committed, whatever was blocked."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from bailiwick.nouns import Balance, Cap, Hold
from bailiwick.transactions import (
    Append,
    Blocked,
    Claim,
    Committed,
    EpochIs,
    Free,
    InsertAction,
    MoveAction,
    Op,
    RaiseEpoch,
    Settle,
    Take,
)
from tests.s08_intend.conftest import Fresh
from tests.s08_intend.depot import TENANT, Where, action, depot, hold

CAPS = {
    "tenant": Cap(node="tenant", unit="calls", limit=12),
    "agent": Cap(node="agent", unit="calls", limit=9, period="day"),
    "run": Cap(node="run", unit="calls", limit=5, period="hour"),
}
DAY_US = 86_400_000_000
EPOCH = 2
GUARDS = {"none", "epoch", "key", "name"}


class Take1(NamedTuple):
    """A new action with holds; `guard` names what blocks it, looked at after them if `last`."""

    amounts: dict[str, int]
    guard: str
    last: bool


class Settle1(NamedTuple):
    """The end of the `which`-th action that holds something: what it really spent, if not all."""

    which: int
    spent: int | None


TAKES = st.builds(
    Take1,
    st.dictionaries(st.sampled_from(sorted(CAPS)), st.integers(1, 4), min_size=1),
    st.sampled_from(sorted(GUARDS)),
    st.booleans(),
)
SETTLES = st.builds(Settle1, st.integers(0, 20), st.none() | st.integers(0, 3))
ROUNDS = st.lists(
    st.tuples(st.lists(TAKES | SETTLES, min_size=1, max_size=8), st.sampled_from([0, DAY_US])),
    min_size=1,
    max_size=5,
)


class Books:
    """The model: what each node has spent and holds today, by plain arithmetic."""

    def __init__(self) -> None:
        self.spent: dict[tuple[str, int], int] = {}
        self.held: dict[tuple[str, int], int] = {}
        self.open: dict[str, list[tuple[tuple[str, int], int]]] = {}

    def take(self, id: str, asked: Take1, day: int) -> bool:
        wanted = [(self.key(node, day), amount) for node, amount in asked.amounts.items()]
        fits = all(
            self.spent.get(key, 0) + self.held.get(key, 0) + amount <= CAPS[key[0]].limit
            for key, amount in wanted
        )
        if not fits or asked.guard != "none":
            return False
        for key, amount in wanted:
            self.held[key] = self.held.get(key, 0) + amount
        self.open[id] = wanted
        return True

    def settle(self, id: str, spent: int | None) -> None:
        for key, amount in self.open.pop(id):
            self.held[key] -= amount
            self.spent[key] = self.spent.get(key, 0) + (amount if spent is None else spent)

    def key(self, node: str, day: int) -> tuple[str, int]:
        return (node, 0 if node == "tenant" else day)

    def today(self, day: int) -> dict[str, tuple[int, int]]:
        keys = {node: self.key(node, day) for node in CAPS}
        return {n: (self.spent.get(k, 0), self.held.get(k, 0)) for n, k in keys.items()}


def taking(id: str, asked: Take1) -> tuple[Op, ...]:
    holds = tuple(Hold(cap=CAPS[node], amount=each) for node, each in asked.amounts.items())
    name = "key:taken" if asked.guard == "name" else f"key:{id}"
    guards: dict[str, tuple[Op, ...]] = {
        "none": (EpochIs(epoch=EPOCH),),
        "epoch": (EpochIs(epoch=EPOCH - 1),),
        "key": (Claim(key="taken", action=f"act-{id}"),),
        "name": (),
    }
    take, row = (
        Take(action=f"act-{id}", holds=holds),
        InsertAction(action=replace(action(id), name=name)),
    )
    guard = guards[asked.guard]
    return (take, *guard, row) if asked.last else (*guard, take, row)


def told(balances: Sequence[Balance]) -> dict[str, tuple[int, int]]:
    return {each.node: (each.spent, each.held) for each in balances}


def ending(id: str, spent: int | None) -> tuple[Op, ...]:
    given = {} if spent is None else {"calls": spent}
    row = MoveAction(action=action(id, state="done", version=2))
    return (Settle(action=f"act-{id}", spent=given), row)


def commits_of(
    books: Books, members: list[Take1 | Settle1], day: int, names: Iterator[str]
) -> Iterator[tuple[tuple[Op, ...], bool]]:
    """Each member's commit, and whether the books say that it is made."""
    open_before = sorted(books.open)
    for member in members:
        if isinstance(member, Take1):
            name = next(names)
            yield taking(name, member), books.take(name, member, day)
        elif open_before:
            old = open_before.pop(member.which % len(open_before))
            books.settle(old, member.spent)
            yield ending(old, member.spent), True


async def compare(where: Where, rounds: list[tuple[list[Take1 | Settle1], int]]) -> None:
    books, names, caps = Books(), (f"a{number:03}" for number in count()), tuple(CAPS.values())
    async with depot(where) as at, depot(where, alone=False) as other:
        await at.commit(
            Claim(key="taken", action="act-taken"), InsertAction(action=action("taken"))
        )
        for members, later_us in rounds:
            day = at.clock[0] // DAY_US
            wanted = list(commits_of(books, members, day, names))
            answers = await at.together(*(ops for ops, _ in wanted))
            assert [isinstance(each, Committed) for each in answers] == [made for _, made in wanted]
            assert told(await at.shelf.balances(TENANT, caps)) == books.today(day)
            # What the file says, past the owner's memory of it.
            assert told(await other.shelf.balances(TENANT, caps)) == books.today(day)
            at.clock[0] = other.clock[0] = at.clock[0] + later_us
        stored = at.rows("select id from actions where holds is not null")
        assert {id for (id,) in stored} == {f"act-{name}" for name in books.open}


@pytest.mark.claim("store.member-all-or-nothing")
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it makes a store an example
)
@given(rounds=ROUNDS)
def test_whatever_is_blocked_balances_are_those_of_what_was_committed(
    fresh: Fresh, rounds: list[tuple[list[Take1 | Settle1], int]]
) -> None:
    with fresh() as where:
        asyncio.run(compare(where, rounds))


@pytest.mark.claim("store.member-all-or-nothing")
async def test_a_refused_member_of_a_batch_leaves_no_hold(where: Where) -> None:
    async with depot(where) as at:
        holds = (hold("run", 1), hold("tenant", 1, limit=6))
        answers = await at.together(
            *(
                (
                    Append(kind="intended", action=f"act-{n}", body=b"{}", hash=str(n)),
                    Take(action=f"act-{n}", holds=holds),
                    InsertAction(action=action(str(n))),
                )
                for n in range(18)
            )
        )
        blocked = [each for each in answers if isinstance(each, Blocked)]
        assert len(blocked) == 12
        assert {each.code for each in blocked} == {"over_budget"}
        assert {each.details["node"] for each in blocked} == {"tenant"}
        assert at.balances() == {"run": (0, 6), "tenant": (0, 6)}
        assert at.rows("select count(*) from actions") == [(6,)]
        assert at.rows("select count(*) from records") == [(6,)]


@pytest.mark.claim("approval.lifted-caps-shown")
async def test_a_cap_that_is_lifted_lifts_no_other_cap_of_its_node(where: Where) -> None:
    day = Hold(cap=Cap(node="tenant", unit="calls", limit=5, period="day"), amount=7)
    hour = Hold(cap=Cap(node="tenant", unit="calls", limit=9, period="hour"), amount=7)
    lower = replace(day, cap=replace(day.cap, limit=4))

    def intent(name: str, *lifted: Hold) -> tuple[Op, ...]:
        lift = tuple(each.cap for each in lifted)
        taken = Take(action=f"act-{name}", holds=(day, hour), lift=lift)
        return taken, InsertAction(action=action(name))

    async with depot(where) as store:
        for name, lifted in (("none", ()), ("other", (hour,)), ("another", (lower,))):
            blocked = await store.commit(*intent(name, *lifted))
            assert isinstance(blocked, Blocked)
            assert (blocked.code, blocked.details["period"]) == ("over_budget", "day")
        assert isinstance(await store.commit(*intent("one", day)), Committed)
        blocked = await store.commit(*intent("two", day))
        assert isinstance(blocked, Blocked)
        assert (blocked.code, blocked.details["period"]) == ("over_budget", "hour")


@pytest.mark.claim("store.epoch-guard")
async def test_a_change_by_another_process_is_seen_by_the_commit(where: Where) -> None:
    async with depot(where) as at, depot(where, alone=False) as other:
        seen = await at.store.epoch(TENANT)
        assert isinstance(await other.commit(RaiseEpoch()), Committed)
        assert await at.store.epoch(TENANT) == seen + 1
        ops = (Take(action="act-a", holds=(hold("tenant", 1),)), InsertAction(action=action("a")))
        assert await at.commit(*ops, EpochIs(epoch=seen)) == Blocked(code="epoch_moved")
        assert (at.balances(), at.rows("select id from actions")) == ({}, [])
        assert isinstance(await at.commit(*ops, EpochIs(epoch=seen + 1)), Committed)


@pytest.mark.claim("store.effect-key-unique")
async def test_an_effect_key_has_one_holder_who_alone_gives_it_back(where: Where) -> None:
    async with depot(where) as at:
        first, other = await at.together(
            *((Claim(key="k", action=f"act-{id}"), InsertAction(action=action(id))) for id in "ab")
        )
        assert isinstance(first, Committed)
        held = Blocked(code="effect_key_held", details={"key": "k", "holder": "act-a"})
        assert other == held
        assert isinstance(await at.commit(Claim(key="k", action="act-a")), Committed)
        await at.commit(Free(key="k", action="act-b"))
        assert await at.commit(Claim(key="k", action="act-b")) == held
        await at.commit(Free(key="k", action="act-a"))
        assert isinstance(await at.commit(Claim(key="k", action="act-b")), Committed)
