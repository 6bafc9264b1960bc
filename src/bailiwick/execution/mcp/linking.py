"""One session with an MCP server, in a task of its own, and one call in it.

The official client may cancel the task that holds a session when its server dies; that task is this
one and nobody else's. It offers a server nothing but what its file allows (sampling, elicitation,
roots), repeats no call, and hands out no list that is more than ten seconds old.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import httpx2
import mcp_types
from mcp import Client, MCPError
from mcp.client._transport import TransportStreams
from mcp.client.session import IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from bailiwick.execution.mcp.abilities import required
from bailiwick.execution.mcp.definitions import Offer
from bailiwick.execution.mcp.listing import LISTS, all_pages, readable
from bailiwick.execution.mcp.messages import RESULT, answer_of, asks_for_input, request_of
from bailiwick.execution.mcp.pipes import Pipes, started
from bailiwick.execution.mcp.questions import MOST_ROUNDS, Questions, continuing
from bailiwick.execution.mcp.updates import Updates
from bailiwick.execution.mcp.wire import (
    CURRENT,
    MAX_LISTING_BYTES,
    Delivery,
    FencedTransport,
    Truthful,
)
from bailiwick.nouns import ToolAnswer
from bailiwick.ports import Lost, NotSent
from bailiwick.values import JSON, shown

if TYPE_CHECKING:
    from bailiwick.execution.mcp.posting import Posts

# The client logs what it could not read: it would quote an answer on the terminal.
_TALKATIVE = ("mcp.client", "client", "mcp.shared.jsonrpc_dispatcher")
_LISTING_HOLDS_S = 10.0
_MODES = {"auto": "auto", "2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
_ENDED = (mcp_types.CONNECTION_CLOSED, mcp_types.REQUEST_TIMEOUT)
# What a server that says that a list of it changed has made old.
_CHANGED: Mapping[type, tuple[str, ...]] = {
    mcp_types.ToolListChangedNotification: ("tools/list",),
    mcp_types.ResourceListChangedNotification: ("resources/list", "resources/templates/list"),
    mcp_types.PromptListChangedNotification: ("prompts/list",),
}

for _name in _TALKATIVE:
    logging.getLogger(_name).propagate = False
    logging.getLogger(_name).addHandler(logging.NullHandler())


class Link:
    """A session: opened once, ended once; `task` holds it, and its end is the session's."""

    def __init__(self, delivery: Delivery, folder: Path, tls: ssl.SSLContext) -> None:
        """Open a session for the call that needs it, under that call's secret."""
        self._upstream = delivery.call.upstream
        self._folder = folder
        self._tls = tls
        self._client: Client | None = None
        self._pipes: Pipes | None = None
        self._http: FencedTransport | None = None
        self._posts: Posts | None = None
        self._offer: Offer | None = None
        self._leave = asyncio.Event()
        self._under_way: set[Delivery] = set()
        self._listing = asyncio.Lock()
        self._lists: dict[str, tuple[float, Any]] = {}
        self._updates = Updates()
        self.opened = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._live(delivery))
        # Nobody awaits it: how it ended is told by `failure`.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def open(self, timeout_s: float) -> None:
        """Wait until the session is open. Raises `NotSent`; the link is ended then."""
        either = (self.task, self.opened)
        await asyncio.wait(either, timeout=timeout_s, return_when="FIRST_COMPLETED")
        if not self.opened.done():
            reason = self.failure
            await self.end()
            raise NotSent("provider_unreachable", f"the upstream cannot be reached: {reason}")

    async def end(self) -> None:
        """End the session, and the process if there is one, in a bounded time."""
        self._leave.set()
        if not self.opened.done():
            self.task.cancel()
        _, late = await asyncio.wait((self.task,), timeout=10.0)
        for task in late:
            task.cancel()
        self.opened.cancel()

    @property
    def failure(self) -> str:
        """How the session ended, or why it is not open, in words without its data."""
        known = self._http.failure if self._http else self._pipes.failure if self._pipes else None
        if known is not None:
            return str(known.args[1])
        error = None
        if self.task.done() and not self.task.cancelled():
            error = self.task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, MCPError):
            return f"`{shown(error.message)}`"
        if isinstance(error, OSError):
            return f"its command cannot be started: {error.strerror}"
        return f"`{type(error).__name__}`" if error else "it did not answer in time"

    @property
    def last_words(self) -> str:
        """The last of what its process said on standard error, safe to show."""
        said = b"".join(self._pipes.last_words) if self._pipes else b""
        return shown(said.decode("utf-8", "replace"), 4000)

    async def offer(self) -> Offer:
        """Give the tools that the server lists now, at most ten seconds ago. Raises `NotSent`."""
        offer: Offer = await self._list("tools/list", Offer)
        self._offer = offer
        return offer

    async def listed(self, method: str) -> dict[str, JSON]:
        """Give what else it lists, likewise: `entries`, and how many were `left_out`."""
        by = LISTS[method][1]
        given: dict[str, JSON] = await self._list(method, lambda listed: readable(listed, by))
        return given

    async def updates(self, uris: Iterable[str]) -> dict[str, JSON]:
        """Say how often each of its resources has changed in this `session`."""
        assert self._client is not None
        counts = await self._updates.of(self._client, uris)
        return {"session": self._updates.session, "counts": counts}

    async def ask(self, delivery: Delivery) -> ToolAnswer:
        """Make the call. Raises `NotSent`, or `Lost` once its first byte may have left."""
        self._under_way.add(delivery)
        try:
            more: Mapping[str, Any] = {}
            for turn in range(MOST_ROUNDS + 1):
                result = await self._send(delivery, more)
                if isinstance(result, ToolAnswer):
                    return result
                if not asks_for_input(result):
                    return answer_of(delivery.call, result, delivery.status)
                if turn < MOST_ROUNDS:
                    more = await continuing(delivery, result, turn)
                    delivery.passage.again()
            raise delivery.gave_up("input_required", "the upstream asks for more and more input")
        finally:
            self._under_way.discard(delivery)

    async def _send(
        self, delivery: Delivery, more: Mapping[str, Any]
    ) -> Mapping[str, Any] | ToolAnswer:
        """Send the call, or continue it with `more`: its result, or a JSON-RPC error."""
        assert self._client is not None
        hearing = delivery.hearing
        call = delivery.call
        if self._posts and self._offer and call.method == "tools/call" and not hearing.listener:
            definition = self._offer.definitions.get(call.tool)
            answer = await self._posts.ask(delivery, definition, more)
            if more and isinstance(answer, ToolAnswer):
                raise _not_taken(delivery, answer.text)
            return answer
        meta: dict[str, JSON] = dict(call.meta)
        if hearing.level:
            meta[mcp_types.LOG_LEVEL_META_KEY] = hearing.level
        sending = asyncio.create_task(
            self._client.session.send_request(
                request_of(call, {**more, "_meta": meta}),
                RESULT,
                progress_callback=hearing.progress if hearing.listener else None,
            )
        )
        try:
            await asyncio.wait((sending, self.task), return_when="FIRST_COMPLETED")
            # The session tells its calls that it ended; one that it forgets is not waited for.
            await asyncio.wait((sending,), timeout=1.0)
            if not sending.done():
                raise delivery.gave_up("answer_lost", "the upstream's session ended")
            return _answered(delivery, sending, self._pipes, continued=bool(more))
        finally:
            sending.cancel()
            sending.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def gone(self) -> bool:
        """Whether no further call can be made in this session."""
        if self._http is not None and self._http.session_lost:
            return True
        return self.task.done() or (self._pipes is not None and self._pipes.failure is not None)

    async def _live(self, delivery: Delivery) -> None:
        CURRENT.set(delivery)
        client = Client(
            self._transport(delivery),
            mode=_MODES[self._upstream.protocol],
            cache=None,
            message_handler=self._heard,
            logging_callback=self._logged,
            **self._callbacks(),
            client_info=mcp_types.Implementation(name="bailiwick", version="1"),
        )
        async with client, self._posting(client):
            self._client = client
            self.opened.set_result(None)
            ends = [asyncio.create_task(self._leave.wait())]
            if self._pipes is not None:
                ends.append(asyncio.create_task(self._pipes.closed.wait()))
            try:
                await asyncio.wait(ends, return_when="FIRST_COMPLETED")
            finally:
                self._updates.end()
                for each in ends:
                    each.cancel()

    @asynccontextmanager
    async def _posting(self, client: Client) -> AsyncIterator[None]:
        """Have a shorter way for calls, if the revision that was agreed on keeps no session."""
        url, revision = self._upstream.url, client.protocol_version
        if url is None or revision not in MODERN_PROTOCOL_VERSIONS:
            yield
            return
        # Its HTTP client takes a while to load, which only a server of this revision is worth.
        made = await asyncio.to_thread(resolve_name, "bailiwick.execution.mcp.posting:Posts")
        posts = self._posts = made(url, revision, self._tls)
        try:
            yield
        finally:
            await posts.close()

    @asynccontextmanager
    async def _transport(self, delivery: Delivery) -> AsyncIterator[TransportStreams]:
        if self._upstream.url is None:
            async with started(delivery.call, self._folder) as self._pipes:
                yield self._pipes.incoming, Truthful(self._pipes)
            return
        self._http = FencedTransport(self._tls)
        async with (
            httpx2.AsyncClient(transport=self._http, trust_env=False) as http,
            streamable_http_client(
                self._upstream.url, http_client=http, max_sse_event_size=MAX_LISTING_BYTES
            ) as (incoming, outgoing),
        ):
            yield incoming, Truthful(outgoing)

    def _callbacks(self) -> dict[str, Any]:
        """What the upstream may ask for is what it is told that we can do."""
        questions = Questions(self._concerned)
        callbacks = {
            "elicitation": ("elicitation_callback", questions.elicitation),
            "sampling": ("sampling_callback", questions.sampling),
            "roots": ("list_roots_callback", questions.roots),
        }
        return dict(callbacks[kind] for kind in self._upstream.may_ask)

    def _concerned(self) -> Delivery | None:
        """The call in which a message came: the one of its connection, or the only one there is."""
        if self._pipes is None:
            delivery = CURRENT.get(None)
            return delivery if delivery in self._under_way else None
        return next(iter(self._under_way)) if len(self._under_way) == 1 else None

    async def _logged(self, params: mcp_types.LoggingMessageNotificationParams) -> None:
        if (delivery := self._concerned()) is not None:
            delivery.hearing.log(params.level, params.logger or "", params.data)

    def _unlisted(self, of: str, error: MCPError | ValidationError) -> NotSent:
        """Say why it could not be listed: for want of a connection, or of sense."""
        if self._http is not None and self._http.failure is not None:
            return NotSent("provider_unreachable", str(self._http.failure.args[1]))
        what = shown(error.message) if isinstance(error, MCPError) else "not as the protocol has it"
        return NotSent("definitions_unread", f"the upstream's {of} cannot be listed: `{what}`")

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, mcp_types.ResourceUpdatedNotification):
            self._updates.heard(str(message.params.uri))
        for method in _CHANGED.get(type(message), ()):
            self._lists.pop(method, None)

    async def _list(self, method: str, made: Callable[[list[Mapping[str, Any]]], Any]) -> Any:
        assert self._client is not None
        async with self._listing:
            now_s = asyncio.get_running_loop().time()
            known = self._lists.pop(method, None)
            if known is None or now_s - known[0] > _LISTING_HOLDS_S:
                if self._http is not None:
                    self._http.failure = None
                try:
                    known = now_s, made(await all_pages(self._client.session, method))
                except (MCPError, ValidationError) as error:
                    raise self._unlisted(LISTS[method][0], error) from error
            self._lists[method] = known
            return known[1]


def _answered(
    delivery: Delivery,
    sending: "asyncio.Task[dict[str, Any]]",
    pipes: Pipes | None,
    *,
    continued: bool,
) -> Mapping[str, Any] | ToolAnswer:
    """Give what came of a send: a result, or a JSON-RPC error. Raises `NotSent` or `Lost`."""
    if sending.cancelled():
        raise delivery.gave_up("answer_lost", "the call was cancelled from within")
    error = sending.exception()
    if error is None:
        return sending.result()
    if isinstance(error, (NotSent, Lost)):
        raise error
    if delivery.failure is not None:
        raise delivery.failure
    if pipes is not None and pipes.failure is not None:
        raise delivery.gave_up(*map(str, pipes.failure.args))
    if isinstance(error, MCPError) and error.code not in _ENDED:
        delivery.hearing.lacks(required(error.error))
        if continued:
            raise _not_taken(delivery, error.message)
        return ToolAnswer(text=error.message, error_code=error.code, status=delivery.status)
    if isinstance(error, ValidationError):
        raise delivery.gave_up("answer_lost", "the answer is not as the protocol has it")
    raise delivery.gave_up("answer_lost", f"the upstream's session ended: `{type(error).__name__}`")


def _not_taken(delivery: Delivery, text: str) -> NotSent | Lost:
    """An error that speaks of a continuation; what was done before that is not known."""
    words = f"the upstream did not take the answers: `{shown(text)}`"
    return delivery.gave_up("input_required", words)
