"""The same for plain scripts: no async, one small bridge to an event loop in a thread.

with open_blocking("my-project") as bailiwick:
    desk = bailiwick.session("refund-desk", subject="support")
    print(desk.act("payments.refund", {"charge": "ch_1", "amount_minor": 4200}))
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from bailiwick.nouns import Grant, OfferedTool, Outcome
from bailiwick.nouns.reversals import Reversal
from bailiwick.runtime import Bailiwick, Session

T = TypeVar("T")


class BlockingSession:
    """A session whose calls block. It may be used from several threads.

    `session` is the one that it stands for, which belongs to the event loop `loop`.
    """

    def __init__(self, session: Session, loop: asyncio.AbstractEventLoop) -> None:
        self.session = session
        self.loop = loop

    def act(self, tool: str, arguments: bytes | str | Mapping[str, object], **told: Any) -> Outcome:
        """Propose an action and give its outcome; see `Session.act` for what may be told."""
        return _run(self.session.act(tool, arguments, **told), self.loop)

    def tools(self) -> Sequence[OfferedTool]:
        """The tools that a model may be told of; see `Session.tools`."""
        return _run(self.session.tools(), self.loop)

    def cancel(self, action: str) -> Outcome:
        """Take back a parked action; see `Session.cancel`."""
        return _run(self.session.cancel(action), self.loop)


class BlockingBailiwick:
    """An open project whose calls block."""

    def __init__(self, bailiwick: Bailiwick, loop: asyncio.AbstractEventLoop) -> None:
        self._bailiwick = bailiwick
        self._loop = loop

    def session(
        self,
        agent: str,
        *,
        subject: str,
        run: str | None = None,
        grants: Sequence[Grant] | None = None,
    ) -> BlockingSession:
        """Begin to act as an agent; see `Bailiwick.session`."""
        opened = self._bailiwick.session(agent, subject=subject, run=run, grants=grants)
        return BlockingSession(_run(opened, self._loop), self._loop)

    def undo_plan(self, target: str, **told: Any) -> Sequence[Reversal]:
        """How a run or an action would be undone; see `Bailiwick.undo_plan`."""
        return _run(self._bailiwick.undo_plan(target, **told), self._loop)

    def undo(self, target: str, *, subject: str, **told: Any) -> Sequence[Outcome | Reversal]:
        """Undo a run or an action on somebody's behalf; see `Bailiwick.undo`."""
        return _run(self._bailiwick.undo(target, subject=subject, **told), self._loop)

    def outcome(self, action: str) -> Outcome:
        """What became of an action so far."""
        return _run(self._bailiwick.outcome(action), self._loop)


@contextmanager
def open_blocking(project: str | Path) -> Iterator[BlockingBailiwick]:
    """Open a project's folder; keep house and answer commands in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="bailiwick", daemon=True)
    thread.start()
    try:
        opening = Bailiwick.open(project)
        bailiwick = _run(opening.__aenter__(), loop)
        try:
            yield BlockingBailiwick(bailiwick, loop)
        finally:
            _run(opening.__aexit__(None, None, None), loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
