"""What is due to people is delivered: reminders and other notices are sent, requests escalated.

A notice is claimed with a lease, tried, and moved on by a compare-and-swap: it is sent at least
once, and a request is escalated exactly once, whatever dies in between. A receiver that does not
answer is tried again after a while, twelve times in some eight hours; then it is given up, which
`bailiwick doctor` tells.
"""

import asyncio

from msgspec.structs import replace

from bailiwick import announcing, ledger
from bailiwick.nouns.notices import Notice
from bailiwick.ports import World
from bailiwick.transactions import Commit, EpochIs, Escalate, MoveNotice, Op, RaiseEpoch
from bailiwick.wiring import on_demand

_ATTEMPTS = 12
_FIRST_PAUSE_US, _LONGEST_PAUSE_US = 5_000_000, 3_600_000_000
_TRIES = 5


async def deliver(world: World) -> list[BaseException]:
    """Deliver what is due now; give the faults. No notice keeps another waiting."""
    due = await world.outbox.due(world.settings.tenant, world.owner)
    carried = (_carry(world, each) for each in due)
    results = await asyncio.gather(*carried, return_exceptions=True)
    return [result for result in results if result is not None]


async def _carry(world: World, notice: Notice) -> None:
    now_us = await world.store.now_us()
    tried = replace(notice, attempts=notice.attempts + 1)
    if notice.event != "decided" and not await _is_asked(world, notice):
        moved = replace(tried, state="dropped")
    elif notice.event == "escalation":
        await _escalate(world, replace(tried, state="sent"), now_us)
        return
    else:
        said = await on_demand("notify")(world, notice)
        pause_us = min(_FIRST_PAUSE_US << notice.attempts, _LONGEST_PAUSE_US)
        given_up = tried.attempts >= _ATTEMPTS
        moved = replace(tried, state="sent", said="")
        if said:
            state = "failed" if given_up else "waiting"
            moved = replace(tried, state=state, said=said, due_at_us=now_us + pause_us)
    await world.store.commit(Commit(tenant=notice.tenant, ops=(MoveNotice(notice=moved),)))


async def _is_asked(world: World, notice: Notice) -> bool:
    """Whether people are still asked what the notice is about."""
    asked = await world.shelf.approval(notice.tenant, notice.action)
    if asked is None or asked.request_digest != notice.request_digest:
        return False
    return asked.state == "open" and await world.store.now_us() < asked.expires_at_us


async def _escalate(world: World, notice: Notice, now_us: int) -> None:
    """Let another queue vote as well: a control change by nobody, with its record, once."""
    tenant = notice.tenant
    asked = await world.shelf.approval(tenant, notice.action)
    action = await world.store.action(tenant, notice.action)
    if asked is None or action is None:
        return
    wider = Escalate(
        action=notice.action,
        request_digest=notice.request_digest,
        queue=notice.queue,
        to=notice.escalate_to,
    )
    told = announcing.escalated(world.settings, action, asked, notice, now_us)
    for _ in range(_TRIES):
        epoch = await world.store.epoch(tenant)
        ops: tuple[Op, ...] = (
            EpochIs(epoch=epoch),
            RaiseEpoch(),
            wider,
            MoveNotice(notice=notice),
            *told,
            ledger.escalated(tenant, notice, epoch=epoch + 1, at_us=now_us),
        )
        done = await world.store.commit(Commit(tenant=tenant, ops=ops))
        if getattr(done, "code", "") != "epoch_moved":
            return  # it is done, or decided by now, or another process did it
