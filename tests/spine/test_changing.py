"""What decides changes: in words, back again, and which release it was that decided so first."""

from pathlib import Path
from typing import Any

import pytest

from bailiwick.errors import ControlError
from bailiwick.store import postgres, statements
from tests.spine.house import AGENT, TOOLS, House
from tests.spine.test_redeciding import released, tier, tried

CLERK = AGENT.replace("NAME", "clerk")


async def compared(house: House, **changed: str | None) -> dict[str, Any]:
    """A stored release with other files, compared with the active one."""
    digest = await released(house, "propose", {}, **changed)
    told: dict[str, Any] = await house.command("ada", "release diff", digest=digest)
    return told


@pytest.mark.claim("policy.diff-in-words")
@pytest.mark.claim("policy.tightening-is-proved")
async def test_a_change_is_said_in_words_and_whether_it_may_loosen(house: House) -> None:
    for changed, said, loosens in (
        (
            {"clerk": tier("20.00")},
            ["clerk: one of finance is asked above 20.00 USD (money), was above 50.00 USD (money)"],
            False,
        ),
        (
            {
                "clerk": CLERK.replace(
                    '{approval: "finance:2"}', '{up_to: "900.00", approval: "ops:2"}'
                )
            },
            [
                "clerk: two of ops is asked above 500.00 USD (money); they were not",
                "clerk: two of finance is no longer asked; they were above 500.00 USD (money)",
                "clerk: money in USD passes up to 900.00 USD (money), was without end",
            ],
            True,
        ),
        (
            {"clerk": CLERK.replace('"desk.*"', '"desk.look", "desk.refund"')},
            ["clerk: may no longer use desk.file, desk.made, desk.note"],
            False,
        ),
        (
            {"clerk": CLERK + 'actions_require_approval: ["desk.note"]\n'},
            ["clerk: one of approvers is asked for desk.note every time; nobody was"],
            True,  # what only changes its rule is not always proved, and then it might
        ),
        (
            {"clerk": tier("60.00")},
            ["clerk: one of finance is asked above 60.00 USD (money), was above 50.00 USD (money)"],
            True,
        ),
        (
            {"clerk": CLERK.replace("max_tool_calls: 100000", "max_tool_calls: 5")},
            ["lowers the cap of 100000 calls on run (all) of agent `clerk` to 5"],
            False,
        ),
        (
            {"clerk": CLERK.replace("max_tool_calls: 100000", "max_tool_calls: 100001")},
            ["raises the cap of 100000 calls on run (all) of agent `clerk` to 100001"],
            True,
        ),
        ({"rival": None}, ["removes the agent rival"], False),
        (
            {"clerk": CLERK + "budget: {max_tool_calls: 100000}\n"},
            ["clerk: `budget` is {'max_tool_calls': 100000}, was not there"],
            True,
        ),
    ):
        told = await compared(house, **changed)
        words = [each for each in told["changes"] if " the file " not in each]
        assert (words, told["loosens"]) == (said, loosens), told
    new_code = await compared(house, tools=TOOLS + "\n# read me\n")
    assert (new_code["loosens"], "Python tools that are new" in new_code["changes"][-1]) == (
        True,
        True,
    )


@pytest.mark.claim("policy.rollback-governed")
@pytest.mark.claim("policy.release-kept")
async def test_a_release_is_taken_back(house: House) -> None:
    first = str((await house.world.store.control("default")).release)
    with pytest.raises(ControlError) as fault:
        await house.command("ada", "release rollback")
    assert fault.value.code == "release_unknown"
    clerk = await house.clerk()
    paid = await clerk.act("desk.refund", {"on": "ch_1", "amount_minor": 4200})
    second = await released(house, "activate", clerk=tier("20.00"))
    third = await released(house, "activate", clerk=tier("10.00"))
    never = await released(house, "propose", clerk=tier("5.00"))
    for digest in (third, never):
        with pytest.raises(ControlError) as fault:
            await house.command("ada", "release rollback", digest=digest)
        assert fault.value.code == "release_not_earlier"

    async def back(**given: str) -> str:
        answer = await house.command("ada", "release rollback", **given)
        assert answer["epoch"] == await house.world.store.epoch("default")
        active = (await house.world.store.control("default")).release
        assert answer["digest"] == active
        return str(active)

    assert await back() == second
    assert await back(digest=first) == first
    assert await back() == second, "what decided last before it"
    told = [each.body.decode() for each in await house.world.archive.activations("default")]
    assert [each.partition('"digest":"')[2][:64] for each in told] == [
        *(first, second, third, second, first, second)
    ]
    again = await house.command("bo", "actions redecide", action=paid.action)
    assert (again["same"], again["release"]) == (True, first)
    assert await tried(house, first) == []


@pytest.mark.claim("policy.release-kept")
def test_no_statement_removes_a_release() -> None:
    for queries in (statements.__file__, postgres.__file__):
        folder = Path(queries).parent
        texts = [*folder.glob("sql/*.sql"), *(folder / "migrations").rglob("*.sql")]
        assert texts
        for path in texts:
            text = path.read_text()
            assert "delete from releases" not in text
            assert "drop table releases" not in text
            assert "update releases" not in text


@pytest.mark.claim("policy.bisect-first-release")
async def test_the_first_release_that_decided_so_is_named(house: House) -> None:
    strict, loose = tier("20.00"), tier("90.00")
    first = str((await house.world.store.control("default")).release)
    second = await released(house, "activate", clerk=strict)
    third = await released(house, "activate", clerk=strict + "description: the same\n")
    fourth = await released(house, "activate", clerk=loose)
    await house.command("ada", "release rollback", digest=second)
    await house.command("ada", "release rollback", digest=fourth)
    clerk = await house.clerk()
    paid = await clerk.act("desk.refund", {"on": "ch_1", "amount_minor": 6000})
    told = await house.command("bo", "policy bisect", action=paid.action)
    assert [(each["release"], each["activations"]) for each in told["series"]] == [
        (first, 3),
        (fourth, 1),
        (second, 1),
        (fourth, 1),
    ]
    assert [each["said"]["effect"] for each in told["series"]] == ["ask", "allow", "ask", "allow"]
    assert (told["first"], told["before"]) == (fourth, third)
    words = [each for each in told["changes"] if each.startswith("clerk: ")]
    above = "above 90.00 USD (money), was above 20.00 USD (money)"
    assert words == [f"clerk: one of finance is asked {above}"]

    # By the first release it was decided so from the beginning, and there is none before it.
    small = await clerk.act("desk.refund", {"on": "ch_2", "amount_minor": 100})
    told = await house.command("bo", "policy bisect", action=small.action)
    assert (told["first"], told["before"], len(told["series"])) == (first, None, 1)
    early = await clerk.act("desk.refund", {"on": "ch_3", "amount_minor": "x"})
    with pytest.raises(ControlError) as fault:
        await house.command("bo", "policy bisect", action=early.action)
    assert fault.value.code == "no_decision"
