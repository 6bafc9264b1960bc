"""The housekeeper's tick: what must happen without anybody asking.

It wakes what is due (intents whose owner is gone, parked actions that people decided on or that
ran out of time), erases payloads whose time is over, gives committed records their place in the
log, and tells people what they are to know. What is due is claimed with a lease, so any number of
processes may tick. It is not a scheduler: nothing is planned here.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import NamedTuple, TypeVar

from bailiwick import ledger
from bailiwick.act import act
from bailiwick.errors import BailiwickError, LedgerError
from bailiwick.housekeeping.delivering import deliver
from bailiwick.housekeeping.erasing import retain
from bailiwick.nouns import Wake
from bailiwick.ports import World

T = TypeVar("T")

_AT_ONCE = 16


class Tick(NamedTuple):
    """What one tick did: actions carried on, erased, records sequenced, and the faults it met."""

    woken: int
    sequenced: int
    faults: tuple[BaseException, ...]
    erased: int = 0


async def begin(world: World) -> None:
    """What comes before the first action of a process: is this still the tree that others know?

    If not, nothing is written until a person decides. Else the ledger says which keys are new or
    gone. Raises what the store and the log raise.
    """
    faults: list[LedgerError] = []
    for look in (ledger.look_back, partial(ledger.confer, anew=True)):
        try:
            await look(world)
        except LedgerError as error:
            faults.append(error)
    if not await ledger.held(world):
        await ledger.note_keys(world)
    if faults:
        raise faults[0]


async def tick(world: World, busy: set[str] | None = None, *, delivers: bool = True) -> Tick:
    """Carry on whatever is due now. A fault of one action or duty keeps no other waiting.

    With `delivers` people are told what is due as well, which may take as long as their servers.

    `busy` are the actions that other ticks of this process are still carrying on: a slow one may
    outlive its lease, and is not begun again. Raises what the store and the log raise.

    Other tenants of the database keep their own house: their actions want their credentials, and
    their people are told by them. The log is of all.
    """
    faults: list[BaseException] = []
    if world.telemetry.wants_standing():
        await _kept(faults, _measure(world))
    if await _kept(faults, ledger.look_back(world)) or await ledger.held(world):
        return Tick(0, 0, (ledger.is_held(),))
    woken = await _wake(world, set() if busy is None else busy, faults)
    erased = await _kept(faults, retain(world, world.settings.tenant)) or 0
    sequenced = await ledger.grow(world)
    for told in (ledger.publish, ledger.confer):  # nothing waits for tiles or for a witness
        await _kept(faults, told(world))
    if delivers:
        faults += await _kept(faults, deliver(world)) or ()
    return Tick(woken, sequenced, tuple(faults), erased)


async def _kept(faults: list[BaseException], duty: Awaitable[T]) -> T | None:
    """What a duty gives, or None: its fault is kept, and keeps no other duty waiting."""
    try:
        return await duty
    except (BailiwickError, OSError) as fault:
        faults.append(fault)
        return None


async def _wake(world: World, busy: set[str], faults: list[BaseException]) -> int:
    """Claim the actions that are due and carry them on, some at a time; say how many."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def wake(asked: Wake) -> None:
        try:
            async with gate:
                await act(world, asked)
        finally:
            busy.discard(asked.action)

    due: list[Wake] = []
    tenant = world.settings.tenant
    for claim in (world.due.stale_intents, world.due.decided_parks, world.due.expired_parks):
        claimed = await _kept(faults, claim(tenant, world.owner, busy)) or ()
        due += (Wake(tenant=tenant, action=id) for id in claimed)
    busy.update(asked.action for asked in due)
    results = await asyncio.gather(*map(wake, due), return_exceptions=True)
    faults += [result for result in results if result is not None]
    return len(due)


async def _measure(world: World) -> None:
    """Tell telemetry how the tenant stands; the log is all tenants' together."""
    tenant = world.settings.tenant
    waited_us = await ledger.waiting_us(world.ledger, world.now_us())
    in_doubt = await world.due.in_doubt(tenant)
    world.telemetry.stands(tenant, in_doubt=in_doubt, unsequenced_us=waited_us)
