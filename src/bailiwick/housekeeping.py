"""The housekeeper's tick: what must happen without anybody asking.

It wakes what is due (intents whose owner is gone, parked actions that people decided on or that
ran out of time) and gives committed records their place in the log. Due rows are claimed with a
lease, so any number of processes may tick. It is not a scheduler: nothing is planned here.
"""

import asyncio
from typing import NamedTuple

from bailiwick import ledger
from bailiwick.act import act
from bailiwick.errors import BailiwickError
from bailiwick.nouns import Wake
from bailiwick.ports import World

_AT_ONCE = 16


class Tick(NamedTuple):
    """What one tick did: actions carried on, records sequenced, and the faults it met."""

    woken: int
    sequenced: int
    faults: tuple[BailiwickError, ...]


async def tick(world: World) -> Tick:
    """Carry on whatever is due now. A fault of one action does not keep the others waiting."""
    woken, faults = 0, []
    gate = asyncio.Semaphore(_AT_ONCE)

    async def wake(asked: Wake) -> BailiwickError | None:
        async with gate:
            try:
                await act(world, asked)
            except BailiwickError as fault:
                return fault
            return None

    for tenant in await world.due.tenants():
        due: list[str] = []
        for claim in (world.due.stale_intents, world.due.decided_parks, world.due.expired_parks):
            due += await claim(tenant, world.owner)
        results = await asyncio.gather(*(wake(Wake(tenant=tenant, action=id)) for id in due))
        woken += len(due)
        faults += [fault for fault in results if fault is not None]
    sequenced = await ledger.sequence(world.ledger, world.keys)
    return Tick(woken, sequenced, tuple(faults))
