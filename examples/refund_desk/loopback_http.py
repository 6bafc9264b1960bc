"""JSON over HTTP/1.1 on the loopback interface: what the example's two outside systems stand on.

One process, one event loop, persistent connections, standard library only. A program hands `serve`
one function from Request to Answer; a refusal is raised as Refused and goes out as
`{"error": {"code", "message"}}`.
"""

import argparse
import asyncio
import hmac
import json
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, unquote

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024
# How much of a body that is too large is read and dropped, so that its sender hears the refusal.
MAX_DROPPED_BYTES = 64 * 1024 * 1024

Json = dict[str, object]
Token = Literal["read", "write", "none"]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; `first_byte_us` is when its first bytes were read."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    first_byte_us: int
    keep_alive: bool

    @property
    def segments(self) -> list[str]:
        """The path in parts; what is escaped in a part stays in it."""
        return [unquote(part) for part in self.path.split("/")[1:]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. A provider at fault may withhold it, or reset the connection instead."""

    status: int
    body: Json
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Literal["send", "withhold", "reset"] = "send"
    withhold_s: float = 0.0


class Refused(Exception):
    """A request that is turned away and has changed nothing."""

    def __init__(
        self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.answer = Answer(status, {"error": {"code": code, "message": message}}, headers)


def clock_us() -> int:
    """Gives this system's time."""
    return time.time_ns() // 1000


# What a request says


def token_of(request: Request, read_token: str, write_token: str) -> Token:
    """Tells which of the two bearer tokens a request carries."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        if hmac.compare_digest(token.encode(), write_token.encode()):
            return "write"
        if hmac.compare_digest(token.encode(), read_token.encode()):
            return "read"
    return "none"


def authorize(request: Request, token: Token) -> None:
    """Lets either token read and the write token alone write; Refused with 401 or 403 otherwise."""
    if token == "none":
        challenge = ("WWW-Authenticate", "Bearer")
        raise Refused(401, "unauthenticated", "no bearer token that is known here", (challenge,))
    if token == "read" and request.method != "GET":
        raise Refused(403, "forbidden", "the read token may only read")


def parse_body(request: Request) -> Json:
    """Reads a JSON object, none at all being an empty one; Refused with 400 for anything else."""
    try:
        body = json.loads(request.body.decode() or "{}", parse_constant=not_json)
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate fits no database
    except (ValueError, RecursionError):
        raise Refused(400, "bad_json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "bad_json", "the body is not an object")
    return body


def not_json(constant: str) -> None:
    """Refuses NaN and the infinities, which JSON does not have."""
    raise ValueError(constant)


def only_fields(body: Json, known: set[str]) -> None:
    """Refuses a body with a field that is not known, with 400."""
    if unknown := sorted(body.keys() - known):
        raise Refused(400, "unknown_parameter", f"`{unknown[0][:80]}` is not known here")


def text_field(body: Json, name: str, longest: int = 500) -> str:
    """Gives a text of 1 to `longest` characters; Refused with 400 where it is something else."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Refused(400, "bad_parameter", f"`{name}` must be a text of 1 to {longest} characters")
    return value


def optional_text(body: Json, name: str) -> str | None:
    """Gives a text that may be left out or null."""
    return None if body.get(name) is None else text_field(body, name)


def unknown_path(request: Request) -> Refused:
    """Gives the refusal of a path that leads nowhere."""
    return Refused(404, "unknown_path", f"there is no {request.method} `{request.path[:500]}`")


# The wire


async def read_request(reader: asyncio.StreamReader, buffer: bytearray) -> Request | None:
    """Reads one request, None at the end of the stream; Refused for what is not a good one."""
    first_byte_us = clock_us() if buffer else 0
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise Refused(431, "head_too_large", f"a head has at most {MAX_HEAD_BYTES} bytes")
        chunk = await reader.read(65536)
        if not chunk:
            return None
        first_byte_us = first_byte_us or clock_us()
        buffer += chunk
    start, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    method, target, version = [*start.split(" "), "", ""][:3]
    if version not in ("HTTP/1.0", "HTTP/1.1") or not target.startswith("/"):
        raise Refused(400, "bad_request", "this is not a request of HTTP/1.1")
    body_end = end + 4 + await body_length(reader, headers, len(buffer) - end - 4)
    while len(buffer) < body_end:
        chunk = await reader.read(65536)
        if not chunk:
            return None
        buffer += chunk
    body = bytes(buffer[end + 4 : body_end])
    del buffer[:body_end]
    path, _, query = target.partition("?")
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    keep_alive = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return Request(method, path, pairs, headers, body, first_byte_us, keep_alive)


async def body_length(reader: asyncio.StreamReader, headers: dict[str, str], received: int) -> int:
    """Gives the length of a body that can be read; Refused for the others."""
    if "transfer-encoding" in headers:
        raise Refused(411, "length_required", "a body needs a Content-Length")
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refused(400, "bad_request", "`Content-Length` is not a number")
    length = int(text)
    if length > MAX_BODY_BYTES:
        left = min(length, MAX_DROPPED_BYTES) - received
        while left > 0 and (chunk := await reader.read(min(left, 65536))):
            left -= len(chunk)
        raise Refused(413, "body_too_large", f"a body has at most {MAX_BODY_BYTES} bytes")
    return length


def encode(answer: Answer, keep_alive: bool) -> bytes:
    """Gives the bytes of an answer."""
    body = json.dumps(answer.body, separators=(",", ":")).encode()
    lines = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def withhold(reader: asyncio.StreamReader, longest_s: float) -> None:
    """Waits until the client gives up, or this system's patience ends."""
    try:
        await asyncio.wait_for(reader.read(1), longest_s)
    except TimeoutError:
        pass  # the connection ends without an answer in both cases


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST: with a linger of no time, closing sends that instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


AnswerTo = Callable[[Request], Awaitable[Answer]]


async def serve_connection(
    answer_to: AnswerTo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serves the requests of one connection in their order."""
    buffer = bytearray()
    keep_alive = True
    try:
        while keep_alive:
            keep_alive = False
            try:
                request = await read_request(reader, buffer)
                if request is None:
                    return
                keep_alive = request.keep_alive
                answer = await answer_to(request)
            except Refused as refusal:
                answer = refusal.answer
            if answer.delivery == "withhold":
                return await withhold(reader, answer.withhold_s)
            if answer.delivery == "reset":
                return reset(writer)
            writer.write(encode(answer, keep_alive))
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass  # the client is gone, and what it asked for is done; or this process is stopping
    finally:
        writer.close()


# The process


def command_line(description: str) -> argparse.ArgumentParser:
    """Gives the options that each of the systems takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--db", required=True, help="the SQLite file, made where it is missing")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", help="where the port is written once it listens")
    parser.add_argument("--token-read", default="example-read", help="may read")
    parser.add_argument("--token-write", default="example-write", help="may do everything")
    parser.add_argument("--seed", action="store_true", help="put the example's data in first")
    return parser


def parse_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Reads the command line."""
    arguments = parser.parse_args()
    if arguments.token_read == arguments.token_write:
        parser.error("the two tokens must differ")
    return arguments


def announce(port: int, port_file: str | None) -> None:
    """Says which port is listened on; the port file appears whole or not at all."""
    print(f"listening on 127.0.0.1:{port}", flush=True)
    if port_file:
        draft = Path(f"{port_file}.draft")
        draft.write_text(str(port))
        draft.replace(port_file)


async def serve(answer_to: AnswerTo, port: int, port_file: str | None) -> None:
    """Serves until SIGTERM or SIGINT; requests in work end with the process."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(answer_to, reader, writer),
        "127.0.0.1",
        port,
        backlog=1024,
    )
    announce(server.sockets[0].getsockname()[1], port_file)
    await stop.wait()
    server.close()
