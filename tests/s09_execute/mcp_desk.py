"""A server of `mcp_server.py` or `mcp_wide.py`, from outside: where, what it did and shall do."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from bailiwick.nouns import McpUpstream

PROGRAM = Path(__file__).with_name("mcp_server.py")
WIDE = Path(__file__).with_name("mcp_wide.py")
Protocol = Literal["auto", "2025-11-25", "2026-07-28"]


class Notes:
    """A folder with what a server did, and what it is to do wrong."""

    def __init__(self, folder: Path, port: int = 0, program: Path = PROGRAM) -> None:
        self.folder = folder
        self.program = program
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def journal(self) -> list[dict[str, Any]]:
        file = self.folder / "journal"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def forget(self) -> None:
        """Begin anew: nothing was done, and nothing is to go wrong."""
        for name in ("journal", "behaviour.json"):
            (self.folder / name).unlink(missing_ok=True)

    def behave(self, **behaviour: Any) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def over_pipes(self, name: str = "desk", protocol: Protocol = "auto") -> McpUpstream:
        command = (sys.executable, str(self.program), str(self.folder))
        return McpUpstream(name=name, command=command, protocol=protocol)

    def over_http(
        self, name: str = "desk", protocol: Protocol = "auto", path: str = "/mcp"
    ) -> McpUpstream:
        return McpUpstream(name=name, url=f"http://127.0.0.1:{self.port}{path}", protocol=protocol)

    def start(self) -> None:
        command = [sys.executable, str(self.program), str(self.folder), str(self.port)]
        self.process = subprocess.Popen(command)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError("the server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
