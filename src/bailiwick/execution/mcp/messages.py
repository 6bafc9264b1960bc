"""A call as the request of its method, and what its result means."""

from collections.abc import Mapping
from typing import Any

import mcp_types
from pydantic import TypeAdapter, ValidationError

from bailiwick.nouns import ToolAnswer, ToolCall, ToolContent
from bailiwick.ports import Lost

# The session checks a result against its revision; what is handed on is what came.
RESULT: TypeAdapter[Any] = TypeAdapter(dict[str, Any])
_REQUESTS: Mapping[str, type[mcp_types.Request[Any, Any]]] = {
    "tools/call": mcp_types.CallToolRequest,
    "resources/read": mcp_types.ReadResourceRequest,
    "prompts/get": mcp_types.GetPromptRequest,
    "completion/complete": mcp_types.CompleteRequest,
}
_TOOL_RESULT = TypeAdapter(mcp_types.CallToolResult)
# What a revision says to its client, and not to ours.
_BETWEEN = ("resultType", "ttlMs", "cacheScope")


def request_of(call: ToolCall, more: Mapping[str, Any]) -> mcp_types.Request[Any, Any]:
    """The request of a call; `more` are members of its parameters that go out beside."""
    params: dict[str, Any] = dict(call.arguments)
    if call.method == "tools/call":
        params = {"name": call.tool, "arguments": params}
    return _REQUESTS[call.method].model_validate(
        {"method": call.method, "params": {**params, **more}}, by_name=False
    )


def asks_for_input(result: Mapping[str, Any]) -> bool:
    """Whether it is no result yet: the server wants something first (2026-07-28)."""
    return result.get("resultType") == "input_required"


def answer_of(call: ToolCall, result: Mapping[str, Any], status: int | None) -> ToolAnswer:
    """What a result says, without what servers say to their own client alone.

    Raises `Lost` for a tool's result that is none: a session takes more for one than it should.
    """
    meta = result.get("_meta") or {}
    meta = {name: each for name, each in meta.items() if name != mcp_types.SERVER_INFO_META_KEY}
    if call.method != "tools/call":
        value = {name: each for name, each in result.items() if name not in (*_BETWEEN, "_meta")}
        return ToolAnswer(value={**value, **({"_meta": meta} if meta else {})}, status=status)
    try:
        _TOOL_RESULT.validate_python(result, by_name=False)
    except ValidationError:
        raise Lost("answer_lost", "the answer is not as the protocol has it") from None
    content = ToolContent(
        blocks=tuple(result["content"]),
        structured=result.get("structuredContent"),
        is_structured="structuredContent" in result,
        is_error=bool(result.get("isError")),
        meta=meta,
    )
    return ToolAnswer(content=content, status=status)
