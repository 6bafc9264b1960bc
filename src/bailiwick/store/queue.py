"""What writers and readers share: callers wait in a queue, and those there together are a batch."""

import asyncio
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

W = TypeVar("W")


class Member(Generic[W]):
    """One caller's part of a batch: its work, and the answer or fault with where it goes."""

    __slots__ = ("answer", "error", "future", "work")

    def __init__(self, work: W, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.answer: Any = None
        self.error: BaseException | None = None


class BatchQueue(Generic[W]):
    """The members that wait, and the one task that carries batches out, one after the other.

    A writer or a reader is one of these, rather than holding one: a call less for each member.
    """

    def __init__(self, limit: int, gap_ms: float = 0.0) -> None:
        """A batch has at most `limit` members; after each there is a pause if others wait."""
        self._limit = limit
        self._gap_ms = gap_ms
        self._waiting: list[Member[W]] = []
        self._pump: asyncio.Task[None] | None = None

    def submit(self, work: W) -> asyncio.Future[Any]:
        """Have `work` done in the next batch; what is written is durable when this has a result.

        Its exception is `StoreUnavailable` when nothing was written, or what else serving says.
        """
        loop = asyncio.get_running_loop()
        member: Member[W] = Member(work, loop.create_future())
        self._waiting.append(member)
        if self._pump is None or self._pump.done():
            self._pump = loop.create_task(self._drain())
        return member.future

    async def _drained(self) -> None:
        """Everything submitted is answered. Of a fault its callers were told, not who closes."""
        if self._pump is not None:
            await asyncio.gather(self._pump, return_exceptions=True)

    async def _drain(self) -> None:
        while self._waiting:
            members = self._waiting[: self._limit]
            del self._waiting[: len(members)]
            try:
                await self._serve(members)
            except BaseException as fault:
                # A fault of the queue itself: nobody may wait for ever for an answer.
                everybody = (*members, *self._waiting)
                self._waiting.clear()
                for member in everybody:
                    member.error = fault
                answer(everybody)
                raise
            if self._waiting and self._gap_ms:
                # Other processes (an operator's kill) get their turn at the file in this gap.
                await asyncio.sleep(self._gap_ms / 1000)

    async def _serve(self, members: list[Member[W]]) -> None:
        """Carry a batch out and answer its members; a fault that leaves this is everybody's."""
        raise NotImplementedError


def answer(members: Sequence[Member[Any]]) -> None:
    """Give every caller what became of its part."""
    for member in members:
        if member.future.done():
            continue  # its caller was cancelled; what was written stays written
        if member.error is not None:
            member.future.set_exception(member.error)
        else:
            member.future.set_result(member.answer)
