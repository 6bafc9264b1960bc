"""An MCP server for the benchmark of the gateway: `python -m bench.upstream`.

It prints its port, and serves the same tools under whatever path it is asked for: `echo` gives back
what it was given, `put` keeps it and `got` shows what was kept. No work, so that what is
measured is the way there.
"""

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from starlette.applications import Starlette
from starlette.routing import Mount

TEXT: dict[str, Any] = {"type": "object", "properties": {"text": {"type": "string"}}}
NAMES = ("echo", "put", "got")
KEPT: set[str] = set()


async def listed(ctx: ServerRequestContext[Any], _: Any) -> types.ListToolsResult:
    """The three tools, by names that no other path's have."""
    path = ctx.request.scope["root_path"].strip("/") if ctx.request is not None else ""
    named = [f"{path}_{name}" for name in NAMES]
    return types.ListToolsResult.model_validate(
        {"tools": [{"name": each, "description": each, "inputSchema": TEXT} for each in named]},
        by_name=False,
    )


async def called(
    _: ServerRequestContext[Any], params: types.CallToolRequestParams
) -> types.CallToolResult:
    """What a tool does."""
    text = str((params.arguments or {}).get("text"))
    if params.name.endswith("put"):
        KEPT.add(text)
    told = {"text": text, "kept": text in KEPT}
    said = types.TextContent(type="text", text=json.dumps(told))
    return types.CallToolResult(content=[said], structured_content=told)


def main() -> None:
    """Serve until it is ended."""
    server: Server[Any] = Server(
        "upstream",
        on_list_tools=listed,
        on_call_tool=called,
        get_tool_input_schema=lambda name: TEXT,
    )
    app = server.streamable_http_app(
        streamable_http_path="/mcp", json_response=True, stateless_http=True
    )

    @contextlib.asynccontextmanager
    async def living(_: Starlette) -> AsyncIterator[None]:
        async with server.session_manager.run():
            yield

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(256)
    print(listening.getsockname()[1], flush=True)
    outer = Starlette(routes=[Mount("/{name}", app), Mount("/", app)], lifespan=living)
    config = uvicorn.Config(outer, log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
