"""An MCP server whose offers change, in both revisions.

`changing.py NAME` speaks over its pipes, `changing.py NAME PORT` over HTTP. Its tools change it:
`touch` says that a resource was updated, `add` offers one more.
"""

import asyncio
import sys
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

BUS = InMemorySubscriptionBus()
URIS = [f"{sys.argv[1]}://{each}" for each in ("one", "two", "kept", "asked")]
SUBSCRIBED: set[str] = set()


async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
    schema = {"type": "object", "properties": {"uri": {"type": "string"}}, "required": ["uri"]}
    tools = [
        types.Tool(name=name, description=name, input_schema=schema) for name in ("touch", "add")
    ]
    return types.ListToolsResult(tools=tools)


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
    uri = str((params.arguments or {})["uri"])
    newer = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
    if params.name == "add":
        URIS.append(uri)
        if newer:
            await BUS.publish(ResourcesListChanged())
        else:
            await ctx.session.send_resource_list_changed()
    elif newer:
        await BUS.publish(ResourceUpdated(uri))
    elif uri in SUBSCRIBED:
        await ctx.session.send_resource_updated(uri)
    return types.CallToolResult(content=[types.TextContent(text="done")])


async def list_resources(_: Any, __: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[types.Resource(uri=uri, name=uri) for uri in URIS])


async def read_resource(
    _: Any, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    text = types.TextResourceContents(uri=str(params.uri), text="tea")
    return types.ReadResourceResult(contents=[text])


async def subscribe(_: Any, params: types.SubscribeRequestParams) -> types.EmptyResult:
    SUBSCRIBED.add(str(params.uri))
    return types.EmptyResult()


SERVER: Server[Any] = Server(
    "changing",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_read_resource=read_resource,
    on_subscribe_resource=subscribe,
    on_subscriptions_listen=ListenHandler(BUS),
)


async def over_pipes() -> None:
    changes = NotificationOptions(resources_changed=True)
    async with stdio_server() as (incoming, outgoing):
        await SERVER.run(incoming, outgoing, SERVER.create_initialization_options(changes))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        asyncio.run(over_pipes())
    else:
        uvicorn.run(
            SERVER.streamable_http_app(),
            host="127.0.0.1",
            port=int(sys.argv[2]),
            log_level="error",
        )
