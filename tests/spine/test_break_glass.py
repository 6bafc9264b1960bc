"""Emergencies: one person lets asking rules pass for minutes, and another reviews what was done."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import Outcome
from bailiwick.approval import sign_mandate
from bailiwick.errors import BailiwickError
from bailiwick.identity.jose import decode
from bailiwick.nouns.mandates import BreakGlass
from bailiwick.operations import examine
from bailiwick.testing import Clock
from tests.spine.house import AGENT, House, effects, opened
from tests.spine.test_parking import activate

NOW_US = 1_800_000_000_000_000
DAY = 86_400.0


async def draft(house: House, person: str = "rex", **changed: Any) -> dict[str, Any]:
    given = {"agent": "clerk", "tool": "desk.refund", "seconds": 900, "reason": "outage", **changed}
    answer: dict[str, Any] = await house.command(person, "break-glass draft", **given)
    statement = msgspec.convert(answer["statement"], BreakGlass)
    key = Ed25519PrivateKey.from_private_bytes(decode(json.loads(house.sessions[person])["key"]))
    signed: dict[str, Any] = msgspec.to_builtins(sign_mandate(statement, key))
    return signed


async def break_glass(house: House, **changed: Any) -> str:
    signed = await draft(house, **changed)
    return str((await house.command("rex", "break-glass", statement=signed))["id"])


async def refund(
    house: House, on: str, amount: int = 60_000, subject: str = "sue", tool: str = "desk.refund"
) -> Outcome:
    return await (await house.clerk(subject=subject)).act(tool, {"on": on, "amount_minor": amount})


async def check(house: House) -> str:
    found = [each for each in await examine(house.world.settings) if each.name == "reviews"]
    return found[0].level


@pytest.mark.claim("approval.break-glass-bounded")
async def test_asking_rules_pass_for_minutes_and_nothing_else_does(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        waited = await refund(house, "waited")
        assert waited.status == "parked"
        id = await break_glass(house)
        # What waited goes on, and what comes goes through, though the rule asks for two people.
        assert (await house.until(waited)).status == "done"
        assert (await refund(house, "a")).status == "done"
        story = await house.command("ada", "actions show", action=waited.action)
        assert story["ahead"] == [{"id": id, "person": "rex", "reason": "outage"}]
        # Not for who asks, not for another agent, not over a budget, not under a stop.
        assert (await refund(house, "b", subject="Rex")).status == "parked"
        rival = await house.clerk(agent="rival")
        asked = await rival.act("desk.refund", {"on": "c", "amount_minor": 60_000})
        assert asked.status == "parked"
        over = await refund(house, "d", 1_000_001)
        assert (over.status, effects("d")) == ("refused", 0)
        await house.command("ada", "kill", scope="tool", target="desk.refund", reason="t")
        assert (await refund(house, "e")).code == "stopped"
        await house.command("ada", "resume", scope="tool", target="desk.refund")
        # Nor a plain forbid, nor an asking rule of another text.
        await activate(house, clerk=AGENT.replace("NAME", "clerk") + "people_only: [money]\n")
        assert (await refund(house, "f")).code == "denied"
        await activate(house, clerk=AGENT.replace("NAME", "clerk").replace('"500.00"', '"400.00"'))
        assert (await refund(house, "g")).status == "parked"
        await activate(house, clerk=AGENT.replace("NAME", "clerk"))
        assert (await refund(house, "h")).status == "done"
        clock.advance(900)
        assert (await refund(house, "i")).status == "parked"
        denied = await refund(house, "j")
        await house.vote("bo", denied.action, "deny")
        await break_glass(house)
        assert (await house.until(denied)).code == "denied_by_people"


@pytest.mark.claim("approval.break-glass-reviewed")
async def test_it_is_listed_with_its_uses_until_a_second_person_reviewed_it(folder: Path) -> None:
    clock = Clock(NOW_US)
    async with opened(folder, now_us=clock.now_us) as house:
        for person, changed, code in (
            ("ada", {}, "not_allowed"),
            ("bo", {}, "not_allowed"),
            ("rex", {"seconds": 3601}, "parameter_invalid"),
            ("rex", {"reason": " "}, "mandate_invalid"),
            ("rex", {"agent": "nobody"}, "mandate_invalid"),
            ("rex", {"rules": ["nothing"]}, "rule_unknown"),
        ):
            with pytest.raises(BailiwickError) as fault:
                await draft(house, person, **changed)
            assert fault.value.code == code, (person, changed)
        signed = await draft(house)
        longer = {**signed, "until_us": signed["until_us"] + 1}
        with pytest.raises(BailiwickError) as fault:
            await house.command("rex", "break-glass", statement=longer)
        assert fault.value.code == "vote_unsigned"
        assert await check(house) == "ok"
        id = await break_glass(house)
        done = await refund(house, "a")
        with pytest.raises(BailiwickError) as fault:
            await house.command("bo", "reviews close", id=id, finding="fine")
        assert fault.value.code == "mandate_invalid", "it still runs"
        await house.command("rex", "break-glass end", id=id)
        assert (await refund(house, "b")).status == "parked"
        (listed,) = await house.command("ada", "reviews list")
        assert (listed["state"], listed["actions"]) == ("to review", [done.action])
        clock.advance(DAY + 900)
        house.sessions.clear()  # they last twelve hours
        (listed,) = await house.command("ada", "reviews list")
        assert listed["state"] == "overdue"
        with pytest.raises(BailiwickError) as fault:
            await house.command("rex", "reviews close", id=id, finding="fine")
        assert fault.value.code == "not_allowed"
        await house.command("bo", "reviews close", id=id, finding="it was an outage")
        assert await house.command("ada", "reviews list") == []
        (kept,) = await house.command("ada", "reviews list", every=True)
        assert (kept["reviewed_by"], kept["finding"]) == ("bo", "it was an outage")
        with pytest.raises(BailiwickError) as fault:
            await house.command("bo", "reviews close", id=id, finding="again")
        assert fault.value.code == "mandate_unknown"
