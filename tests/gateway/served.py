"""A project behind `bailiwick up`, in a process of its own; and MCP clients of it."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.cli.desk import Desk
from tests.gateway.forking import Forked

MODES = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
CAPABILITIES: Mapping[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "a test", "version": "1"},
}


class Up:
    """A running server: its address, its project's people, and an access key of its agent."""

    def __init__(self, desk: Desk, port: int = 0, log: str = "up.log") -> None:
        self.desk = desk
        self._log = desk.homes / log
        self._port = port
        self.key = ""
        self.url = ""
        self.process = self.start()

    def start(self) -> Forked:
        """Start it, and wait until it says where it listens."""
        words = ["up", "--port", str(self._port), "--json"]
        environment = self.desk.environment("up")
        with self._log.open("ab") as log:
            self.process = Forked(words, self.desk.project, environment, log.fileno())
        told = json.loads(self._document(self.process.stdout))
        self.url = told["url"]
        self._port = int(self.url.rpartition(":")[2])
        return self.process

    @staticmethod
    def _document(lines: Any) -> str:
        told = ""
        for line in lines:
            told += line.decode()
            if line.startswith(b"}"):
                break
        return told

    def access_key(self, subject: str = "anna", person: str = "ada") -> str:
        """An access key of the agent, made by a person who is logged in."""
        words = ("agents", "access-key", "note-taker", "--subject", subject)
        told = self.desk.data(person, *words)
        return str(told["access_key"])

    async def says(self, person: str, *words: str) -> Any:
        """A command of a person's, beside the loop; its JSON answer."""
        answer = await asyncio.to_thread(self.desk.here, person, *words, "--json")
        assert answer.code in (0, 4), answer.err
        return answer.data

    def stop(self, within_s: float = 20) -> int:
        """Ask it to leave, and give its exit code."""
        self.process.terminate()
        code = self.process.wait(within_s)
        self._close()
        return code

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self.process.stdout.close()

    @property
    def said(self) -> str:
        """What it wrote on standard error."""
        return self._log.read_text() if self._log.exists() else ""

    @asynccontextmanager
    async def client(
        self, key: str, revision: str = "2026-07-28", url: str = ""
    ) -> AsyncIterator[Client]:
        """The official client, of one revision, with a key in its header; perhaps by a proxy."""
        headers = {"authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http,
            Client(
                streamable_http_client(f"{url or self.url}/mcp", http_client=http),
                mode=MODES[revision],
            ) as client,
        ):
            yield client

    def post(
        self,
        key: str,
        method: str,
        params: Mapping[str, Any],
        able: Mapping[str, Any] | None = None,
        **headers: str,
    ) -> httpx2.Response:
        """One request of 2026-07-28 as it stands, by plain HTTP, of a client that is `able`."""
        meta = {**CAPABILITIES, "io.modelcontextprotocol/clientCapabilities": able or {}}
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": method,
            "params": {**params, "_meta": {**meta, **params.get("_meta", {})}},
        }
        named = params.get("name", params.get("taskId"))
        routed = {"mcp-name": str(named)} if named else {}
        return httpx2.post(
            f"{self.url}/mcp",
            json=body,
            headers={
                **({"authorization": f"Bearer {key}"} if key else {}),
                "accept": "application/json, text/event-stream",
                "mcp-protocol-version": "2026-07-28",
                "mcp-method": method,
                **routed,
                **headers,
            },
            timeout=30,
        )


def message_of(answer: httpx2.Response) -> dict[str, Any]:
    """The JSON-RPC message that ends an answer, which may be a stream of events."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = [each for each in text.splitlines() if each.startswith("data: ")][-1][6:]
    message: dict[str, Any] = json.loads(text)
    return message


def founded_desk(founded: Path, folder: Path) -> Desk:
    """The project of tests/cli with its people, copied into a folder."""
    shutil.copytree(founded, folder / "project")
    (folder / "homes").mkdir()
    return Desk(folder / "project", folder / "homes")
