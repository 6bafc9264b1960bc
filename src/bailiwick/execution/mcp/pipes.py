"""Standard input and output of a process, as a transport of the official client.

Its own such transport takes a line of any length into memory and gives no place between the client
and the first byte, at which a fence could be asked; and it prints what the process says.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from bailiwick.execution.mcp.wire import CALLS, CURRENT, MAX_LISTING_BYTES, MAX_SAID_BYTES
from bailiwick.nouns import ToolCall
from bailiwick.ports import Lost, NotSent

_END_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_LAST_WORDS = 20


class Pipes:
    """A process and the two streams of its session; `failure` says how it ended, if it did."""

    def __init__(self, process: asyncio.subprocess.Process, max_bytes: int) -> None:
        self._process = process
        self._max_bytes = max_bytes
        self._writing = asyncio.Lock()
        self._into: MemoryObjectSendStream[SessionMessage | Exception]
        self.incoming: MemoryObjectReceiveStream[SessionMessage | Exception]
        self._into, self.incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self.failure: Lost | None = None
        self.closed = asyncio.Event()
        self.last_words: deque[bytes] = deque(maxlen=_LAST_WORDS)

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message. A call's fence is asked just before, and its first byte goes at once.

        Raises `NotSent` if the fence is shut or the process is known to be gone.
        """
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
        stdin = self._process.stdin
        assert stdin is not None
        async with self._writing:
            if getattr(item.message, "method", "") in CALLS:
                passage = CURRENT.get().passage
                if self._gone:
                    raise NotSent("provider_unreachable", "the upstream's process is gone")
                await passage.through()
                stdin.write(line)
                passage.settle()
            else:
                stdin.write(line)
            try:
                await stdin.drain()
            except ConnectionError as error:
                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """End the process's input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def __aenter__(self) -> "Pipes":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def read(self) -> None:
        """Hand on what the process says, a message a line, until it ends."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            async with self._into:
                said = 0
                while line := await stdout.readline():
                    message = _message(line)
                    said = 0 if _is_answer(message) else said + len(line)
                    if said > MAX_SAID_BYTES:
                        words = f"the upstream said more than {MAX_SAID_BYTES} bytes and no answer"
                        self.failure = Lost("result_too_large", words)
                        return
                    await self._into.send(message)
        except ValueError:
            # The stream's limit. Whose answer it was cannot be told: its id may come last.
            words = f"the upstream sent a message larger than {self._max_bytes} bytes"
            self.failure = Lost("result_too_large", words)
        except (ConnectionError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        finally:
            self.failure = self.failure or Lost("answer_lost", "the upstream's process has ended")
            self.closed.set()

    async def listen(self) -> None:
        """Keep the last lines of standard error, so that it never fills up."""
        stderr = self._process.stderr
        assert stderr is not None
        while chunk := await stderr.read(4096):
            self.last_words.append(chunk[-1024:])

    async def end(self) -> None:
        """End its input and wait a while, unless it failed; then end its group of processes."""
        self.incoming.close()
        await self.aclose()
        if self.failure is not None:
            _signal(self._process.pid, signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGKILL, None):
            if await self._ended() or number is None:
                break
            _signal(self._process.pid, number)
        # A descendant may hold the pipes open for ever.
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _ended(self) -> bool:
        """Wait a while for the process alone: `wait` would wait for its descendants' pipes too."""
        for _ in range(round(_END_SECONDS / _LOOK_SECONDS)):
            if self._process.returncode is not None:
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    @property
    def _gone(self) -> bool:
        return self.failure is not None or self._process.returncode is not None


@asynccontextmanager
async def started(call: ToolCall, folder: Path) -> AsyncIterator[Pipes]:
    """Start the upstream's command in the project's folder; it is ended with the block.

    Of our environment it gets what the official client hands on (PATH, HOME and the like), and of
    secrets only the one that its declaration names. Raises `OSError`.
    """
    upstream = call.upstream
    environment = {**get_default_environment(), **dict(upstream.env)}
    if upstream.credential_env and call.secret:
        environment[upstream.credential_env] = call.secret
    most = max(call.max_bytes, MAX_LISTING_BYTES)
    process = await asyncio.create_subprocess_exec(
        *upstream.command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd=folder,
        limit=most,
        start_new_session=True,
    )
    pipes = Pipes(process, most)
    tasks = [asyncio.create_task(pipes.read()), asyncio.create_task(pipes.listen())]
    try:
        yield pipes
    finally:
        ending = asyncio.create_task(pipes.end())
        try:
            await asyncio.shield(ending)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


def _is_answer(message: SessionMessage | Exception) -> bool:
    answers = (mcp_types.JSONRPCResponse, mcp_types.JSONRPCError)
    return isinstance(message, SessionMessage) and isinstance(message.message, answers)


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass
