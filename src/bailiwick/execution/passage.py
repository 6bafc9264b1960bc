"""One send's way past its fence: what the egress door and the MCP client share.

The fence is asked at the last moment there is. A passage is registered before that: whoever waits
for sends to begin (`EgressDoor.quiet`) must see every one that an old state may still let through.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import httpx2

from bailiwick.errors import ExecutionError
from bailiwick.ports import Lost, NotSent
from bailiwick.values import shown

Fencing = Callable[[], Awaitable[bool]]

_FIRST_BYTE = "http11.send_request_headers.started"
_BEGUN = frozenset({"http11.send_request_headers.complete", "http11.send_request_headers.failed"})
_NOTHING_LEFT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)


class Passage:
    """One send's way past its fence; `begun` says that its first byte may have left.

    `over` says that nobody waits for it any more: then it may not begin either. `again` lets it
    pass once more, where the other side has answered that it wants the same call continued.
    """

    __slots__ = ("_fence", "_once_more", "_passing", "_waiting", "begun", "over")

    def __init__(self, passing: set["Passage"], fence: Fencing) -> None:
        self._passing = passing
        self._fence = fence
        self._waiting: list[asyncio.Future[None]] = []
        self._once_more = False
        self.begun = False
        self.over = False

    def again(self) -> None:
        """Let the call be continued: one send more may pass, if the fence is still open."""
        self._once_more = True

    async def still_open(self) -> bool:
        """Whether a send could pass now, for what goes out for a call that is under way."""
        return not self.over and await self._fence()

    async def through(self) -> None:
        """Ask the fence; raise `NotSent` with the code `fenced` if it is shut.

        A continuation raises `Lost`: what the sends before it did is not known.
        """
        self._passing.add(self)
        if not await self._fence():
            self.settle()
            if self.begun:
                raise Lost("stopped", "a stop came before the call could be continued")
            raise NotSent("fenced", "the fence was shut before the first byte")
        if self._once_more and not self.over:
            self._once_more = False
            return
        if self.over or self.begun:
            self.settle()
            if self.begun:
                raise Lost("answer_lost", "it was about to be sent a second time")
            raise NotSent("abandoned", "it was given up before the first byte")
        self.begun = True

    async def watch(self, event: str, _: object) -> None:
        """Follow the transport's trace of one request."""
        if event == _FIRST_BYTE:
            await self.through()
        elif event in _BEGUN:
            self.settle()

    def settle(self) -> None:
        """Whoever waits for this send to begin need not wait any longer."""
        self._passing.discard(self)
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    def settled(self) -> asyncio.Future[None]:
        """Give what is done once the send has begun or died."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return waiting

    def must_have_begun(self) -> None:
        """Raise `ExecutionError` if the transport never announced the first byte to the fence."""
        if not self.begun:
            raise ExecutionError(
                "a request left without asking the fence",
                code="egress_unfenced",
                help="this version of the HTTP library may not be used",
            )

    def failed(self, error: Exception) -> NoReturn:
        """Say what an error of the transport means for the effect."""
        detail = shown(str(error))
        what = f"`{type(error).__name__}`" + (f": {detail}" if detail else "")
        if not self.begun and isinstance(error, (*_NOTHING_LEFT, TimeoutError)):
            raise NotSent("provider_unreachable", f"the request did not leave: {what}") from error
        raise Lost("answer_lost", f"the request may have arrived: {what}") from error
