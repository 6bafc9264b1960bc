"""An agent takes back what it asked for, and nobody else can."""

import asyncio
from pathlib import Path

import pytest

from bailiwick import Grant
from bailiwick.errors import BailiwickError
from tests.spine.house import House, effects, opened

ASKED = {"on": "ch-1", "amount_minor": 20_000}


@pytest.mark.claim("spine.cancel-frees")
async def test_a_cancelled_action_frees_its_name_and_its_effect_and_takes_no_vote(
    folder: Path,
) -> None:
    async with opened(folder) as house:
        parked = await (await house.clerk()).act("desk.refund", ASKED, key="mine")
    async with opened(folder) as house:
        clerk = await house.clerk("run-2")
        cancelled = await clerk.cancel(parked.action)
        assert (cancelled.status, cancelled.code) == ("refused", "cancelled")
        assert await house.kinds(parked.action) == ["parked", "refused"]
        (asked,) = await house.world.register.approvals("default", ("withdrawn",))
        assert asked.action == parked.action
        with pytest.raises(BailiwickError) as fault:
            await house.vote("bo", parked.action)
        assert fault.value.code == "approval_closed"
        # Its effect key is free for another run, and its name for the same one.
        other = await clerk.act("desk.refund", {"on": "ch-1", "amount_minor": 100})
        assert (other.status, effects("ch-1")) == ("done", 1)
        again = await (await house.clerk()).act("desk.refund", ASKED | {"on": "c"}, key="mine")
        assert (again.status, again.earlier) == ("parked", False)
        twice = await clerk.cancel(parked.action)
        assert (twice.status, twice.code) == ("refused", "not_parked")
        assert (await house.command("ada", "actions show", action=parked.action))["steps"]


@pytest.mark.claim("spine.cancel-owner-only")
async def test_only_its_owner_cancels_and_what_was_decided_stays(house: House) -> None:
    clerk = await house.clerk()
    parked = await clerk.act("desk.refund", ASKED)
    strangers = [
        await house.clerk(subject="tom"),
        await house.clerk(agent="rival"),
    ]
    for stranger in strangers:
        refused = await stranger.cancel(parked.action)
        assert (refused.status, refused.code) == ("refused", "action_unknown")
    narrow = await house.bailiwick.session(
        "clerk", subject="sue", grants=[Grant(tools=("desk.refund",), resources=("Charge:x",))]
    )
    assert (await narrow.cancel(parked.action)).code == "resource_not_granted"
    assert (await clerk.cancel("act_nothing")).code == "action_unknown"
    assert (await house.action(parked)).state == "parked"
    await house.vote("bo", parked.action, "deny")
    assert (await clerk.cancel(parked.action)).code == "not_parked"
    assert (await house.until(parked)).code == "denied_by_people"
    done = await clerk.act("desk.refund", {"on": "ch-3", "amount_minor": 1})
    assert (await clerk.cancel(done.action)).code == "not_parked"


@pytest.mark.claim("spine.cancel-frees")
async def test_cancelling_and_voting_at_one_moment_leave_one_end(house: House) -> None:
    clerk = await house.clerk()
    for number in range(4):
        on = f"race-{number}"
        parked = await clerk.act("desk.refund", {"on": on, "amount_minor": 20_000})
        choice = "deny" if number % 2 else "approve"
        cancelled, voted = await asyncio.gather(
            clerk.cancel(parked.action),
            house.vote("bo", parked.action, choice),
            return_exceptions=True,
        )
        ended = await house.until(parked)
        assert not isinstance(cancelled, BaseException)
        if ended.code == "cancelled":
            assert effects(on) == 0
        else:
            assert voted is None
            assert effects(on) == (0 if choice == "deny" else 1)
            assert cancelled.code in ("not_parked", "contended")
