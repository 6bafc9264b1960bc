"""Lent votes: signed, for a time, for one queue, and never a second person."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import Outcome, ledger
from bailiwick.approval import sign_mandate
from bailiwick.errors import BailiwickError
from bailiwick.identity.jose import decode
from bailiwick.nouns.mandates import Delegation
from bailiwick.testing import Clock
from tests.spine.house import PASSWORD, House, effects, opened

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000


async def with_dee(house: House) -> None:
    """Add an approver who answers for no queue."""
    answer = await house.command(
        "ada", "people add", name="dee", roles=["approver", "viewer"], queues=["other"]
    )
    given = {"name": "dee", "password": answer["password"]}
    from_login: Any = await house.perform({"command": "login", "parameters": given})
    house.sessions["dee"] = json.dumps(from_login)
    assert answer["password"] != PASSWORD


async def lend(house: House, person: str, to: str, **changed: Any) -> str:
    given = {
        "to": to,
        "queue": "finance",
        "until_us": await house.world.store.now_us() + HOUR_US,
        "reason": "holidays",
        **changed,
    }
    draft = await house.command(person, "delegation draft", **given)
    statement = msgspec.convert(draft["statement"], Delegation)
    key = Ed25519PrivateKey.from_private_bytes(decode(json.loads(house.sessions[person])["key"]))
    signed = msgspec.to_builtins(sign_mandate(statement, key))
    return str((await house.command(person, "delegation grant", statement=signed))["id"])


async def asked(house: House, on: str, amount: int = 60_000, subject: str = "sue") -> Outcome:
    clerk = await house.clerk(subject=subject)
    return await clerk.act("desk.refund", {"on": on, "amount_minor": amount})


async def code_of(house: House, *vote: Any, **named: Any) -> str:
    """The code of the refusal that a vote meets; empty if it is cast."""
    try:
        await house.vote(*vote, **named)
    except BailiwickError as fault:
        return fault.code
    return ""


@pytest.mark.claim("approval.delegation-is-one-person")
async def test_who_lends_and_who_votes_are_one_person(house: House) -> None:
    await with_dee(house)
    await lend(house, "bo", "dee")
    await lend(house, "bo", "cy")
    parked = await asked(house, "a")
    assert await code_of(house, "dee", parked.action) == "voter_not_entitled"
    assert await code_of(house, "dee", parked.action, lender="cy") == "delegation_missing"
    await house.vote("dee", parked.action, lender="bo")
    for name, lender in (("bo", ""), ("cy", "bo"), ("dee", "bo")):
        assert await code_of(house, name, parked.action, lender=lender) == "already_voted"
    assert (await house.action(parked)).state == "parked"
    await house.vote("cy", parked.action)
    assert ((await house.until(parked)).status, effects("a")) == ("done", 1)
    story = await house.command("ada", "actions show", action=parked.action)
    assert {each["person"]: each["on_behalf_of"] for each in story["approval"]["votes"]} == {
        "dee": "bo",
        "cy": None,
    }
    # The record of the lent vote names its lender as it names its voter, and no other does.
    records = await house.world.ledger.records(0, 0, of=("default", parked.action))
    told = [each for each in (json.loads(one.body) for one in records) if each["kind"] == "vote"]
    names = {
        name: ledger.pseudonym(house.world, "default", "person", name) for name in ("bo", "dee")
    }
    assert [(each["voter"] == names["dee"], each.get("on_behalf_of")) for each in told] == [
        (True, names["bo"]),
        (False, None),
    ]
    # Neither the one nor the other may be who asks.
    for subject in ("bo", "dee"):
        mine = await asked(house, f"of-{subject}", subject=subject)
        assert await code_of(house, "dee", mine.action, lender="bo") == "voter_is_requester"
    denied = await asked(house, "b")
    await house.vote("dee", denied.action, "deny", lender="bo")
    assert (await house.until(denied)).code == "denied_by_people"


@pytest.mark.claim("approval.delegation-bounded")
async def test_a_vote_is_lent_for_its_time_and_ends_at_once(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        await with_dee(house)
        begin, end = NOW_US + HOUR_US, NOW_US + 2 * HOUR_US
        await lend(house, "bo", "dee", from_us=begin, until_us=end)
        early, kept = await asked(house, "early"), await asked(house, "kept")
        assert await code_of(house, "dee", early.action, lender="bo") == "delegation_missing"
        clock.advance(3600)
        await house.vote("dee", kept.action, lender="bo")
        clock.advance(3600)
        assert await code_of(house, "dee", early.action, lender="bo") == "delegation_missing"
    async with opened(folder, now_us=clock.now_us) as house:
        # What was voted in its time counts on, also after a restart.
        await house.vote("cy", kept.action)
        assert (await house.until(kept)).status == "done"
        await with_sessions(house)
        id = await lend(house, "bo", "cy")
        lost = await asked(house, "lost")
        await house.vote("cy", lost.action, lender="bo")
        await house.command("ada", "delegation end", id=id)
        (listed,) = [
            each
            for each in await house.command("ada", "approvals list")
            if each["action"] == lost.action
        ]
        assert listed["rules"][0]["approved_by"] == []


async def with_sessions(house: House) -> None:
    await house.command("bo", "whoami")
    await house.command("cy", "whoami")


@pytest.mark.claim("approval.delegation-bounded")
async def test_only_ones_own_vote_is_lent_by_ones_own_signature(house: House) -> None:
    await with_dee(house)
    for person, to, changed, code in (
        ("bo", "bo", {}, "mandate_invalid"),
        ("bo", "ada", {}, "mandate_invalid"),
        ("bo", "nobody", {}, "mandate_invalid"),
        ("bo", "cy", {"queue": "other"}, "voter_not_entitled"),
        ("dee", "cy", {}, "voter_not_entitled"),
        ("bo", "cy", {"until_us": 1}, "mandate_invalid"),
        ("bo", "cy", {"reason": " "}, "mandate_invalid"),
    ):
        with pytest.raises(BailiwickError) as fault:
            await lend(house, person, to, **changed)
        assert fault.value.code == code, (person, to, changed)
    draft = await house.command(
        "bo",
        "delegation draft",
        to="dee",
        queue="finance",
        until_us=await house.world.store.now_us() + HOUR_US,
        reason="holidays",
    )
    for forged in ({"signature": ""}, {"person": "cy"}):
        statement = {**draft["statement"], **forged}
        with pytest.raises(BailiwickError) as fault:
            await house.command("bo", "delegation grant", statement=statement)
        assert fault.value.code in ("vote_unsigned", "vote_not_own")
