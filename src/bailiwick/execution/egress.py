"""The egress door: the one place from which effects leave, over HTTP or into a Python tool.

What a caller must know after a send is whether it may have happened. A connection that was refused,
a name that was not resolved, a TLS handshake that failed, a full pool: nothing left, `NotSent`.
From the moment at which the first byte may have been written: `Lost`, whatever the error says. Both
carry a code and a sentence: `NotSent(code, message)`.

The fence is asked at the last moment there is: with the connection open, before the first byte of
the request (httpcore's trace event `http11.send_request_headers.started`); for a Python tool,
before its first line runs. A send is registered before its fence is asked, so that `quiet` sees
every send that a fence of the old state may still let through.

A cancelled caller gets its cancellation, never a report: what was sent stays in doubt and is looked
up by its intent.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Protocol

# Named here so that they are loaded with the door, not at the first send, which has a deadline.
import anyio  # noqa: F401
import h11  # noqa: F401
import httpcore2  # noqa: F401
import httpx2

from bailiwick.errors import BadInput, ConfigError, NotDone
from bailiwick.execution.passage import Fencing, Passage
from bailiwick.execution.tls import context_for
from bailiwick.nouns import Target, ToolAnswer, ToolCall
from bailiwick.ports import Lost, NotSent, Request, Response
from bailiwick.values import JSON, shown

_CONNECT_SECONDS = 5.0
# Common servers close an idle connection after 5 s. A connection is given up well before that: a
# request on one that is just being closed is lost, and a write that is lost is in doubt.
_IDLE_SECONDS = 2.0
_CONNECTIONS = 100


class UpstreamTools(Protocol):
    """What carries calls to MCP servers, each past its passage."""

    async def ask(self, call: ToolCall, passage: Passage) -> ToolAnswer: ...

    async def close(self) -> None: ...


def _no_upstreams() -> UpstreamTools:
    raise ConfigError("this door has no way to MCP servers", code="extra_missing")


class EgressDoor:
    """Connections, a pool for each origin so that a slow one cannot take the others', and threads.

    There is no client above the transport: no redirects, no cookies, no proxy or certificate from
    the environment, no decompression, no log of URLs. TLS is verified against the system's roots.
    It belongs to the event loop that uses it first.
    """

    def __init__(
        self, *, threads: int = 16, upstreams: Callable[[], UpstreamTools] = _no_upstreams
    ) -> None:
        """Make a door that runs at most `threads` Python tools that are not async at a time.

        `upstreams` opens the way to MCP servers, when the first tool of one is called.
        """
        self._open_upstreams = upstreams
        self._upstreams: UpstreamTools | None = None
        self._transports: dict[bytes, httpx2.AsyncHTTPTransport] = {}
        self._threads = threads
        self._workers: ThreadPoolExecutor | None = None
        self._free = asyncio.Semaphore(threads)
        self._passing: set[Passage] = set()

    def target(self, url: str) -> Target:
        """Where a request for this URL would go. Raises `BadInput` for no plain http address."""
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:
            parsed = httpx2.URL()
        if parsed.scheme not in ("http", "https") or not parsed.raw_host or parsed.userinfo:
            raise BadInput(
                f"`{shown(url)}` is not a plain http or https address",
                code="request_not_buildable",
                help="correct the base URL of the tool's binding",
            )
        return Target(
            scheme=parsed.scheme,
            authority=parsed.netloc.decode("ascii"),
            path=parsed.raw_path.decode("ascii"),
        )

    async def send(self, request: Request, fence: Fencing) -> Response:
        """Send a request once. Raises `NotSent` or `Lost`.

        `request.timeout_s` bounds the whole exchange, connecting and reading the answer included,
        but not the one time that the system's roots are read. An answer over `request.max_bytes`
        is `Lost` with the code `result_too_large`.
        """
        passage = Passage(self._passing, fence)
        outgoing = _outgoing(request, passage)
        try:
            pool = self._pool_of(outgoing.url)
            async with asyncio.timeout(request.timeout_s):
                response = await pool.handle_async_request(outgoing)
                try:
                    passage.must_have_begun()
                    body = await _bounded(response, request.max_bytes)
                finally:
                    await response.aclose()
        except (httpx2.TransportError, OSError) as error:
            passage.failed(error)
        finally:
            passage.settle()
        headers = {name: value for name, value in response.headers.items() if name != "set-cookie"}
        return Response(status=response.status_code, headers=headers, body=body)

    async def call(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Fencing,
    ) -> object:
        """Call a Python tool once. Raises `NotSent` (a `NotDone` of the tool too) or `Lost`.

        An async function runs in a task of its own: one that cancels the task it runs in, as some
        clients do, cannot be taken for our caller's cancellation. Any other function runs in a
        thread; after a timeout it may run on, and its thread is taken until it ends.
        """
        if inspect.iscoroutinefunction(function):
            return await self._call_in_task(function, arguments, timeout_s, fence)
        return await self._call_in_thread(function, arguments, timeout_s, fence)

    async def ask(self, call: ToolCall, fence: Fencing) -> ToolAnswer:
        """Call a tool of an MCP server once. Raises `NotSent` or `Lost`.

        `call.timeout_s` bounds it all: waiting for the upstream, the look at its definitions, the
        call and the answer.
        """
        if self._upstreams is None:
            try:
                self._upstreams = self._open_upstreams()
            except ConfigError as error:
                raise NotSent(error.code, error.message) from error
        passage = Passage(self._passing, fence)
        try:
            return await self._upstreams.ask(call, passage)
        finally:
            passage.over = True
            passage.settle()

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until every send that had passed its fence, or was asking it, has begun or died.

        Sends that come later are not waited for. False if one is still on its way after the
        timeout.
        """
        if not self._passing:
            return True
        settled = [passage.settled() for passage in self._passing]
        _, waiting = await asyncio.wait(settled, timeout=timeout_s)
        return not waiting

    async def close(self) -> None:
        """Close the connections. Threads end with the functions that they run."""
        if self._upstreams is not None:
            await self._upstreams.close()
            self._upstreams = None
        while self._transports:
            _, transport = self._transports.popitem()
            await transport.aclose()
        if self._workers is not None:
            self._workers.shutdown(wait=False)
            self._workers = None

    def _pool_of(self, url: httpx2.URL) -> httpx2.AsyncHTTPTransport:
        origin = b"%b://%b" % (url.raw_scheme, url.netloc)
        transport = self._transports.get(origin)
        if transport is None:
            limits = httpx2.Limits(
                max_connections=_CONNECTIONS,
                max_keepalive_connections=_CONNECTIONS,
                keepalive_expiry=_IDLE_SECONDS,
            )
            transport = httpx2.AsyncHTTPTransport(
                verify=context_for(str(url)), trust_env=False, limits=limits
            )
            self._transports[origin] = transport
        return transport

    async def _call_in_task(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Fencing,
    ) -> object:
        passage = Passage(self._passing, fence)
        try:
            await passage.through()
            ended = asyncio.get_running_loop().create_future()
            task = asyncio.create_task(_begin(passage, function, arguments, ended))
            try:
                await _wait(ended, timeout_s)
            finally:
                if not task.done():
                    _abandon(task)
                    task.cancel()
        finally:
            passage.settle()
        return _result(task)

    async def _call_in_thread(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Fencing,
    ) -> object:
        try:
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        except TimeoutError:
            raise NotSent("threads_busy", "all threads for Python tools are taken") from None
        loop = asyncio.get_running_loop()
        passage = Passage(self._passing, fence)
        context = contextvars.copy_context()

        def begin() -> object:
            loop.call_soon_threadsafe(passage.settle)
            return context.run(function, **arguments)

        running: asyncio.Future[object] | None = None
        try:
            await passage.through()
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self._threads, "bailiwick-tool")
            running = loop.run_in_executor(self._workers, begin)
            running.add_done_callback(lambda _: self._free.release())
            _abandon(running)
            ended = loop.create_future()
            running.add_done_callback(lambda _: _tell(ended))
            await _wait(ended, timeout_s)
        finally:
            if running is None:
                self._free.release()
                passage.settle()
        return _result(running)


def _outgoing(request: Request, passage: Passage) -> httpx2.Request:
    """Build the transport's request. An encoded answer is neither asked for nor decoded."""
    return httpx2.Request(
        request.method,
        request.url,
        headers={**request.headers, "accept-encoding": "identity"},
        content=request.body,
        extensions={
            "trace": passage.watch,
            "timeout": {"connect": min(_CONNECT_SECONDS, request.timeout_s)},
        },
    )


async def _bounded(response: httpx2.Response, max_bytes: int) -> bytes:
    """Read the body as it came, at most `max_bytes`, without undoing a content coding."""
    chunks: list[bytes] = []
    size = 0
    async with aclosing(response.aiter_raw()) as stream:
        async for chunk in stream:
            size += len(chunk)
            if size > max_bytes:
                raise Lost("result_too_large", f"the answer is larger than {max_bytes} bytes")
            chunks.append(chunk)
    return b"".join(chunks)


async def _begin(
    passage: Passage,
    function: Callable[..., object],
    arguments: Mapping[str, JSON],
    ended: asyncio.Future[None],
) -> object:
    passage.settle()
    try:
        result: object = await function(**arguments)  # type: ignore[misc]
    finally:
        _tell(ended)
    return result


async def _wait(ended: asyncio.Future[None], timeout_s: float) -> None:
    """Wait to be told, at most so long: `asyncio.wait` for one, at half its cost."""
    timer = asyncio.get_running_loop().call_later(timeout_s, _tell, ended)
    try:
        await ended
    finally:
        timer.cancel()


def _tell(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def _abandon(running: asyncio.Future[object]) -> None:
    """Let what nobody waits for end unseen: its error has been reported as lost."""
    running.add_done_callback(lambda done: done.cancelled() or done.exception())


def _result(running: asyncio.Future[object]) -> object:
    if not running.done():
        raise Lost("answer_lost", "the tool did not end in time and may still act")
    if running.cancelled():
        raise Lost("answer_lost", "the tool was cancelled from within")
    error = running.exception()
    if error is None:
        return running.result()
    if isinstance(error, NotDone):
        raise NotSent("not_done", shown(str(error)) or "the tool says so") from error
    # Only the kind of error: its text may quote a secret or a payload.
    raise Lost("answer_lost", f"the tool raised `{type(error).__name__}`") from error
