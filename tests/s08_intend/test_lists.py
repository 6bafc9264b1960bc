"""What people list: how long it takes does not grow with the history."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from bailiwick.nouns import Listed
from bailiwick.store.sqlite import SqliteRegister
from bailiwick.transactions import Committed, InsertAction, MoveAction
from tests.s08_intend.depot import TENANT, Depot, Where, action, depot, within


def asked(at: Depot) -> list[str]:
    """What the reading connection is asked from now on, with its values."""
    statements: list[str] = []
    at.database._reader.set_trace_callback(statements.append)
    return statements


@pytest.mark.claim("store.doubts-by-index")
@pytest.mark.parametrize(
    ("state", "index"),
    [
        ("parked", "actions_open (tenant=? AND state=? AND id<?)"),
        ("intended", "actions_open (tenant=? AND state=? AND id<?)"),
        ("unknown", "actions_open (tenant=? AND state=? AND id<?)"),
        ("contradicted", "actions_contradicted (tenant=? AND id<?)"),
    ],
)
async def test_what_is_open_or_contradicted_is_found_by_an_index_of_its_own(
    tmp_path: Path, state: Listed, index: str
) -> None:
    async with depot(within(tmp_path)) as at:
        statements = asked(at)
        await SqliteRegister(at.database).actions(TENANT, (state,), 10)
        (statement,) = statements
        with closing(sqlite3.connect(at.file)) as reader:
            plan = [row[3] for row in reader.execute(f"explain query plan {statement}")]
        assert plan == [f"SEARCH actions USING INDEX {index}"]


@pytest.mark.claim("store.doubts-by-index")
async def test_a_list_of_doubts_looks_at_nothing_else(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as at:
        register = SqliteRegister(at.database)
        steps = [0]

        def count() -> int:
            steps[0] += 1
            return 0

        async def listed() -> tuple[list[str], int]:
            steps[0] = 0
            states: tuple[Listed, ...] = ("unknown", "intended", "contradicted")
            found = await register.actions(TENANT, states, 10)
            return [each.id for each in found], steps[0]

        for name, state, verdict in (
            ("a", "unknown", None),
            ("b", "done", "contradicted"),
            ("c", "intended", None),
        ):
            made = action(name, state=state, verdict=verdict)
            await at.commit(InsertAction(action=made))
        at.database._reader.set_progress_handler(count, 1)
        before = await listed()
        assert before[0] == ["act-c", "act-b", "act-a"]
        history = [action(f"0{n}", state="done", verdict="verified") for n in range(500)]
        await at.commit(*(InsertAction(action=each) for each in history))
        assert await listed() == before


async def test_what_a_person_resolved_is_not_contradicted_any_more(tmp_path: Path) -> None:
    async with depot(within(tmp_path)) as at:
        register = SqliteRegister(at.database)
        await at.commit(InsertAction(action=action("a", state="done", verdict="contradicted")))
        assert len(await register.actions(TENANT, ("contradicted",), 10)) == 1
        await at.commit(MoveAction(action=action("a", state="done", version=2)))
        assert await register.actions(TENANT, ("contradicted",), 10) == []


async def test_each_list_has_its_own_and_the_newest_first(where: Where) -> None:
    async with depot(where) as at:
        for name in "abcd":
            assert isinstance(await at.commit(InsertAction(action=action(name))), Committed)
        ended = replace(action("b"), version=2, state="done", verdict="contradicted")
        assert isinstance(await at.commit(MoveAction(action=ended)), Committed)
        unknown = replace(action("c"), version=2, state="unknown")
        assert isinstance(await at.commit(MoveAction(action=unknown)), Committed)

        async def listed(*states: Listed, limit: int = 9, before: str | None = None) -> list[str]:
            found = await at.register.actions(TENANT, states, limit, before)
            return [each.id for each in found]

        assert await listed("unknown", "contradicted") == ["act-c", "act-b"]
        assert (await at.due().in_doubt(TENANT), await at.due().in_doubt("other")) == (2, 0)
        assert await listed("contradicted") == ["act-b"]
        assert await listed("intended") == ["act-d", "act-a"]
        assert await listed("done", "unknown") == ["act-c", "act-b"]
        assert await listed(limit=3) == ["act-d", "act-c", "act-b"]
        assert await listed(limit=3, before="act-b") == ["act-a"]
        resolved = replace(ended, version=3, verdict=None)
        assert isinstance(await at.commit(MoveAction(action=resolved)), Committed)
        assert await listed("unknown", "contradicted") == ["act-c"]
        assert await at.due().in_doubt(TENANT) == 1
