"""What each outcome does to the money, the effect key and the name."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from bailiwick.errors import StoreUnavailable
from bailiwick.nouns import Action
from bailiwick.transactions import Commit, Committed, MoveAction, Settle
from tests.spine.house import TOOLS, House, effects, founded, opened

# An expectation that also says what it means when nothing is found.
STRICT = TOOLS.replace('expect="after.action', 'expect="after != null && after.action')


@pytest_asyncio.fixture
async def strict(tmp_path: Path) -> AsyncIterator[House]:
    """A project whose tools' expectations are false, not errors, where nothing is found."""
    async with opened(await founded(tmp_path / "strict", people=True, tools=STRICT)) as house:
        yield house


# How a refund of 100 ends, what the tenant then has spent and holds, and what another run hears.
OUTCOMES = [
    ("", ("done", "verified"), (100, 0), "effect_key_held"),
    ("nothing", ("done", "contradicted"), (0, 100), "effect_key_held"),
    ("refuse", ("failed", None), (0, 0), ""),
]


@pytest.mark.claim("spine.uncertain-keeps-its-hold")
@pytest.mark.parametrize(("how", "end", "money", "then"), OUTCOMES)
async def test_money_and_key_go_where_the_outcome_says(
    strict: House, how: str, end: tuple[str, str | None], money: tuple[int, int], then: str
) -> None:
    asked: dict[str, object] = {"on": "ch-1", "amount_minor": 100}
    outcome = await (await strict.clerk("run-1")).act("desk.refund", asked | {"how": how})
    assert (outcome.status, outcome.verdict) == end
    balances = await strict.balances()
    assert balances["tenant value:USD"] == money
    # A call was made, whatever came of it; in doubt it is still held.
    assert sum(balances["run:run-1 calls"]) == 1
    again = await (await strict.clerk("run-2")).act("desk.refund", asked)
    assert again.code == then
    assert effects("ch-1") == (0 if how == "nothing" else 1)


@pytest.mark.claim("spine.uncertain-keeps-its-hold")
async def test_unknown_is_not_failed_and_its_hold_stays(house: House) -> None:
    clerk = await house.clerk()
    outcome = await clerk.act("desk.note", {"on": "t-1", "how": "raise"})
    assert (outcome.status, outcome.verdict, outcome.result) == ("unknown", None, None)
    assert (await house.balances())["run:run-1 calls"] == (0, 1)
    again = await clerk.act("desk.note", {"on": "t-1", "how": "raise"})
    assert (again.action, again.status, again.earlier) == (outcome.action, "unknown", True)
    assert effects("t-1") == 1, "it was sent again"
    doubts = await house.command("ada", "in-doubt list")
    assert outcome.action in str(doubts)


async def test_a_yes_that_did_nothing_is_found_out(strict: House) -> None:
    clerk = await strict.clerk()
    outcome = await clerk.act("desk.note", {"on": "t-1", "how": "nothing"})
    assert (outcome.status, outcome.verdict, effects("t-1")) == ("done", "contradicted", 0)
    assert outcome.action in str(await strict.command("ada", "in-doubt list"))


@pytest.mark.claim("spine.one-outcome")
async def test_who_comes_second_to_conclude_gives_the_answer_that_stands(house: House) -> None:
    clerk = await house.clerk()
    calling = asyncio.create_task(clerk.act("desk.note", {"on": "t-1", "how": "slow:0.3"}))
    flying: tuple[Action, ...] = ()
    while not flying:
        await asyncio.sleep(0.02)
        flying = tuple(await house.world.register.actions("default", ("intended",), 10))
    ended = replace(
        flying[0], version=flying[0].version + 1, state="failed", code="elsewhere", message="no"
    )
    ops = (Settle(action=ended.id), MoveAction(action=ended))
    first = await house.world.store.commit(Commit(tenant="default", ops=ops))
    assert isinstance(first, Committed)
    outcome = await calling
    assert (outcome.action, outcome.status, outcome.code) == (ended.id, "failed", "elsewhere")
    assert (await house.action(outcome)).state == "failed"
    # Neither its record nor its result came in behind the first.
    assert await house.kinds(ended.id) == ["intended"]
    assert (await house.balances())["run:run-1 calls"] == (1, 0)


@pytest.mark.claim("spine.no-effect-without-intent")
async def test_nothing_is_done_whose_intent_could_not_be_written(house: House) -> None:
    clerk = await house.clerk()
    file = house.world.settings.path(house.world.settings.store)
    with closing(sqlite3.connect(file)) as other:
        other.execute(
            "create trigger broken before insert on records when new.kind = 'intended'"
            " begin select raise(abort, 'no'); end"
        )
    with pytest.raises(StoreUnavailable) as fault:
        await clerk.act("desk.note", {"on": "t-1"})
    assert fault.value.code == "store_unavailable"
    assert (effects("t-1"), await house.balances()) == (0, {})
    with closing(sqlite3.connect(file)) as other:
        other.execute("drop trigger broken")
    assert (await clerk.act("desk.note", {"on": "t-1"})).status == "done"
