"""What the gateway adds to an MCP call: `python -m bench.gateway SECONDS`.

A client of one request at a time asks the server directly and through `bailiwick up`, in turn, so
that both figures are of the same seconds; then sixteen of them ask through it. The client speaks
2026-07-28 over a socket and nothing more, and takes no time of its own to speak of. The gateway has
twenty upstreams, a capability by access key, the budgets of `bench.subject`'s kind (tenant, agent
and run), the vault and the read-back of a write.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bailiwick.operations import Newcomer, found
from bailiwick.testing import write_project
from bench.timing import phase_seconds, tell

OUT = Path("bench/out")
UPSTREAMS = 20
CALLERS = 16
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_SETTINGS = "free_space_watermark_mb: 1\nbreaker_threshold: 1000\n"
_LIMITS = "budgets:\n  - {unit: calls, period: day, limit: 100000000}\n"
_AGENT = """\
name: caller
owner: bench
tools_allowlist: ["u0.*"]
max_tool_calls: 100000000
"""


class Client:
    """One connection that asks for one thing after the other."""

    def __init__(self, url: str, key: str = "") -> None:
        self._host, _, self._path = url.removeprefix("http://").partition("/")
        self._key = f"authorization: Bearer {key}\r\n" if key else ""

    async def __aenter__(self) -> "Client":
        host, _, port = self._host.partition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def call(self, name: str, text: str) -> dict[str, Any]:
        """Call a tool and give its result. Raises `RuntimeError` for anything but a result."""
        params = {"name": name, "arguments": {"text": text}, "_meta": _ENVELOPE}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        self._writer.write(
            f"POST /{self._path} HTTP/1.1\r\nhost: {self._host}\r\n{self._key}"
            "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
            f"mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: {name}\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        told = json.loads(await self._reader.readexactly(size))
        result: dict[str, Any] = told.get("result", {})
        if not result or result.get("isError"):
            raise RuntimeError(f"{name} was answered {told}")
        return result


def files(port: int) -> dict[str, str]:
    """The project: the tools of one upstream, and nineteen more that are only connected to."""
    upstreams = [
        {"name": f"u{each}", "url": f"http://127.0.0.1:{port}/u{each}/mcp", "owner": "bench"}
        for each in range(UPSTREAMS)
    ]
    tools: list[dict[str, object]] = [
        {"name": f"u{each}.echo", "upstream": f"u{each}", "tool": f"u{each}_echo", "effect": "read"}
        for each in range(UPSTREAMS)
    ]
    tools.append({"name": "u0.got", "upstream": "u0", "tool": "u0_got", "effect": "read"})
    tools.append(
        {
            "name": "u0.put",
            "upstream": "u0",
            "tool": "u0_put",
            "effect": "write",
            "reader": {"tool": "u0.got", "arguments": {"text": "args.text"}},
            "expect": "after.kept == true",
            "key_retention_s": "none",
            "settles_within_s": 0,
        }
    )
    return {
        "bailiwick.yaml": _SETTINGS,
        "limits.yaml": _LIMITS,
        "agents/caller.yaml": _AGENT.replace('["u0.*"]', json.dumps([t["name"] for t in tools])),
        "tools/upstreams.yaml": json.dumps({"upstreams": upstreams, "tools": tools}),
    }


@contextmanager
def running(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A program, until the block ends."""
    program = [sys.executable, "-m", *words]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def resident_mib(process: "subprocess.Popen[str]") -> float:
    """A process's resident memory."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


async def measured(direct: str, governed: str, key: str, seconds: float) -> dict[str, float]:
    """The medians of both ways in turn, and the rate of sixteen callers."""
    found: dict[str, float] = {}
    async with Client(direct) as straight, Client(governed, key) as through:
        for each in range(UPSTREAMS):
            await through.call(f"u{each}_echo", "warm")
        for what, name in (("read", "u0_echo"), ("write", "u0_put")):
            took: tuple[list[float], list[float]] = ([], [])
            until = time.perf_counter() + seconds
            number = 0
            while time.perf_counter() < until:
                number += 1
                for way, client in enumerate((straight, through)):
                    began = time.perf_counter()
                    await client.call(name, f"{what}-{way}-{number}")
                    took[way].append(time.perf_counter() - began)
            straight_ms, through_ms = (statistics.median(each) * 1000 for each in took)
            found |= {f"{what}.direct_ms": straight_ms, f"{what}.ms": through_ms}
    for what, url in (("direct", direct), ("governed", governed)):
        found[f"{what}.c16.per_s"] = await rate(url, key, "u0_echo", 2 * seconds)
    return found


async def rate(url: str, key: str, name: str, seconds: float) -> float:
    """How many calls a second sixteen callers get answered."""
    until = time.perf_counter() + seconds

    async def caller(which: int) -> int:
        done = 0
        async with Client(url, key) as client:
            while time.perf_counter() < until:
                await client.call(name, f"many-{which}-{done}")
                done += 1
        return done

    return sum(await asyncio.gather(*map(caller, range(CALLERS)))) / seconds


def main() -> None:
    """Found the project, start everything, and measure."""
    OUT.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=OUT) as folder,
        running("bench.upstream") as upstream,
    ):
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        project = write_project(Path(folder) / "project", files(port))
        accept = ("bailiwick.cli", "--project", str(project), "tools", "accept", "--yes")
        subprocess.run([sys.executable, "-m", *accept], check=True, capture_output=True)
        founded = asyncio.run(found(project, [Newcomer("ada")], access_for="bench"))
        began = time.perf_counter()
        words = ("bailiwick.cli", "--project", str(project), "up", "--port", "0", "--json")
        with running(*words) as up:
            assert up.stdout is not None
            told = ""
            while not told.endswith("}\n"):
                told += up.stdout.readline()
            took_s = time.perf_counter() - began
            url = json.loads(told)["mcp"]
            key = founded.access_keys["caller"]
            direct = f"http://127.0.0.1:{port}/u0/mcp"
            results = asyncio.run(measured(direct, url, key, phase_seconds()))
            tell({**results, "start.s": took_s, "memory.mb": resident_mib(up)})


if __name__ == "__main__":
    main()
