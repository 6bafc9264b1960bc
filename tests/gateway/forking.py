"""Processes of `bailiwick`, forked from one that has imported it: real ones, without the start.

Imports are four fifths of what starting a server costs. The first process is asked over a socket
for another one, with its words, folder, environment and files; that one has signals, an exit code
and an end of its own. A parent of its own waits for it, and tells its id and how it ended.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_MOST = 128 * 1024
_ROOT = Path(__file__).parents[2]


class Forked:
    """One process: as much of `subprocess.Popen` as the tests ask for."""

    def __init__(self, words: Sequence[str], cwd: Path, env: Mapping[str, str], err: int) -> None:
        read, write = os.pipe()
        told, telling = os.pipe()
        asked = {"words": list(words), "cwd": str(cwd), "env": dict(env)}
        socket.send_fds(_first(), [json.dumps(asked).encode()], [write, err, telling])
        os.close(write)
        os.close(telling)
        self.stdout: IO[bytes] = os.fdopen(read, "rb")
        self._told = os.fdopen(told, "rb")
        self.returncode: int | None = None
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("bailiwick", timeout or 0)
            self.returncode = int(self._told.readline())
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to leave."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


_started: list[socket.socket] = []


def _first() -> socket.socket:
    """The socket of the first process, which is started when it is asked for the first time."""
    if not _started:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-m", "tests.gateway.forking", str(theirs.fileno())]
        process = subprocess.Popen(words, cwd=_ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        _started.append(ours)

        def end() -> None:
            ours.close()
            process.wait(10)

        atexit.register(end)
    return _started[0]


def _serve(asks: socket.socket) -> None:
    """Fork a process for each request; returns in it, and when nobody can ask any more."""
    # What waits for a process is itself waited for by nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        raw, files, _, _ = socket.recv_fds(asks, _MOST, 3)
        if not raw:
            os._exit(0)
        if os.fork() == 0:
            asks.close()
            _wait_for(json.loads(raw), *files)
            return
        for each in files:
            os.close(each)


def _wait_for(asked: Mapping[str, object], out: int, err: int, telling: int) -> None:
    """Fork the process, and wait for it; returns in it alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        for each in (out, err):
            os.close(each)
        # A signal for all of a terminal is the process's to answer.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(telling, b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(telling, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.close(telling)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    os.chdir(str(asked["cwd"]))
    os.environ.clear()
    os.environ.update(dict(asked["env"]))  # type: ignore[call-overload]
    sys.argv = ["bailiwick", *map(str, asked["words"])]  # type: ignore[call-overload]


if __name__ == "__main__":
    from bailiwick.cli.app import main
    from bailiwick.server import running  # noqa: F401 - what a server needs is here by now

    _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(main())
