"""An outside system of an example as a real process, and plain HTTP calls to it."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFUND_DESK = Path(__file__).resolve().parents[2] / "examples" / "refund_desk"
TOKENS = {"read": "Bearer example-read", "write": "Bearer example-write", "wrong": "Bearer nobody"}


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    json: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class OutsideSystem:
    """A running process and the port it listens on."""

    process: subprocess.Popen[bytes]
    port: int

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "write",
        headers: dict[str, str] | None = None,
        timeout_s: float = 10.0,
    ) -> Reply:
        """Sends one request over a connection of its own."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = TOKENS[token]
        data = None if body is None else json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            return Reply(response.status, json.loads(response.read()), dict(response.headers))
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """Reads with the read token and gives the body."""
        reply = self.call("GET", path, token="read")
        assert reply.status == 200, reply
        return reply.json

    def send_raw(self, data: bytes) -> bytes:
        """Sends bytes, says that no more follow, and gives all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: raw.recv(65536), b""))

    def end(self, number: signal.Signals) -> int:
        """Sends a signal and gives the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=10)


@contextmanager
def running(program: str, folder: Path, *options: str) -> Iterator[OutsideSystem]:
    """Runs a program on a database in the folder, and finds no traceback after it."""
    port_file, errors = folder / "port", folder / "stderr"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, str(REFUND_DESK / program), "--db", str(folder / "db.sqlite")]
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, "--port-file", str(port_file), *options],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        deadline = time.monotonic() + 20
        while not port_file.exists():
            assert process.poll() is None, errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield OutsideSystem(process, int(port_file.read_text()))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in errors.read_text()
