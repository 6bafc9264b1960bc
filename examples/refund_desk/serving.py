"""`bailiwick up` for the demo: the same, and it can be made to die at the worst moment.

    python serving.py PROJECT [--die-after CHARGE]

It prints its address as one JSON line. With `--die-after` it kills itself with SIGKILL as soon as
it has heard that the charge was refunded and before it could write that down.
"""

import argparse
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bailiwick.config import load_settings
from bailiwick.execution.egress import EgressDoor
from bailiwick.nouns import Target, ToolAnswer, ToolCall
from bailiwick.ports import Egress, Request, Response
from bailiwick.server import serve
from bailiwick.values import JSON
from bailiwick.wiring import on_demand


class FatalDoor:
    """The egress door of a process that dies once it knows that a charge was refunded."""

    def __init__(self, door: Egress, charge: str) -> None:
        self._door = door
        self._mark = f'"charge":"{charge}"'.encode()

    def target(self, url: str) -> Target:
        """Say where a request for this URL would go."""
        return self._door.target(url)

    async def send(self, request: Request, fence: Callable[[], Awaitable[bool]]) -> Response:
        """Send, and die when the answer to the refund is here."""
        response = await self._door.send(request, fence)
        if self._mark in (request.body or b""):
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    async def call(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Callable[[], Awaitable[bool]],
    ) -> object:
        """Call a Python tool."""
        return await self._door.call(function, arguments, timeout_s, fence)

    async def ask(self, call: ToolCall, fence: Callable[[], Awaitable[bool]]) -> ToolAnswer:
        """Call a tool of an MCP server."""
        return await self._door.ask(call, fence)

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until what passed its fence has begun."""
        return await self._door.quiet(timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._door.close()


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description="Bailiwick, served to the refund desk's agents.")
    parser.add_argument("project")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--die-after", metavar="CHARGE")
    arguments = parser.parse_args()
    settings = load_settings(Path(arguments.project))
    doors: dict[str, Any] = {}
    if arguments.die_after:

        def upstreams() -> Any:
            return on_demand("mcp").Upstreams(Path(arguments.project))

        doors["egress"] = FatalDoor(EgressDoor(upstreams=upstreams), arguments.die_after)
    settings = replace(settings, serve=replace(settings.serve, port=arguments.port))

    def ready(url: str) -> None:
        print(json.dumps({"url": url}), flush=True)

    serve(settings, ready, **doors)


if __name__ == "__main__":
    main()
