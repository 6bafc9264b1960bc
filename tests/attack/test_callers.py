"""What a caller may learn and may be: narrower tokens, names of runs, keys used again, reads."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from bailiwick.cases import propose
from bailiwick.errors import IdentityError
from bailiwick.identity.tokens import new_token_id
from bailiwick.nouns import Credential, Grant
from bailiwick.ports import World
from tests.attack.desk import ASKED, activate
from tests.spine.house import House, effects, opened

NOTE = {"on": "t-1"}


@pytest.mark.claim("identity.narrow-token-sees-no-more")
@pytest.mark.parametrize(
    ("tool", "key"), [("desk.note", None), ("desk.note", "k"), ("desk.look", "k")]
)
async def test_a_narrower_token_is_not_told_what_the_wider_one_did(
    house: House, tool: str, key: str | None
) -> None:
    first = await (await house.clerk()).act(tool, NOTE, key=key)
    assert (first.status, bool(first.result)) == ("done", True)
    narrow = await house.bailiwick.session(
        "clerk",
        subject="sue",
        run="run-1",
        grants=[Grant(tools=("desk.*",), resources=("Thing:t-2",))],
    )
    told = await narrow.act(tool, NOTE, key=key)
    assert (told.status, told.result, told.earlier) == ("refused", None, False)
    assert first.action not in told.message
    wide = await house.bailiwick.session(
        "clerk", subject="sue", run="run-1", grants=[Grant(tools=(tool,), resources=("Thing:t-1",))]
    )
    assert (await wide.act(tool, NOTE, key=key)).earlier is True


@pytest.mark.claim("identity.narrowing-only")
async def test_a_session_with_no_grants_may_do_nothing(house: House) -> None:
    session = await house.bailiwick.session("clerk", subject="sue", grants=())
    with pytest.raises(IdentityError) as caught:
        await session.act("desk.note", NOTE)
    assert caught.value.code == "grant_malformed"
    assert effects("t-1") == 0


@pytest.mark.claim("spine.own-key-one-answer")
async def test_a_refused_call_may_be_put_right_under_the_same_key(house: House) -> None:
    clerk = await house.clerk()
    wrong = await clerk.act("desk.note", {"on": 7}, key="mine")
    assert wrong.status == "refused"
    right = await clerk.act("desk.note", NOTE, key="mine")
    assert (right.status, right.code, effects("t-1")) == ("done", "", 1)
    other = await clerk.act("desk.note", {"on": "t-2"}, key="mine")
    assert (other.status, other.code, effects("t-2")) == ("refused", "key_conflict", 0)


@pytest.mark.claim("propose.names-are-plain")
@pytest.mark.parametrize("run", ["two words", "-x", "sue@example.org", "x" * 129])
async def test_a_run_that_no_record_could_hold_gets_no_token(house: House, run: str) -> None:
    session = await house.clerk(run)
    with pytest.raises(IdentityError) as caught:
        await session.credential()
    assert caught.value.code == "name_invalid"


@pytest.mark.parametrize("first", [0, 250, 255])
def test_a_token_s_id_can_be_the_name_of_its_run(first: int) -> None:
    doors = SimpleNamespace(random=lambda size: bytes([first]) * size)
    id = new_token_id(cast(World, doors))
    assert propose("desk.note", {}, Credential(token="", proof=""), run=id).run == id


async def test_what_a_provider_says_to_a_read_is_not_told_before_the_rules_allow_it(
    house: House,
) -> None:
    outcome = await (await house.clerk()).act("desk.settle", ASKED | {"on": "unreadable"})
    assert (outcome.status, outcome.step, outcome.code) == ("refused", 4, "read_failed")
    assert "somebody else" not in repr(outcome)
    assert "`desk.state`" in outcome.message
    stored = await house.action(outcome)
    assert "somebody else" not in stored.message


@pytest.mark.claim("ledger.nothing-personal-in-clear")
async def test_the_customer_whose_budget_is_drawn_on_is_a_pseudonym_in_every_record(
    folder: Path,
) -> None:
    async with opened(folder) as house:
        limits = 'budgets:\n  - {unit: "value:USD", node: customer, period: day, limit: 90000}\n'
        await activate(house, limits=limits)
        clerk = await house.clerk()
        asked = {"on": "ch-1", "amount_minor": 100, "customer": "mary-poppins"}
        assert (await clerk.act("desk.settle", asked)).status == "done"
        assert (await house.balances())["customer:mary-poppins value:USD"] == (100, 0)
        await house.bailiwick.settle()
        size = await house.world.ledger.tree_size()
        bodies = [record.body for record in await house.world.ledger.records(0, size)]
        assert not [body for body in bodies if b"poppins" in body]
        (intended,) = (json.loads(each) for each in bodies if b'"intended"' in each)
        assert [hold["node"][:11] for hold in intended["holds"] if hold["unit"] != "calls"] == [
            "customer:p_"
        ]
