"""A task for each upstream: calls wait in its queue, and its end is nobody's but its own.

A caller waits for a future, at most its own time. Whatever happens to the upstream (refused,
killed, hung, a client library that cancels tasks) becomes `NotSent` or `Lost` on that future, by
whether the call's first byte may have left. After a failed start the next one waits: twice as long
each time, with jitter, five seconds at most. An upstream idle for five minutes is ended.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from bailiwick.execution.mcp.definitions import Offer, confusable
from bailiwick.execution.mcp.hearing import Hearing, heard
from bailiwick.execution.mcp.linking import Link
from bailiwick.execution.mcp.listing import LISTS
from bailiwick.execution.mcp.wire import CURRENT, Delivery
from bailiwick.execution.passage import Passage
from bailiwick.execution.tls import context_for
from bailiwick.nouns import McpUpstream, ToolAnswer, ToolCall
from bailiwick.ports import LISTENER, Lost, NotSent
from bailiwick.values import JSON

_OPEN_SECONDS = 60.0
_IDLE_SECONDS = 300.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_WAITING = 256

_Key = tuple[McpUpstream, str, str]


class Upstreams:
    """The MCP servers of a project, each started when the first of its tools is called."""

    def __init__(self, folder: Path) -> None:
        """Commands run in `folder`. It belongs to the event loop that uses it first."""
        self._folder = folder
        self._running: dict[_Key, Supervisor] = {}
        # How often what is listed changed: what was compared before is compared again then.
        self.listings = 0

    async def ask(self, call: ToolCall, passage: Passage) -> ToolAnswer:
        """Make a call once, or give what is listed. Raises `NotSent` or `Lost`.

        Codes beside the transport's: upstream_busy, definitions_unread, definition_missing,
        definition_changed, definition_shadowed, definition_look_alike.
        """
        # A process is started with its secret, so that another secret is another process.
        key = (call.upstream, call.credential, "" if call.upstream.url else call.secret)
        supervisor = self._running.get(key)
        if supervisor is None or supervisor.ended:
            tls = context_for(call.upstream.url or "")
            supervisor = self._running[key] = Supervisor(self, key, self._folder, tls)
            self.listings += 1
        if LISTENER.get() is None:
            hearing = Hearing(None, call.upstream.may_ask)
            answer = await supervisor.ask(Delivery(call, passage, hearing))
        else:
            async with heard(call.upstream.may_ask) as hearing:
                answer = await supervisor.ask(Delivery(call, passage, hearing))
        account = hearing.account
        return msgspec.structs.replace(answer, heard=account) if account else answer

    def offers(self) -> dict[str, Offer]:
        """What every upstream that runs was last seen to list, by the upstream's name."""
        return {
            supervisor.name: supervisor.offer
            for supervisor in self._running.values()
            if supervisor.offer is not None
        }

    def forget(self, key: _Key) -> None:
        """An upstream has been idle and ends."""
        self._running.pop(key, None)
        self.listings += 1

    async def close(self) -> None:
        """End every upstream. Calls under way are lost."""
        await asyncio.gather(*(each.close() for each in self._running.values()))
        self._running.clear()


class Supervisor:
    """One upstream under one credential: its queue, its session, its restarts."""

    def __init__(self, owner: Upstreams, key: _Key, folder: Path, tls: ssl.SSLContext) -> None:
        self.name = key[0].name
        self.offer: Offer | None = None
        self._owner = owner
        self._key = key
        self._folder = folder
        self._tls = tls
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._carrying: set[asyncio.Task[ToolAnswer]] = set()
        self._link: Link | None = None
        self._used_s = time.monotonic()
        self._distinct: dict[tuple[str, tuple[str, ...]], int] = {}
        self._failures = 0
        self._task = asyncio.create_task(self._supervise())

    async def ask(self, delivery: Delivery) -> ToolAnswer:
        """Wait for a call's answer. Raises `NotSent` or `Lost`."""
        if self._queue.qsize() + len(self._carrying) >= _WAITING:
            raise NotSent("upstream_busy", "too many calls wait for this upstream")
        waiting = _Waiting(delivery)
        if (link := self._free_link()) is not None:
            self._begin(waiting, link)
        else:
            self._queue.put_nowait(waiting)
        try:
            async with asyncio.timeout(delivery.call.timeout_s):
                return await waiting.answer
        except TimeoutError:
            raise delivery.gave_up(
                "answer_lost" if delivery.passage.begun else "provider_unreachable",
                "the upstream did not answer in time",
            ) from None
        finally:
            delivery.passage.over = True
            waiting.answer.cancel()
            if waiting.task is not None:
                waiting.task.cancel()

    @property
    def ended(self) -> bool:
        """Whether nobody takes calls from the queue any more."""
        return self._task.done()

    async def close(self) -> None:
        """End the supervisor, its calls and its session."""
        self._task.cancel()
        for task in self._carrying:
            task.cancel()
        await asyncio.wait((self._task, *self._carrying))
        while not self._queue.empty():
            self._queue.get_nowait().fail(_closed())
        if self._link is not None:
            await self._link.end()

    def _free_link(self) -> Link | None:
        """The session, if it is open and no call has to wait for another: none need queue then."""
        link = self._link
        if link is None or link.gone or self._task.cancelling() or not self._queue.empty():
            return None
        return None if self._key[0].calls_at_once else link

    def _begin(self, waiting: "_Waiting", link: Link) -> None:
        self._used_s = time.monotonic()
        waiting.task = asyncio.create_task(self._carry(link, waiting.delivery))
        self._carrying.add(waiting.task)
        waiting.task.add_done_callback(self._carrying.discard)
        waiting.task.add_done_callback(partial(_hand_over, waiting))

    async def _supervise(self) -> None:
        most = self._key[0].calls_at_once
        while True:
            while 0 < most <= len(self._carrying):
                await asyncio.wait(self._carrying, return_when="FIRST_COMPLETED")
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    waiting = await self._queue.get()
            except TimeoutError:
                idle_s = time.monotonic() - self._used_s
                if self._carrying or not self._queue.empty() or idle_s < _IDLE_SECONDS:
                    continue
                break
            if waiting.answer.done():
                continue
            try:
                link = await self._linked(waiting.delivery)
            except NotSent as error:
                # Nothing of what waits has been sent either.
                waiting.fail(error)
                while not self._queue.empty():
                    self._queue.get_nowait().fail(error)
                continue
            except BaseException:
                # It is not in the queue any more, where `close` would find it.
                waiting.fail(_closed())
                raise
            self._begin(waiting, link)
        self._owner.forget(self._key)
        if self._link is not None:
            await self._link.end()

    async def _linked(self, delivery: Delivery) -> Link:
        """Give an open session, a new one if the old one is gone. Raises `NotSent`."""
        if self._link is not None:
            if not self._link.gone:
                return self._link
            await self._link.end()
            self._link = None
        if self._failures:
            most_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (self._failures - 1))
            await asyncio.sleep(most_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        link = Link(delivery, self._folder, self._tls)
        self._failures += 1
        try:
            await link.open(_OPEN_SECONDS)
        except asyncio.CancelledError:
            await link.end()
            raise
        self._failures = 0
        self._link = link
        return link

    async def _carry(self, link: Link, delivery: Delivery) -> ToolAnswer:
        CURRENT.set(delivery)
        call = delivery.call
        if call.method in LISTS:
            return ToolAnswer(value=await link.listed(call.method))
        if call.method == "resources/subscribe":
            uris = call.arguments["uris"]
            assert isinstance(uris, list)
            return ToolAnswer(value=await link.updates(map(str, uris)))
        if call.method == "tools/call":
            await self._hold(link, call)
        return await link.ask(delivery)

    async def _hold(self, link: Link, call: ToolCall) -> None:
        """Raise `NotSent` unless the tool is the one that was accepted."""
        offer = await link.offer()
        if offer is not self.offer:
            self.offer = offer
            self._owner.listings += 1
        live = offer.digests.get(call.tool)
        if live is None:
            listed = call.tool in offer.definitions
            reason = "is not plain JSON or too large" if listed else "is not offered any more"
            raise _held("definition_missing", call, reason)
        compared = (call.tool, call.beside)
        if self._distinct.get(compared) != self._owner.listings:
            for code, other in confusable(self.name, call.tool, self._owner.offers(), call.beside):
                raise _held(code, call, f"can be taken for `{other}`")
            self._distinct[compared] = self._owner.listings
        if live != call.pin:
            raise _held("definition_changed", call, "is not the one that was accepted")


class _Waiting:
    """A call in the queue: its delivery, its caller's future, and the task that carries it."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.answer: asyncio.Future[ToolAnswer] = asyncio.get_running_loop().create_future()
        # A caller that has gone away does not look at it.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        self.task: asyncio.Task[ToolAnswer] | None = None

    def fail(self, error: NotSent | Lost) -> None:
        """Tell the caller, if it still waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


def _hand_over(waiting: _Waiting, task: asyncio.Task[ToolAnswer]) -> None:
    """Give a call's caller what its task came to, whatever that is."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, (NotSent, Lost)):
        waiting.fail(error)
    elif task.cancelled() or error is not None:
        kind = "cancelled" if error is None else f"failed: `{type(error).__name__}`"
        waiting.fail(waiting.delivery.gave_up("answer_lost", f"the call {kind}"))
    elif not waiting.answer.done():
        waiting.answer.set_result(task.result())


def _closed() -> NotSent:
    return NotSent("provider_unreachable", "the upstream is closed")


def _held(code: str, call: ToolCall, reason: str) -> NotSent:
    return NotSent(
        code,
        f"the definition of `{call.upstream.name}/{call.tool}` {reason}:"
        " look with `bailiwick tools list`",
    )


async def definitions_of(call: ToolCall, folder: Path) -> Offer:
    """Start or reach an upstream, and give what it lists, beside its tools too.

    Nothing is called: of `call`, only the upstream, the secret and the timeout count. Raises
    `NotSent`, with what its process said last on standard error, safe to show.
    """
    delivery = Delivery(call, Passage(set(), _never))
    link = Link(delivery, folder, context_for(call.upstream.url or ""))
    CURRENT.set(delivery)
    try:
        await link.open(call.timeout_s)
        async with asyncio.timeout(call.timeout_s):
            offer = await link.offer()
            offer.beside = await _beside(link)
            return offer
    except (NotSent, TimeoutError) as error:
        late = ("definitions_unread", "the upstream did not list its tools in time")
        code, message = error.args[:2] if isinstance(error, NotSent) else late
        said = f"; it said `{link.last_words}`" if link.last_words else ""
        raise NotSent(code, f"{message}{said}") from error
    finally:
        await link.end()


async def _beside(link: Link) -> dict[str, Mapping[str, JSON]]:
    """What it lists beside tools; whatever is wrong with that is no reason to hold its tools."""
    found: dict[str, Mapping[str, JSON]] = {}
    for method in LISTS.keys() - {"tools/list"}:
        with suppress(NotSent):
            found[method] = await link.listed(method)
    return found


async def _never() -> bool:
    return False
