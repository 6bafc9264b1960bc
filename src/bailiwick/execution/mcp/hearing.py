"""What a server says, and what it asks, while it carries out a call.

Whoever listens is set around `act` (`ports.LISTENER`). What he is told is bounded in size and
number, in the order in which it came, and never waited for: a listener that is slow misses some of
it, one that fails hears no more. A question is put to him only where the upstream's file allows
that kind, and his answer goes out only past the call's fence: after a stop it would let an effect
go on. Where nobody listens the question is declined and the call goes on.
"""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bailiwick.errors import BadInput
from bailiwick.execution.mcp.abilities import Abilities, abilities, as_capabilities
from bailiwick.nouns import Asking
from bailiwick.ports import LISTENER, Listener
from bailiwick.values import JSON, parse, shown

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
KINDS: Mapping[str, Asking] = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}
_MOST_TOLD = 1000
_MOST_WAITING = 100
_MOST_QUESTIONS = 20
_MOST_WORDS = 1000
_MOST_DATA_BYTES = 8 * 1024
_MOST_QUESTION_BYTES = 64 * 1024
_DRAIN_SECONDS = 1.0


class Hearing:
    """One call's listener, if there is one, and how much he was told, asked and not told."""

    def __init__(self, listener: Listener | None, may_ask: tuple[Asking, ...]) -> None:
        self.listener = listener
        self._may_ask = may_ask
        self._caller = contextvars.copy_context()
        # Made when it begins to tell: most calls have no listener.
        self._queue: asyncio.Queue[Callable[[], Awaitable[None]]]
        self._asking: set[asyncio.Task[Any]] = set()
        self._told = self._left_out = self._questions = 0

    @property
    def level(self) -> str:
        """The least severe level of log messages that is heard; empty for none."""
        return "" if self.listener is None else self.listener.level

    @property
    def able(self) -> Abilities:
        """What can be asked of who listens: what the upstream's file allows and he can answer."""
        able = abilities(self.listener.able) if self.listener is not None else {}
        return {kind: forms for kind, forms in able.items() if kind in self._may_ask}

    def lacks(self, required: Abilities) -> None:
        """Tell what the server refused for want of, where the file would let it ask."""
        able = self.able
        lacking: Abilities = {
            kind: forms
            for kind, forms in required.items()
            if kind in self._may_ask and (kind not in able or not forms <= able[kind])
        }
        if self.listener is not None and lacking:
            self.listener.lacks(as_capabilities(lacking))

    @property
    def account(self) -> dict[str, JSON]:
        """What is kept of it with the action's result: numbers, no texts."""
        counts = {"told": self._told, "left_out": self._left_out, "questions": self._questions}
        return {name: count for name, count in counts.items() if count}

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Tell of progress, soon or never."""
        if (to := self.listener) is not None:
            words = shown(message or "", _MOST_WORDS)
            self._tell(lambda: to.progress(progress, total, words))

    def log(self, level: str, logger: str, data: object) -> None:
        """Tell of a log message, likewise."""
        to = self.listener
        if to is None or not to.level or LEVELS.index(level) < LEVELS.index(to.level):
            return
        said: JSON
        try:
            said = parse({"data": data}, max_bytes=_MOST_DATA_BYTES)["data"]
        except BadInput as error:
            said = f"(left out: {error.code})"
        self._tell(lambda: to.log(level, shown(logger, _MOST_WORDS), said))

    def polls(self) -> None:
        """Tell that the server has its client come back for the answer."""
        if (to := self.listener) is not None:
            self._tell(to.polls)

    def may_ask(self, method: str) -> bool:
        """Whether the upstream's file allows this kind of question."""
        return KINDS.get(method) in self._may_ask

    async def asked(
        self, method: str, params: Mapping[str, Any], name: str = ""
    ) -> Mapping[str, JSON] | None:
        """The listener's answer to a question; None if it is declined."""
        self._questions += 1
        to = self.listener
        if to is None or not self.may_ask(method) or self._questions > _MOST_QUESTIONS:
            return None
        try:
            question = parse(params, max_bytes=_MOST_QUESTION_BYTES)
        except BadInput:
            return None
        asking = asyncio.create_task(_of(to.asked(method, question, name)), context=self._caller)
        self._asking.add(asking)
        await asyncio.wait((asking,))
        self._asking.discard(asking)
        return None if asking.cancelled() or asking.exception() else asking.result()

    def _tell(self, telling: Callable[[], Awaitable[None]]) -> None:
        if self._told >= _MOST_TOLD or self._queue.full():
            self._left_out += 1
            return
        self._told += 1
        self._queue.put_nowait(telling)

    async def _pump(self) -> None:
        while True:
            telling = await self._queue.get()
            await telling()
            self._queue.task_done()

    async def drained(self, pumping: "asyncio.Task[None]") -> None:
        """Wait a while until what was said before the answer has been told."""
        told = asyncio.create_task(self._queue.join())
        try:
            either = (told, pumping)
            await asyncio.wait(either, timeout=_DRAIN_SECONDS, return_when="FIRST_COMPLETED")
        finally:
            told.cancel()

    def begin(self) -> "asyncio.Task[None]":
        """Begin to tell the listener, as his own code: in the context of his call."""
        self._queue = asyncio.Queue(_MOST_WAITING)
        return asyncio.create_task(self._pump(), context=self._caller)

    def end(self) -> None:
        """Nobody listens any more."""
        self.listener = None
        for asking in self._asking:
            asking.cancel()


@asynccontextmanager
async def heard(may_ask: tuple[Asking, ...]) -> AsyncIterator[Hearing]:
    """Let who listens to this call hear, until the block ends."""
    hearing = Hearing(LISTENER.get(), may_ask)
    if hearing.listener is None:
        yield hearing
        return
    pumping = hearing.begin()
    pumping.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        yield hearing
        await hearing.drained(pumping)
    finally:
        hearing.end()
        pumping.cancel()


async def _of(answer: Awaitable[Mapping[str, JSON] | None]) -> Mapping[str, JSON] | None:
    return await answer
