"""A server with everything the conformance scenarios ask for, in both revisions, on one address.

`python -m campaigns.conformance.fixture` listens on a free port of loopback and prints its URL.
What the tools, resources and prompts are called, and what they say, is what the suites ask for.
"""

import asyncio
import json
import re
import secrets
import socket
from collections.abc import Mapping
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged
from starlette.applications import Starlette
from starlette.routing import Route

from bailiwick.gateway.resuming import ResumableSessions
from campaigns.conformance.asking import ASKING, CONTEXT, Answer, Asked, Context, Handler, text

# The smallest picture and sound: one pixel, no sample.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="

_IMAGE = types.ImageContent(data=PNG, mime_type="image/png")
_TEMPLATE = re.compile(r"test://template/([^/]+)/data")
_BUS = InMemorySubscriptionBus()


def _embedded(uri: str, mime_type: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    )


def _says(*blocks: types.ContentBlock) -> Handler:
    async def handler(_: Asked) -> Answer:
        return types.CallToolResult(content=list(blocks))

    return handler


async def _fails(_: Asked) -> Answer:
    return text("This tool intentionally returns an error for testing", is_error=True)


async def _logs(asked: Asked) -> Answer:
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await asked.ctx.session.send_log_message(
            "info", words, related_request_id=asked.ctx.request_id
        )
        await asyncio.sleep(0.05)
    return text("logged three times")


async def _progresses(asked: Asked) -> Answer:
    for percent in (0, 50, 100):
        await asked.ctx.session.report_progress(percent, 100, f"{percent} of 100")
        await asyncio.sleep(0.05)
    return text("progressed three times")


async def _breaks_off(asked: Asked) -> Answer:
    """Has its client come back for the answer (SEP-1699)."""
    if asked.ctx.close_sse_stream is not None:
        await asked.ctx.close_sse_stream()
    await asyncio.sleep(0.1)
    return text("come back for")


async def _greets(asked: Asked) -> Answer:
    return text(f"Hello, {asked.arguments.get('name')}!")


async def _computes(asked: Asked) -> Answer:
    await asyncio.sleep(min(float(asked.arguments.get("seconds", 0)), 5))
    return text(f"computed {asked.arguments.get('label', '')}")


async def _panics(_: Asked) -> Answer:
    raise MCPError(types.INTERNAL_ERROR, "this tool fails by the protocol")


async def _changes_tools(_: Asked) -> Answer:
    await _BUS.publish(ToolsListChanged())
    return text("tool list changed")


async def _changes_prompts(_: Asked) -> Answer:
    await _BUS.publish(PromptsListChanged())
    return text("prompt list changed")


_SCHEMA_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        **{name: {"type": "string"} for name in ("name", "phone", "email")},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
_PLAIN: Mapping[str, Handler] = {
    "test_simple_text": _says(
        types.TextContent(text="This is a simple text response for testing.")
    ),
    "test_image_content": _says(_IMAGE),
    "test_audio_content": _says(types.AudioContent(data=WAV, mime_type="audio/wav")),
    "test_embedded_resource": _says(
        _embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ),
    "test_multiple_content_types": _says(
        types.TextContent(text="Multiple content types test:"),
        _IMAGE,
        _embedded("test://mixed-content-resource", "application/json", '{"test":"data"}'),
    ),
    "test_error_handling": _fails,
    "test_tool_with_logging": _logs,
    "test_logging_tool": _logs,
    "test_tool_with_progress": _progresses,
    "greet": _greets,
    "slow_compute": _computes,
    "failing_job": _fails,
    "protocol_error_job": _panics,
    "test_reconnection": _breaks_off,
    "test_trigger_tool_change": _changes_tools,
    "test_trigger_prompt_change": _changes_prompts,
}
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "greet": {"type": "object", "properties": {"name": {"type": "string"}}},
    "slow_compute": {
        "type": "object",
        "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
    },
    "confirm_delete": {"type": "object", "properties": {"filename": {"type": "string"}}},
    "json_schema_2020_12_tool": _SCHEMA_2020,
    "test_x_mcp_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    },
}
HANDLERS: Mapping[str, Handler] = {
    **_PLAIN,
    **{name: handler for name, (handler, _) in ASKING.items()},
    **{
        name: _says(types.TextContent(text="taken"))
        for name in _SCHEMAS
        if name not in {*_PLAIN, *ASKING}
    },
}


def _schema(name: str) -> dict[str, Any] | None:
    if name in _SCHEMAS:
        return dict(_SCHEMAS[name])
    if name not in HANDLERS:
        return None
    needed = list(ASKING[name][1]) if name in ASKING else []
    properties = {each: {"type": "string"} for each in needed}
    return {"type": "object", "properties": properties, "required": needed}


async def list_tools(ctx: Context, params: Any) -> types.ListToolsResult:
    """All tools, on one page."""
    return types.ListToolsResult(
        tools=[
            types.Tool(name=name, description=f"Asked by {name}", input_schema=_schema(name) or {})
            for name in HANDLERS
        ]
    )


async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> Answer:
    """Carry out a call."""
    handler = HANDLERS.get(params.name)
    if handler is None:
        raise MCPError(code=types.INVALID_PARAMS, message=f"there is no tool {params.name}")
    answers = params.input_responses or {}
    return await handler(Asked(ctx, params.arguments or {}, answers, params.request_state))


_RESOURCES: Mapping[str, tuple[str, str]] = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", PNG),
    "test://watched-resource": ("text/plain", "This is watched."),
}


async def list_resources(ctx: Context, params: Any) -> types.ListResourcesResult:
    """All resources, on one page."""
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=uri, name=uri[7:], description=f"It is {kind}", mime_type=kind)
            for uri, (kind, _) in _RESOURCES.items()
        ]
    )


async def list_templates(ctx: Context, params: Any) -> types.ListResourceTemplatesResult:
    """The one template."""
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data",
        name="template",
        description="Says which id it was asked for",
        mime_type="application/json",
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(
    ctx: Context, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    """One resource; what does not exist is named in the error (SEP-2164)."""
    uri = str(params.uri)
    if found := _TEMPLATE.fullmatch(uri):
        said = {"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"}
        kind, content = "application/json", json.dumps(said)
    elif uri in _RESOURCES:
        kind, content = _RESOURCES[uri]
    else:
        raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})
    contents: types.TextResourceContents | types.BlobResourceContents
    if kind == "image/png":
        contents = types.BlobResourceContents(uri=uri, mime_type=kind, blob=content)
    else:
        contents = types.TextResourceContents(uri=uri, mime_type=kind, text=content)
    return types.ReadResourceResult(contents=[contents])


_PROMPTS: Mapping[str, tuple[str, ...]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def list_prompts(ctx: Context, params: Any) -> types.ListPromptsResult:
    """All prompts, on one page."""
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(
                name=name,
                description=f"Asked by {name}",
                arguments=[
                    types.PromptArgument(name=each, description=each, required=True)
                    for each in arguments
                ],
            )
            for name, arguments in _PROMPTS.items()
        ]
    )


async def get_prompt(
    ctx: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    """One prompt with its arguments."""
    given = params.arguments or {}
    if params.name not in _PROMPTS or set(_PROMPTS[params.name]) - set(given):
        raise MCPError(types.INVALID_PARAMS, f"no prompt {params.name} with these arguments")
    answers = params.input_responses or {}
    if params.name.startswith("test_input_required") and not CONTEXT.keys() <= answers.keys():
        return types.InputRequiredResult(input_requests=dict(CONTEXT))
    blocks: list[types.ContentBlock] = []
    if params.name == "test_prompt_with_image":
        blocks.append(_IMAGE)
    if "resourceUri" in given:
        words = "Embedded resource content for testing."
        blocks.append(_embedded(given["resourceUri"], "text/plain", words))
    said = ", ".join(f"{name}='{value}'" for name, value in given.items() if name != "resourceUri")
    blocks.append(types.TextContent(text=f"Prompt with arguments: {said}" if said else "A prompt."))
    messages = [types.PromptMessage(role="user", content=each) for each in blocks]
    return types.GetPromptResult(messages=messages)


async def complete(ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    """What could stand for an argument."""
    values = [each for each in ("paris", "park", "party") if each.startswith(params.argument.value)]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values)))


async def _empty(ctx: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


def server() -> Server[Any]:
    """The server, in both revisions."""
    made = Server(
        "conformance-fixture",
        version="1",
        cache_hints={
            "tools/list": CacheHint(1000, "public"),
            "prompts/list": CacheHint(1000, "public"),
            "resources/list": CacheHint(1000, "public"),
            "resources/templates/list": CacheHint(1000, "public"),
            "resources/read": CacheHint(1000, "public"),
        },
        get_tool_input_schema=_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=_empty,
        on_subscribe_resource=_empty,
        on_unsubscribe_resource=_empty,
        on_subscriptions_listen=ListenHandler(_BUS),
    )
    security = RequestStateSecurity(keys=[secrets.token_bytes(32)])
    made.middleware.append(RequestStateBoundary(security, default_audience="conformance-fixture"))
    return made


def application() -> Starlette:
    """The same over HTTP, on loopback; who breaks off comes back soon."""
    ours = ("127.0.0.1:*", "localhost:*")
    security = TransportSecuritySettings(
        allowed_hosts=list(ours), allowed_origins=[f"http://{each}" for each in ours]
    )
    sessions = ResumableSessions(server(), retry_ms=100, security_settings=security)
    route = Route("/mcp", endpoint=StreamableHTTPASGIApp(sessions))
    return Starlette(routes=[route], lifespan=lambda _: sessions.run())


def main() -> None:
    """Listen until a signal, and say where first."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", flush=True)
        config = uvicorn.Config(application(), log_level="warning", timeout_graceful_shutdown=1)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))


if __name__ == "__main__":
    main()
