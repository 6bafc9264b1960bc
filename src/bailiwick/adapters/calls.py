"""What the adapters share: a framework's tool call as an action, and its outcome as an answer.

A framework may make one call again and again: it retries, replays, resumes, or starts anew after
its process was killed. All of them carry one key, so that they are one action with one outcome.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import msgspec

from bailiwick.blocking import BlockingSession
from bailiwick.errors import BadInput, ConfigError
from bailiwick.nouns import OfferedTool, Outcome
from bailiwick.runtime import Session
from bailiwick.values import JSON, digest

T = TypeVar("T")

AnySession = Session | BlockingSession
# A resumed call waits so long for what people have just approved to be carried out.
WAIT_S = 5.0
_FIRST_LOOK_S, _LONGEST_S = 0.02, 0.5
_NOES = frozenset({"refused", "denied", "failed"})
_UNKNOWN = "nobody knows yet whether it was done; do not try it in another way"


class Calls:
    """The tool calls of a session's model, under wire names and keys.

    With a blocking session they may be made from any thread and any event loop.
    """

    def __init__(self, session: AnySession, *, wait_s: float = WAIT_S) -> None:
        """`wait_s` is how long a resumed call waits for an action that has not ended yet."""
        self._loop = session.loop if isinstance(session, BlockingSession) else None
        self._session = session.session if isinstance(session, BlockingSession) else session
        self._wait_s = wait_s

    @property
    def run(self) -> str:
        """The session's run."""
        return self._session.run

    async def tools(self) -> Mapping[str, OfferedTool]:
        """The session's tools by their wire names."""
        return await self._here(self._tools())

    async def act(
        self,
        name: str,
        arguments: str | Mapping[str, object],
        key: str | None,
        *,
        again: bool = False,
    ) -> Outcome:
        """Make a call; one made `again` waits for the action's end, within bounds.

        `name` is a wire name or a catalogue's; input that is no proposal is a refusal. Without a
        key an equal call of the run is the same one, for a while. Raises as `Session.act` does
        otherwise.
        """
        return await self._here(self._act(name, arguments, key, again))

    async def cancel(self, action: str) -> Outcome:
        """Take back a parked action; see `Session.cancel`."""
        return await self._here(self._session.cancel(action))

    def blocking(self, call: Coroutine[Any, Any, T]) -> T:
        """Make one of the calls above from a thread without an event loop.

        Raises `ConfigError` (`session_not_blocking`) for a session that belongs to the caller's
        own event loop, which would wait for itself.
        """
        if self._loop is None:
            call.close()
            raise ConfigError(
                "the framework runs its tools without an event loop, the session needs one",
                code="session_not_blocking",
                help="run the agent asynchronously, or open the project with `open_blocking`",
            )
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    async def _here(self, call: Coroutine[Any, Any, T]) -> T:
        """Wait for a call where the session lives, which may be the loop of another thread."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await call
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))

    async def _tools(self) -> Mapping[str, OfferedTool]:
        return {tool.wire_name: tool for tool in await self._session.tools()}

    async def _act(
        self, name: str, arguments: str | Mapping[str, object], key: str | None, again: bool
    ) -> Outcome:
        offered = (await self._tools()).get(name)
        tool = offered.name if offered else name
        try:
            outcome = await self._session.act(tool, arguments, key=key)
        except BadInput as error:
            return Outcome(
                action="",
                status="refused",
                code=error.code,
                message=error.message,
                help=error.help,
                step=1,
            )
        # An action that is in flight ends by itself; people are waited for only when asked again.
        loop, pause_s = asyncio.get_running_loop(), _FIRST_LOOK_S
        until = loop.time() + self._wait_s
        while waits(outcome) and (again or outcome.status == "running") and loop.time() < until:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_S)
            outcome = await self._session.act(tool, arguments, key=key)
        return outcome


def key_of(conversation: str, call: str, nth: int = 0) -> str:
    """The key of one intended call: its id in its conversation.

    `nth` counts the earlier calls of that id there: some providers begin anew with each answer.
    """
    return f"call:{digest([conversation, call, nth])}"


def waits(outcome: Outcome) -> bool:
    """Whether the action has not ended: it waits for people, or is being looked up."""
    return outcome.status in ("parked", "running")


def is_no(outcome: Outcome) -> bool:
    """Whether the action certainly did nothing."""
    return outcome.status in _NOES


def told(outcome: Outcome) -> dict[str, JSON]:
    """What a model is told of an outcome: how it ended, and what to do about a no.

    The details, which name rules and limits, are for people and stay out.
    """
    said: dict[str, JSON] = {"status": outcome.status}
    if outcome.status == "done":
        said |= {"verdict": outcome.verdict, "result": outcome.result}
    if outcome.status == "unknown":
        said["help"] = _UNKNOWN
    for name in ("code", "message", "help", "retry_after_s", "action"):
        if value := getattr(outcome, name):
            said[name] = value
    return said


def text(outcome: Outcome) -> str:
    """The same as JSON text."""
    return msgspec.json.encode(told(outcome)).decode()
