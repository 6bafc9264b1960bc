"""The housekeeper's tick: what must happen without anybody asking.

It wakes what is due (intents whose owner is gone, parked actions that people decided on or that
ran out of time) and gives committed records their place in the log. Due rows are claimed with a
lease, so any number of processes may tick. It is not a scheduler: nothing is planned here.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from bailiwick import ledger
from bailiwick.act import act
from bailiwick.errors import BailiwickError
from bailiwick.nouns import Wake
from bailiwick.ports import World

_AT_ONCE = 16


class Tick(NamedTuple):
    """What one tick did: actions carried on, records sequenced, and the faults of actions."""

    woken: int
    sequenced: int
    faults: tuple[BaseException, ...]


async def begin(world: World) -> None:
    """What comes before the first action of a process: the ledger says which keys are new or gone.

    Raises what the store and the log raise.
    """
    await ledger.note_keys(world)


async def tick(world: World, busy: set[str] | None = None) -> Tick:
    """Carry on whatever is due now. A fault of one action does not keep the others waiting.

    `busy` are the actions that other ticks of this process are still carrying on: a slow one may
    outlive its lease, and is not begun again. Raises what the store and the log raise.
    """
    busy = set() if busy is None else busy
    gate = asyncio.Semaphore(_AT_ONCE)

    async def wake(asked: Wake) -> None:
        try:
            async with gate:
                await act(world, asked)
        finally:
            busy.discard(asked.action)

    due: list[Wake] = []
    tenants = await world.due.tenants()
    if world.telemetry.wants_standing():
        await _measure(world, tenants)
    for tenant in tenants:
        for claim in (world.due.stale_intents, world.due.decided_parks, world.due.expired_parks):
            claimed = await claim(tenant, world.owner, busy)
            due += (Wake(tenant=tenant, action=id) for id in claimed)
    # Only now: a claim that fails leaves what was claimed before it to a later tick.
    busy.update(asked.action for asked in due)
    results = await asyncio.gather(*map(wake, due), return_exceptions=True)
    sequenced = await ledger.sequence(world.ledger, world.keys)
    faults = tuple(result for result in results if result is not None)
    return Tick(len(due), sequenced, faults)


async def _measure(world: World, tenants: Sequence[str]) -> None:
    """Tell telemetry how the tenants stand; the log is theirs together."""
    try:
        waited_us = await ledger.waiting_us(world.ledger, world.now_us())
        for tenant in tenants:
            in_doubt = await world.due.in_doubt(tenant)
            world.telemetry.stands(tenant, in_doubt=in_doubt, unsequenced_us=waited_us)
    except BailiwickError:
        return  # what is due is carried on whether or not it can be told how things stand
