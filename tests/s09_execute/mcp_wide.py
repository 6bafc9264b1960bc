"""An MCP server that gives all that a server can give, written with the official SDK.

`mcp_wide.py FOLDER` speaks over its pipes; `mcp_wide.py FOLDER PORT` over HTTP. Its tools are the
functions of `TOOLS`. FOLDER/journal has what it did and what it was told.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from starlette.applications import Starlette
from starlette.routing import Route

from bailiwick.gateway.resuming import ResumableSessions

FOLDER = Path(sys.argv[1])
PIXEL = base64.b64encode(b"\x89PNG").decode()
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
# What a tool can say, in every kind of block that the protocol has.
BLOCKS: list[Any] = [
    {"type": "text", "text": "two", "annotations": {"audience": ["user"], "priority": 0.5}},
    {"type": "image", "data": PIXEL, "mimeType": "image/png"},
    {"type": "audio", "data": PIXEL, "mimeType": "audio/wav"},
    {"type": "resource_link", "uri": "note://1", "name": "one", "size": 4},
    {
        "type": "resource",
        "resource": {"uri": "note://2", "mimeType": "text/plain", "text": "tea", "_meta": {"a": 1}},
    },
]
WHOLE = {"content": BLOCKS, "structuredContent": {"count": 2}, "_meta": {"example/trace": "t-1"}}
FORM = {"type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}


def write(**entry: Any) -> None:
    with (FOLDER / "journal").open("a") as journal:
        journal.write(json.dumps(entry) + "\n")


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


async def plain(_: Any, params: Any) -> dict[str, Any]:
    write(tool="plain", text=(params.arguments or {}).get("text"))
    return said("tea")


async def blocks(_: Any, __: Any) -> dict[str, Any]:
    write(tool="blocks", said=WHOLE)
    return WHOLE


async def wrong(_: Any, __: Any) -> dict[str, Any]:
    write(tool="wrong")
    more = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
    return {
        "content": [{"type": "text", "text": "no such note"}, more],
        "structuredContent": {"code": 7},
        "isError": True,
    }


QUESTIONS: dict[str, dict[str, Any]] = {
    "ask": {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "Sure?", "requestedSchema": FORM},
    },
    "roots": {"method": "roots/list"},
    "sample": {
        "method": "sampling/createMessage",
        "params": {
            "messages": [{"role": "user", "content": {"type": "text", "text": "Say."}}],
            "maxTokens": 10,
        },
    },
}


ASKED: dict[str, tuple[Any, Any]] = {
    "ask": (types.ElicitRequest, types.ElicitResult),
    "roots": (types.ListRootsRequest, types.ListRootsResult),
    "sample": (types.CreateMessageRequest, types.CreateMessageResult),
}


async def asking(context: Any, params: Any) -> dict[str, Any]:
    """Asks its client what its name says, in the way of the revision, and tells the answer."""
    question = QUESTIONS[params.name]
    if context.protocol_version == "2026-07-28" and params.input_responses is None:
        write(tool=params.name, round=1)
        return {
            "resultType": "input_required",
            "inputRequests": {"q": question},
            "requestState": "s-1",
        }
    if context.protocol_version == "2026-07-28":
        answer = params.input_responses["q"].model_dump(by_alias=True, mode="json")
        answer = {name: each for name, each in answer.items() if each is not None}
    else:
        request, result = ASKED[params.name]
        try:
            told = await context.session.send_request(
                request.model_validate(question, by_name=False),
                result,
                metadata=ServerMessageMetadata(related_request_id=context.request_id),
            )
            answer = told.model_dump(by_alias=True, mode="json")
        except MCPError as error:
            answer = {"error": error.message}
    write(tool=params.name, answer=answer, state=params.request_state)
    return said(json.dumps(answer))


async def needs(context: Any, params: Any) -> dict[str, Any]:
    """Refuses a client that cannot do what it is told to need, and says what it heard of it."""
    needed = json.loads((params.arguments or {}).get("text") or "{}")
    able = context.session.client_capabilities.model_dump(
        by_alias=True, mode="json", exclude_none=True
    )
    write(tool="needs", able=able)
    if any(form not in able.get(kind, {}) for kind, forms in needed.items() for form in forms):
        code = types.MISSING_REQUIRED_CLIENT_CAPABILITY
        raise MCPError(code, "the client must be able", {"requiredCapabilities": needed})
    return said("able")


async def loop(_: Any, params: Any) -> dict[str, Any]:
    write(tool="loop", state=params.request_state)
    state = int(params.request_state or 0) + 1
    asked = {"inputRequests": {"q": QUESTIONS["ask"]}} if (params.arguments or {}) else {}
    return {"resultType": "input_required", "requestState": str(state), **asked}


async def forgets(_: Any, params: Any) -> dict[str, Any]:
    write(tool="forgets")
    if params.request_state:
        raise MCPError(types.INVALID_PARAMS, "what state?")
    return {"resultType": "input_required", "requestState": "s"}


async def chatty(context: Any, params: Any) -> dict[str, Any]:
    steps = int((params.arguments or {}).get("text", "3"))
    for step in range(steps):
        await context.session.report_progress(step, steps, f"step {step}\x1b[2J")
        await context.session.send_log_message(
            "info", {"step": step}, "wide", related_request_id=context.request_id
        )
    return said("done")


async def loud(context: Any, _: Any) -> dict[str, Any]:
    related = {"related_request_id": context.request_id}
    await context.session.send_log_message("error", "x" * 1_000_000, "wide", **related)
    await context.session.send_log_message("debug", "not wanted", "wide", **related)
    return said("done")


async def flood(context: Any, _: Any) -> dict[str, Any]:
    write(tool="flood")
    for step in range(200):
        await context.session.report_progress(step, None, "x" * 100_000)
    return said("done")


async def slow(_: Any, __: Any) -> dict[str, Any]:
    write(tool="slow")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        write(cancelled="slow")
        raise
    return said("late")


async def breaks(context: Any, _: Any) -> dict[str, Any]:
    """Has its client come back for the answer, where the revision lets it."""
    if context.close_sse_stream is not None:
        await context.close_sse_stream()
    await asyncio.sleep(0.1)
    return said("kept")


TOOLS: dict[str, Callable[[Any, Any], Awaitable[dict[str, Any]]]] = {
    "plain": plain,
    "blocks": blocks,
    "wrong": wrong,
    "ask": asking,
    "roots": asking,
    "sample": asking,
    "needs": needs,
    "loop": loop,
    "forgets": forgets,
    "chatty": chatty,
    "loud": loud,
    "flood": flood,
    "slow": slow,
    "breaks": breaks,
}


async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
    listed = [{"name": name, "description": name, "inputSchema": SCHEMA} for name in TOOLS]
    return types.ListToolsResult.model_validate(
        {"tools": listed, "ttlMs": 0, "cacheScope": "private"}
    )


async def call_tool(context: Any, params: types.CallToolRequestParams) -> Any:
    if params.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, "no such tool")
    told: Mapping[str, Any] = await TOOLS[params.name](context, params)
    if told.get("resultType") == "input_required":
        return types.InputRequiredResult.model_validate(told, by_name=False)
    return types.CallToolResult.model_validate(told, by_name=False)


async def list_resources(_: Any, __: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult.model_validate(
        {
            "resources": [
                {
                    "uri": "note://1",
                    "name": "one\u200b",
                    "description": "First.\nSee\x1b[2J\u202e more.",
                },
                {"uri": "note://\u202e2", "name": "deceptive"},
                {"uri": "note://1", "name": "another of the same address"},
                {"uri": "note://big", "name": "big", "description": "x" * 70_000},
            ],
            "ttlMs": 0,
            "cacheScope": "private",
        }
    )


async def list_templates(_: Any, __: Any) -> types.ListResourceTemplatesResult:
    return types.ListResourceTemplatesResult.model_validate(
        {
            "resourceTemplates": [{"uriTemplate": "note://{id}", "name": "notes"}],
            "ttlMs": 0,
            "cacheScope": "private",
        }
    )


async def list_prompts(_: Any, params: Any) -> types.ListPromptsResult:
    cursor = params.cursor if params else None
    name = "ask" if cursor is None else "again"
    listed = {"name": name, "description": "Asks.", "arguments": [{"name": "who"}]}
    return types.ListPromptsResult.model_validate(
        {
            "prompts": [listed],
            "nextCursor": "2" if cursor is None else None,
            "ttlMs": 0,
            "cacheScope": "private",
        }
    )


async def read_resource(_: Any, params: types.ReadResourceRequestParams) -> Any:
    write(read=params.uri, action=dict(params.meta or {}).get("dev.bailiwick/action"))
    if params.uri == "note://none":
        raise MCPError(-32002, "Resource not found")
    if params.uri == "note://huge":
        return contents(params.uri, "x" * 100_000_000)
    return types.ReadResourceResult.model_validate(
        {
            "contents": [
                {"uri": params.uri, "mimeType": "text/plain", "text": "tea", "_meta": {"a": 1}},
                {"uri": params.uri, "blob": PIXEL},
            ],
            "ttlMs": 0,
            "cacheScope": "private",
        },
        by_name=False,
    )


def contents(uri: str, text: str) -> types.ReadResourceResult:
    return types.ReadResourceResult(
        contents=[types.TextResourceContents(uri=uri, text=text)], ttl_ms=0, cache_scope="private"
    )


async def get_prompt(_: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    who = (params.arguments or {}).get("who", "nobody")
    said = types.TextContent(type="text", text=f"Hello {who}\x1b[2J")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=said)])


async def complete(_: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
    begun = params.argument.value
    return types.CompleteResult(completion=types.Completion(values=[begun + "ada"], total=1))


SERVER: Server[Any] = Server(
    "wide",
    on_list_tools=list_tools,
    on_call_tool=call_tool,
    on_list_resources=list_resources,
    on_list_resource_templates=list_templates,
    on_read_resource=read_resource,
    on_list_prompts=list_prompts,
    on_get_prompt=get_prompt,
    on_completion=complete,
)


async def over_pipes() -> None:
    changes = NotificationOptions(prompts_changed=True, resources_changed=True)
    async with stdio_server() as (incoming, outgoing):
        await SERVER.run(incoming, outgoing, SERVER.create_initialization_options(changes))


def main() -> None:
    if len(sys.argv) == 2:
        asyncio.run(over_pipes())
        return
    sessions = ResumableSessions(SERVER, retry_ms=50)
    route = Route("/mcp", endpoint=StreamableHTTPASGIApp(sessions))
    app = Starlette(routes=[route], lifespan=lambda _: sessions.run())
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")


if __name__ == "__main__":
    main()
