"""Deciding again what was decided: under its own release, and under others."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from bailiwick.errors import BadInput, ControlError, IdentityError
from tests.spine.house import AGENT, TOOLS, House, files


async def history(house: House) -> dict[str, str]:
    """One action of each kind, by a word: what was decided, voted, set and changed on the way."""
    clerk = await house.clerk()

    async def act(tool: str, **arguments: Any) -> str:
        outcome = await clerk.act(f"desk.{tool}", arguments)
        return outcome.action

    made = {
        "allowed": await act("refund", on="ch_1", amount_minor=4200),
        "read": await act("look", on="ch_1"),
        "denied": await act("refund", on="ch_2", amount_minor=4200, currency="EUR"),
        "asked": await act("refund", on="ch_3", amount_minor=9900),
        "voted": await act("refund", on="ch_4", amount_minor=9900),
        "half voted": await act("refund", on="ch_5", amount_minor=99000),
        "denied by people": await act("refund", on="ch_6", amount_minor=9900),
        "refused early": await act("refund", on="ch_7", amount_minor="much"),
        "long": await act("note", on="th_1", words="word " * 1000),
    }
    await house.vote("bo", made["voted"])
    await house.vote("bo", made["half voted"])
    await house.vote("bo", made["denied by people"], "deny")
    for word, state in (("voted", "done"), ("denied by people", "denied")):
        await settled(house, made[word], state=state)
    await house.command("ada", "mode set", agent="clerk", tool="*", mode="draft", reason="r")
    made["drafted"] = await act("note", on="th_2")
    await house.command("ada", "mode set", agent="clerk", tool="*", mode="shadow", reason="r")
    made["shadowed"] = await act("note", on="th_3")
    return made


async def settled(house: House, id: str, **wanted: str) -> None:
    """Wait until an action that was voted on has been carried on, to what is wanted of its row."""
    async with asyncio.timeout(10):
        while True:
            found = await house.world.store.action("default", id)
            if all(getattr(found, name) == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.02)


async def released(
    house: House, word: str, more: Mapping[str, str] = {}, **changed: str | None
) -> str:
    """Propose or activate the project's files with some others; give the digest."""
    given = {**files(**{name: text for name, text in changed.items() if text}), **more}
    left = {name: text for name, text in given.items() if name != "bailiwick.yaml"}
    for name in (name for name, text in changed.items() if text is None):
        del left[f"agents/{name}.yaml"]
    answer = await house.command("ada", f"release {word}", files=left)
    return str(answer["digest"])


def tier(amount: str) -> str:
    """The clerk's manifest with another amount up to which nobody is asked."""
    return AGENT.replace("NAME", "clerk").replace('"50.00"', f'"{amount}"')


async def tried(house: House, digest: str, **given: Any) -> list[tuple[str, str]]:
    """What a back-test finds: the actions that would change, and to what."""
    told = await house.command("ada", "release backtest", digest=digest, **given)
    return [(each["action"], each["would_be"]) for each in told["changed"]]


@pytest.mark.claim("policy.redecide-same")
@pytest.mark.claim("policy.backtest-decides-as-live")
@pytest.mark.claim("policy.backtest-tells-what-changes")
async def test_what_was_decided_is_decided_again(house: House) -> None:
    made = await history(house)
    first = str((await house.world.store.control("default")).release)
    early = made.pop("refused early")

    async def all_the_same() -> None:
        for word, id in made.items():
            again = await house.command("bo", "actions redecide", action=id)
            assert (again["same"], again["release"]) == (True, first), (word, again)
        again = await house.command("bo", "actions redecide", action=early)
        assert (again["same"], again["code"]) == (None, "no_decision")

    await all_the_same()
    told = await house.command("ada", "release backtest", digest=first)
    assert (told["changed"], told["decided"]) == ([], len(made))
    assert (told["not_decided"], told["next"]) == ({"no_decision": 1}, None)

    stricter = await released(house, "propose", clerk=tier("20.00"))
    assert await tried(house, stricter) == [(made["allowed"], "asked")]
    looser = await released(house, "propose", clerk=tier("100.00"))
    assert await tried(house, looser) == [
        (made["denied by people"], "allowed"),
        (made["voted"], "allowed"),
        (made["asked"], "allowed"),
    ]
    others = AGENT.replace("NAME", "clerk").replace("finance:1", "finance:2")
    of_others = await released(house, "propose", clerk=others)
    assert [word for _, word in await tried(house, of_others)] == ["asked of others"] * 3
    reading = AGENT.replace("NAME", "clerk") + 'modes: {"desk.*": read-only}\n'
    shut = await released(house, "propose", clerk=reading)
    told = await house.command("ada", "release backtest", digest=shut, limit=3)
    assert [each["now"]["code"] for each in told["changed"]] == ["read_only"] * 2

    # What decides now changes nothing of what was decided, by which release it may have been.
    await house.command("ada", "mode set", agent="clerk", tool="*", mode="live", reason="r")
    await released(house, "activate", clerk=tier("20.00"))
    clerk = await house.clerk()
    asked = await clerk.act("desk.refund", {"on": "ch_9", "amount_minor": 4200})
    assert asked.status == "parked"
    await all_the_same()
    assert await tried(house, stricter) == [(made["allowed"], "asked")]
    assert await tried(house, first) == [(asked.action, "allowed")]


@pytest.mark.claim("policy.redecide-same")
async def test_what_ended_under_another_release_keeps_the_one_that_decided_it(
    house: House,
) -> None:
    first = str((await house.world.store.control("default")).release)
    clerk = await house.clerk()
    ids = []
    for number in (1, 2):
        outcome = await clerk.act("desk.refund", {"on": f"ch_{number}", "amount_minor": 9900})
        ids.append(outcome.action)
    second = await released(house, "activate", clerk=tier("20.00"))
    await house.vote("bo", ids[0], "deny")
    await house.vote("bo", ids[1])
    await settled(house, ids[0], state="denied")
    again = await house.command("bo", "actions redecide", action=ids[0])
    assert (again["same"], again["release"]) == (True, first)
    # The request is another one under other rules, so that the vote says nothing of it.
    await settled(house, ids[1], release=second)
    await house.vote("bo", ids[1])
    await settled(house, ids[1], state="done")
    again = await house.command("bo", "actions redecide", action=ids[1])
    assert (again["same"], again["release"]) == (True, second)

    # It was judged when people had spoken, and not when it was proposed.
    waiting = (await clerk.act("desk.refund", {"on": "ch_3", "amount_minor": 9900})).action
    late = f"context.time.now_us > {house.world.now_us()}"
    rule = f'@id("late") forbid (principal, action, resource) when {{ {late} }};'
    await released(house, "activate", {"policies/late.cedar": rule})
    await house.vote("bo", waiting)
    await settled(house, waiting, state="refused")
    again = await house.command("bo", "actions redecide", action=waiting)
    assert (again["same"], "late" in again["again"]["rules"]) == (True, True)


@pytest.mark.claim("policy.backtest-tells-what-changes")
async def test_what_cannot_be_decided_again_is_counted_with_the_reason(house: House) -> None:
    clerk, rival = await house.clerk(), await house.clerk(agent="rival", run="run-2")
    for number in range(2):
        await clerk.act("desk.note", {"on": f"th_{number}"})
    paid = (await clerk.act("desk.refund", {"on": "ch_1", "amount_minor": 4200})).action
    of_rival = (await rival.act("desk.note", {"on": "th_9"})).action
    no_rival = await released(house, "propose", rival=None)
    told = await house.command("ada", "release backtest", digest=no_rival)
    assert (told["decided"], told["not_decided"]) == (3, {"agent_gone": 1})

    # A tool that is gone, renamed here; the code has to have been active before it may be run.
    renamed = TOOLS.replace('"desk.note"', '"desk.memo"')
    unread = await released(house, "propose", tools=renamed)
    with pytest.raises(ControlError) as fault:
        await house.command("ada", "release backtest", digest=unread)
    assert fault.value.code == "release_has_new_code"
    await released(house, "activate", tools=renamed)
    told = await house.command("ada", "release backtest", digest=unread)
    assert (told["decided"], told["not_decided"]) == (1, {"tool_gone": 3})

    # Another version of a tool computes the facts anew from the arguments of then.
    twice = TOOLS.replace('"value": "args.amount_minor"', '"value": "args.twice"').replace(
        'currency: str = "USD"', 'currency: str = "USD", twice: int = 8400'
    )
    assert await tried(house, await released(house, "activate", tools=twice)) == [(paid, "asked")]

    page = await house.command("ada", "release backtest", digest=no_rival, limit=2)
    assert (page["decided"], page["not_decided"]) == (1, {"agent_gone": 1})
    page = await house.command("ada", "release backtest", digest=no_rival, before=page["next"])
    assert (page["decided"], page["next"]) == (2, None)
    since_us = int(of_rival.removeprefix("act_")[:14], 16)
    page = await house.command("ada", "release backtest", digest=no_rival, since_us=since_us)
    assert (page["decided"], page["not_decided"]) == (0, {"agent_gone": 1})
    for wrong in ({"limit": 0}, {"limit": 1001}, {"since_us": -1}, {"before": 7}, {"digest": "x"}):
        with pytest.raises((BadInput, ControlError)):
            await house.command("ada", "release backtest", **{"digest": no_rival, **wrong})

    await house.command("ada", "vault erase", run="run-1", reason="the customer asked")
    told = await house.command("ada", "release backtest", digest=no_rival)
    assert (told["decided"], told["not_decided"]) == (0, {"agent_gone": 1, "payload_erased": 3})
    again = await house.command("bo", "actions redecide", action=paid)
    assert (again["same"], again["code"]) == (None, "payload_erased")
    with pytest.raises(IdentityError):
        await house.command("bo", "release propose", files={})
