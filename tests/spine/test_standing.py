"""Standing approvals: people's yes ahead, counted exactly, ended by bounds or by a person."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick.approval import sign_mandate
from bailiwick.errors import BailiwickError
from bailiwick.identity.jose import decode
from bailiwick.nouns.mandates import StandingApproval
from bailiwick.testing import Clock
from tests.spine.house import TOOLS, House, books, effects, opened
from tests.spine.test_parking import activate

NOW_US = 1_800_000_000_000_000


async def asking_rules(house: House) -> dict[str, int]:
    """The rules that ask people, with their quorum."""
    control = await house.world.store.control("default")
    bundle = await house.world.bundle("default", control.release)
    book: Any = bundle.policies
    own = [rule for rule in book.rules if rule.queue == "finance" and "clerk" in rule.id]
    return {rule.id: rule.quorum for rule in own}


async def rule_of(house: House, quorum: int) -> str:
    return next(id for id, each in (await asking_rules(house)).items() if each == quorum)


async def sign(house: House, person: str, rule: str, **changed: Any) -> dict[str, Any]:
    """Draft a standing approval as a person and sign it with the person's key."""
    given = {
        "agent": "clerk",
        "tool": "desk.refund",
        "rules": [rule],
        "max_actions": 10,
        "sum": "100000.00",
        "currency": "USD",
        "seconds": 3600,
        "reason": "the sale is on",
        **changed,
    }
    draft = await house.command(person, "standing draft", **given)
    statement = msgspec.convert(draft["statement"], StandingApproval)
    key = Ed25519PrivateKey.from_private_bytes(decode(json.loads(house.sessions[person])["key"]))
    signed: dict[str, Any] = msgspec.to_builtins(sign_mandate(statement, key))
    return signed


async def grant(house: House, person: str, rule: str, **changed: Any) -> str:
    """Have a standing approval granted: signed by one person, confirmed by another."""
    signed = await sign(house, person, rule, **changed)
    waits = await house.command(person, "standing grant", statement=signed)
    assert waits["change"] == "standing grant"
    other = "cy" if person == "bo" else "bo"
    granted = await house.command(other, "standing confirm", id=signed["id"])
    assert (granted["id"], "waiting" in granted) == (signed["id"], False)
    return str(signed["id"])


async def refund(house: House, on: str, amount: int = 20_000) -> str:
    outcome = await (await house.clerk()).act("desk.refund", {"on": on, "amount_minor": amount})
    return outcome.status


@pytest.mark.claim("approval.standing-counted")
async def test_of_sixty_four_callers_exactly_ten_go_through_without_people(house: House) -> None:
    # A slow machine opens no breaker: this is about counting.
    await activate(house, tools=TOOLS.replace("timeout_s=2", "timeout_s=60"))
    id = await grant(house, "bo", await rule_of(house, 1))
    clerk = await house.clerk()
    calls = [{"on": f"ch-{n}", "amount_minor": 20_000} for n in range(64)]
    outcomes = await asyncio.gather(*(clerk.act("desk.refund", call) for call in calls))
    through = [outcome for outcome in outcomes if outcome.status != "parked"]
    ended = [(await house.until(outcome, timeout_s=60)).status for outcome in through]
    assert (ended, len(books())) == (["done"] * 10, 10)
    (told,) = await house.command("ada", "standing list")
    assert (told["state"], told["used_actions"], len(told["actions"])) == ("used up", 10, 10)
    assert told["used_value"] == 200_000
    # The story of each says whose yes it was; the record of the intent names him and the node.
    story = await house.command("ada", "actions show", action=told["actions"][0])
    assert story["ahead"] == [{"id": id, "person": "bo", "reason": "the sale is on"}]
    intent = next(each for each in story["records"] if each["kind"] == "intended")
    assert {"node": f"standing:{id}", "unit": "calls"} in intent["fields"]["holds"]
    assert len(intent["fields"]["approvals"][0]["voters"]) == 1


@pytest.mark.claim("approval.standing-bounded")
async def test_sum_time_resource_tool_and_text_bound_it(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        one = await rule_of(house, 1)
        await grant(house, "bo", one, sum="300.00")
        assert await refund(house, "a") == "done"
        assert await refund(house, "b") == "parked", "200 and 200 are more than 300"
        assert await refund(house, "c", 10_000) == "done"
        first, *_ = await house.command("ada", "standing list")
        await house.command("ada", "standing withdraw", id=first["id"])
        for changed in (
            {"currency": "EUR", "sum": "300.00"},
            {"sum": None, "currency": None},
            {"resource": "Charge:other"},
            {"resource": "Thing:*"},
            {"tool": "desk.note"},
            {"agent": "rival"},
        ):
            id = await grant(house, "bo", one, **changed)
            assert await refund(house, f"x-{id}") == "parked", changed
            await house.command("ada", "standing withdraw", id=id)
        id = await grant(house, "bo", one, resource="Charge:*")
        assert await refund(house, "d") == "done"
        # Another text of the rule is another rule: people are asked as ever.
        stricter = AGENT_100
        await activate(house, clerk=stricter)
        assert await refund(house, "e", 9_000) == "parked"
        with pytest.raises(BailiwickError) as fault:
            await house.command("cy", "standing withdraw", id="std_nothing")
        assert fault.value.code == "mandate_unknown"


AGENT_100 = """\
name: clerk
owner: payments-team
tools_allowlist: ["desk.*"]
max_tool_calls: 100000
tiers:
  - on: money
    unit: USD
    auto_up_to: "40.00"
    then:
      - {up_to: "500.00", approval: "finance:1"}
      - {approval: "finance:2"}
"""


@pytest.mark.claim("approval.standing-bounded")
async def test_it_ends_by_the_clock_or_at_once_by_one_person(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        one = await rule_of(house, 1)
        await grant(house, "bo", one, seconds=60)
        assert await refund(house, "a") == "done"
        clock.advance(60)
        assert await refund(house, "b") == "parked"
        id = await grant(house, "bo", one)
        # What waited is woken by it.
        (woken,) = await house.world.register.actions("default", ("parked",), 9) or (None,)
        if woken is not None:
            await house.until(await house.bailiwick.outcome(woken.id))
        assert effects("b") == 1
        await house.command("cy", "standing withdraw", id=id)
        assert await refund(house, "c") == "parked"
        states = [each["state"] for each in await house.command("ada", "standing list")]
        assert states == ["withdrawn", "over"]
    async with opened(folder, now_us=clock.now_us) as house:
        assert await refund(house, "d") == "parked", "it stays withdrawn after a restart"


@pytest.mark.claim("approval.standing-is-one-vote")
async def test_it_counts_as_its_signers_one_vote(house: House) -> None:
    two = await rule_of(house, 2)
    await grant(house, "bo", two)
    clerk = await house.clerk()
    parked = await clerk.act("desk.refund", {"on": "big", "amount_minor": 60_000})
    assert parked.status == "parked"
    (listed,) = await house.command("ada", "approvals list")
    assert (listed["rules"][0]["approved_by"], listed["rules"][0]["missing"]) == (["bo"], 1)
    await house.vote("bo", parked.action)
    assert (await house.action(parked)).state == "parked", "bo is one person, ahead and now"
    await house.vote("cy", parked.action)
    assert (await house.until(parked)).status == "done"
    (told,) = await house.command("ada", "standing list")
    assert told["used_actions"] == 0, "two votes needed nothing that was signed ahead"
    second = await clerk.act("desk.refund", {"on": "big-2", "amount_minor": 60_000})
    await house.vote("cy", second.action)
    assert (await house.until(second)).status == "done"
    (told,) = await house.command("ada", "standing list")
    assert told["actions"] == [second.action]
    # Never for who asks: the agent acts for bo.
    mine = await (await house.clerk(subject="Bo")).act(
        "desk.refund", {"on": "mine", "amount_minor": 60_000}
    )
    await house.vote("cy", mine.action)
    await asyncio.sleep(0.2)
    assert (await house.action(mine)).state == "parked"


@pytest.mark.claim("approval.standing-needs-two")
async def test_granting_is_a_loosening_and_only_ones_own_signature_counts(house: House) -> None:
    one = await rule_of(house, 1)
    signed = await sign(house, "bo", one)
    await house.command("bo", "standing grant", statement=signed)
    again = await house.command("bo", "standing confirm", id=signed["id"])
    assert "waiting" in again, "one person does not make it alone"
    assert await refund(house, "a") == "parked"
    for who, changed in (
        ("cy", {}),
        ("bo", {"max_actions": 11}),
        ("bo", {"until_us": signed["until_us"] + 1}),
        ("bo", {"person": "cy"}),
    ):
        with pytest.raises(BailiwickError) as fault:
            await house.command(who, "standing grant", statement={**signed, **changed})
        assert fault.value.code in ("vote_not_own", "vote_unsigned")
    with pytest.raises(BailiwickError) as fault:
        await sign(house, "ada", one)
    assert fault.value.code == "voter_not_entitled"
    with pytest.raises(BailiwickError) as fault:
        await sign(house, "bo", one + "x")
    assert fault.value.code == "rule_unknown"
    await house.command("ada", "standing confirm", id=signed["id"])
    assert await refund(house, "b") == "done"
    await house.command("ada", "people disable", name="bo")
    assert await refund(house, "c") == "parked", "a disabled person's yes is none"
