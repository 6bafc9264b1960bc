"""The premises of the refund desk: its folder, the two outside systems, and the project.

Everything is below one folder, which is emptied first, so that each run begins anew.
"""

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bailiwick.operations.founding import Founded, Newcomer, found

HERE = Path(__file__).resolve().parent
STATE = HERE / "state"
PROJECT = STATE / "project"
PASSWORD = "a password for a demo only"
# How the project names the services, whose ports are known only once they listen.
PAYMENTS, DESK = "payments.localhost", "desk.localhost"
START_S = 20.0
# On whose behalf the agents act.
SUBJECT = "support"

PEOPLE = (
    Newcomer("olga", ("admin", "operator", "auditor"), (), PASSWORD),
    Newcomer("fay", ("approver", "operator"), ("finance",), PASSWORD),
    Newcomer("fred", ("approver",), ("finance",), PASSWORD),
    Newcomer("finn", ("approver",), ("finance",), PASSWORD),
    Newcomer("ann", ("approver",), ("accounts",), PASSWORD),
)


@dataclass(frozen=True, slots=True)
class Outside:
    """A running outside system: its process, its address, and the secrets that open it."""

    process: subprocess.Popen[bytes]
    port: int
    read: str
    write: str

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask with the secret that may only read. Raises `OSError` if it is refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        sent = {"Authorization": f"Bearer {self.read}"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            content = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 300:
            raise OSError(f"{method} {path} was answered {response.status}: {content}")
        return content


@contextmanager
def running(program: str, *options: str) -> Iterator[Outside]:
    """Run an outside system on a database and a free port of its own until the block ends."""
    name = program.removesuffix(".py")
    folder = STATE / name
    folder.mkdir(parents=True)
    read, write = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    port_file = folder / "port"
    arguments = [
        *(sys.executable, str(HERE / program), "--seed"),
        *("--db", str(folder / "db.sqlite"), "--port-file", str(port_file)),
        # In this form a token may begin with a hyphen, as one in 64 does.
        *(f"--token-read={read}", f"--token-write={write}"),
        *options,
    ]
    with (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    try:
        deadline = time.monotonic() + START_S
        while not port_file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise OSError(f"{program} did not start: see {folder / 'errors.txt'}")
            time.sleep(0.01)
        yield Outside(process, int(port_file.read_text()), read, write)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on, for a server that comes back where it was."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def empty(folder: str) -> None:
    """Choose the folder, take away what an earlier run left in it, and make it."""
    global STATE, PROJECT
    STATE = HERE / folder
    PROJECT = STATE / "project"
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir(mode=0o700)


async def found_project(payments: Outside, desk: Outside) -> Founded:
    """Copy the project with the services' addresses and secrets, and found it."""
    copy_project({PAYMENTS: payments.host, DESK: desk.host})
    write_secrets("payments", payments.read, payments.write)
    write_secrets("desk", desk.read, desk.write)
    return await found(PROJECT, PEOPLE, access_for=SUBJECT)


def copy_project(addresses: Mapping[str, str], *, changes: str = "") -> None:
    """Copy the project, and over it a folder of changes, with real addresses in their places."""
    for folder in filter(None, ("project", changes)):
        shutil.copytree(HERE / folder, PROJECT, dirs_exist_ok=True)
    for path in PROJECT.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for placeholder, address in addresses.items():
            text = text.replace(placeholder, address)
        path.write_text(text, encoding="utf-8")


def write_secrets(name: str, read: str, write: str) -> None:
    """Put an outside system's secrets where the project's settings look for them."""
    for use, secret in (("read", read), ("write", write)):
        write_secret(PROJECT / "secrets" / f"{name}-{use}", secret)


def write_secret(path: Path, secret: str) -> None:
    """Write a file that nobody else can read."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
