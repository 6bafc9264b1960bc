"""The local socket: commands reach the process that owns the database.

One JSON object a line each way, of a bounded length. The socket is 0600 in the data folder, so only
the owner's user reaches it; who the person is, the session in each command says.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bailiwick import errors
from bailiwick.errors import BadInput, BailiwickError, ControlError
from bailiwick.values import JSON, canonical, parse

# A command holds at most a release's files, an answer at most an action with its payloads.
_MAX_LINE = 16 * 1024 * 1024
# Bytes of a socket's name, unix(7); other systems take a few less.
_LONGEST_NAME = 103

Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Perform = Callable[[Mapping[str, JSON]], Awaitable[JSON]]

_FAULTS: Mapping[str, type[BailiwickError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, BailiwickError)
}


async def serve(path: Path, perform: Perform) -> asyncio.AbstractServer:
    """Answer commands on a socket at `path` until the server is closed.

    Raises `ControlError` (`socket_path_long`) where the system has no way to take a long path.
    """

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(canonical(await _answered(line, perform)) + b"\n")
                await writer.drain()
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass  # a caller that left, or spoke too long a line, gets no answer
        finally:
            writer.close()

    return await listen(path, converse, _MAX_LINE)


async def listen(path: Path, converse: Converse, limit: int) -> asyncio.AbstractServer:
    """Listen on a socket at `path` that only this user reaches; lines have at most `limit` bytes.

    Whoever listened there before is replaced. Raises `ControlError` (`socket_path_long`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    old = os.umask(0o177)
    try:
        with socket_name(path) as name:
            return await asyncio.start_unix_server(converse, path=name, limit=limit)
    finally:
        os.umask(old)


async def call(path: Path, command: Mapping[str, JSON], timeout_s: float) -> JSON:
    """Send one command to the owner and give its answer.

    Raises what the owner raised; `ControlError`: `owner_silent` when nobody answers in time,
    `owner_failed` when the owner broke off.
    """
    try:
        async with asyncio.timeout(timeout_s):
            with socket_name(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=_MAX_LINE)
            try:
                writer.write(canonical(command) + b"\n")
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise silent() from error
    except ValueError:
        line = b""
    if not line:
        raise ControlError(
            "the process that owns the database broke off",
            code="owner_failed",
            help="look at what that process wrote, and whether the command took effect",
        )
    answer = json.loads(line)
    fault = answer.get("fault")
    if fault is not None:
        kind = _FAULTS.get(fault["kind"], ControlError)
        raise kind(fault["message"], code=fault["code"], help=fault["help"], **fault["details"])
    result: JSON = answer.get("result")
    return result


async def answers(path: Path, timeout_s: float) -> bool:
    """Whether there is an owner that answers, whatever it says."""
    try:
        await call(path, {}, timeout_s)
    except BailiwickError as fault:
        return fault.code not in ("owner_silent", "owner_failed")
    return True


@contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """Give a name of the socket that the system takes: a long path's goes by its open folder."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        by_number = Path(f"/proc/self/fd/{folder}")
        if not by_number.exists():
            raise ControlError(
                f"the path of the socket `{path}` is too long for this system",
                code="socket_path_long",
                help="keep the project, or its database, at a shorter path",
            )
        yield str(by_number / path.name)
    finally:
        os.close(folder)


def _clear(path: Path) -> None:
    """Remove the socket of who had it; of an SQLite file, this process holds the owner's lock."""
    path.unlink(missing_ok=True)


def silent(owner: int | None = None) -> ControlError:
    """The fault of an owner that does not answer, with the number of its process if it is known."""
    who = "the process" if owner is None else f"process {owner}"
    return ControlError(
        f"{who} that owns the database does not answer",
        code="owner_silent",
        help="look whether that process is alive; `bailiwick kill` works without it",
    )


async def _answered(line: bytes, perform: Perform) -> dict[str, JSON]:
    try:
        return {"result": await perform(parse(line, max_bytes=_MAX_LINE))}
    except BailiwickError as fault:
        return {"fault": described(fault)}


def described(fault: BailiwickError) -> dict[str, JSON]:
    """A fault as data, with those of its details that are JSON."""
    details: dict[str, JSON] = {}
    for name, value in fault.details.items():
        try:
            details[name] = json.loads(canonical(value))
        except BadInput:
            continue
    return {
        "kind": type(fault).__name__,
        "code": fault.code,
        "message": fault.message,
        "help": fault.help,
        "details": details,
    }


def text_of(parameters: Mapping[str, JSON], name: str, default: str | None = None) -> str:
    """A parameter that must be text. Raises `BadInput`."""
    value = parameters.get(name, default)
    if not isinstance(value, str):
        raise BadInput(f"`{name}` is missing or not text", code="parameter_invalid")
    return value


def texts_of(parameters: Mapping[str, JSON], name: str) -> tuple[str, ...]:
    """A parameter that must be a list of texts; none if it is absent. Raises `BadInput`."""
    value = parameters.get(name, [])
    if not isinstance(value, (list, tuple)):
        raise BadInput(f"`{name}` is not a list", code="parameter_invalid")
    texts = tuple(each for each in value if isinstance(each, str))
    if len(texts) < len(value):
        raise BadInput(f"`{name}` holds something that is not text", code="parameter_invalid")
    return texts
