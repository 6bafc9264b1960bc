"""What the gateway adds to an MCP call: `python -m bench.gateway SECONDS`.

A client of one request at a time asks the server directly and through `bailiwick up`, in turn, so
that both figures are of the same seconds; then sixteen of them ask through it. The client speaks
2026-07-28 over a socket and nothing more, and takes no time of its own to speak of. The gateway has
twenty upstreams, a capability by access key, the budgets of `bench.subject`'s kind (tenant, agent
and run), the vault and the read-back of a write.

Then each peer that is installed is asked in the same way, in turn with the server itself.
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
from typing import Any, NamedTuple

from bailiwick.operations import Newcomer, found
from bailiwick.testing import write_project
from bench.lines import GATEWAY_PEERS
from bench.timing import phase_seconds, tell

OUT = Path("bench/out")
UPSTREAMS = 20
CALLERS = 16
# A slow way is asked so often at least.
FEWEST = 5
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


class Way(NamedTuple):
    """A way to the server's tools: where it is, what they are called there, and how it is asked."""

    url: str
    tools: str = "u0_{}"
    bearer: str = ""
    revision: str = "2026-07-28"


class Client:
    """One connection that asks for one thing after the other."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._host, _, self._path = way.url.removeprefix("http://").partition("/")
        self._key = f"authorization: Bearer {way.bearer}\r\n" if way.bearer else ""

    async def __aenter__(self) -> "Client":
        host, _, port = self._host.partition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def call(self, tool: str, text: str) -> dict[str, Any]:
        """Call a tool and give its result. Raises `RuntimeError` for anything but a result."""
        return await self.named(self._way.tools.format(tool), text)

    async def named(self, name: str, text: str) -> dict[str, Any]:
        """Call a tool by its whole name."""
        params = {"name": name, "arguments": {"text": text}}
        routed = ""
        if self._way.revision == "2026-07-28":
            params["_meta"] = _ENVELOPE
            routed = f"mcp-method: tools/call\r\nmcp-name: {name}\r\n"
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        self._writer.write(
            f"POST /{self._path} HTTP/1.1\r\nhost: {self._host}\r\n{self._key}"
            "accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n"
            f"mcp-protocol-version: {self._way.revision}\r\n{routed}"
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
def running(*words: str, by: str = sys.executable) -> Iterator[subprocess.Popen[str]]:
    """A module of this package as a program, until the block ends."""
    program = [by, "-m", *words]
    # What a peer says of itself is not ours to tell.
    said = None if by == sys.executable else subprocess.DEVNULL
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=said, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def resident_mib(process: "subprocess.Popen[str]") -> float:
    """A process's resident memory."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024**2


async def measured(direct: Way, through: Way, seconds: float) -> dict[str, float]:
    """The medians of both ways in turn, and the rate of sixteen callers through the second."""
    found: dict[str, float] = {}
    async with Client(direct) as straight, Client(through) as client:
        for _ in range(FEWEST):
            await client.call("put", "warm")
        for what, tool in (("read", "echo"), ("write", "put")):
            took: tuple[list[float], list[float]] = ([], [])
            until = time.perf_counter() + seconds
            number = 0
            while time.perf_counter() < until or number < FEWEST:
                number += 1
                for which, each in enumerate((straight, client)):
                    began = time.perf_counter()
                    await each.call(tool, f"{what}-{which}-{number}")
                    took[which].append(time.perf_counter() - began)
            straight_ms, through_ms = (statistics.median(each) * 1000 for each in took)
            found |= {f"{what}.direct_ms": straight_ms, f"{what}.ms": through_ms}
    found["c16.per_s"] = await rate(through, 2 * seconds)
    return found


async def rate(way: Way, seconds: float) -> float:
    """How many reads a second sixteen callers get answered."""
    until = time.perf_counter() + seconds

    async def caller(which: int) -> int:
        done = 0
        async with Client(way) as client:
            while time.perf_counter() < until:
                await client.call("echo", f"many-{which}-{done}")
                done += 1
        return done

    began = time.perf_counter()
    done = sum(await asyncio.gather(*map(caller, range(CALLERS))))
    return done / (time.perf_counter() - began)


async def warmed(way: Way) -> None:
    """Have every upstream used once."""
    async with Client(way) as client:
        for each in range(UPSTREAMS):
            await client.named(f"u{each}_echo", "warm")


def beside(direct: Way, seconds: float) -> dict[str, float]:
    """What the peers that are installed found, each by its name."""
    found: dict[str, float] = {}
    for name in GATEWAY_PEERS:
        python = Path(f".venv-bench-{name}/bin/python").absolute()
        if not python.exists():
            continue
        with running(f"bench.peer_{name}", direct.url, by=str(python)) as peer:
            assert peer.stdout is not None
            way = Way(**json.loads(peer.stdout.readline()))
            results = asyncio.run(measured(direct, way, seconds))
        found |= {f"{name}.{key}": value for key, value in results.items()}
    return found


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
            through = Way(json.loads(told)["mcp"], bearer=founded.access_keys["caller"])
            direct, seconds = Way(f"http://127.0.0.1:{port}/u0/mcp"), phase_seconds()
            asyncio.run(warmed(through))
            results = asyncio.run(measured(direct, through, seconds))
            results["direct.c16.per_s"] = asyncio.run(rate(direct, 2 * seconds))
            results |= {"start.s": took_s, "memory.mb": resident_mib(up)}
        tell({**results, **beside(direct, seconds)})


if __name__ == "__main__":
    main()
