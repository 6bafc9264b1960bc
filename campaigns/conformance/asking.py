"""Tools that ask their client for something: during the call, or by answering with what they need.

In 2025-11-25 a server sends its client a request while it works on a call. In 2026-07-28 it answers
`input_required`, and is called again with the answers and the state that it gave (SEP-2322).
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

Context = ServerRequestContext[Any, Any]
Answer = types.CallToolResult | types.InputRequiredResult
Requests = Mapping[str, types.InputRequest]

_TEXT = {"type": "string"}


class Asked(NamedTuple):
    """A call, and what it brings with it from an earlier round."""

    ctx: Context
    arguments: Mapping[str, Any]
    answers: types.InputResponses
    state: str | None


Handler = Callable[[Asked], Awaitable[Answer]]


def text(words: str, *, is_error: bool = False) -> types.CallToolResult:
    """A result of one text."""
    content: list[types.ContentBlock] = [types.TextContent(text=words)]
    return types.CallToolResult(content=content, is_error=is_error)


def form(message: str, **properties: Mapping[str, Any]) -> types.ElicitRequestFormParams:
    """A form for the client's user; every field of it is required."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequestFormParams(message=message, requested_schema=schema)


def sampling(words: str, most: int) -> types.CreateMessageRequestParams:
    """A request for words of the client's model."""
    said = types.SamplingMessage(role="user", content=types.TextContent(text=words))
    return types.CreateMessageRequestParams(messages=[said], max_tokens=most)


def told(answers: Mapping[str, Any]) -> str:
    """What the client answered, in a line."""
    return json.dumps(
        {name: each.model_dump(by_alias=True, mode="json") for name, each in answers.items()}
    )


def rounds(*wanted: Requests, keeps_state: bool = False) -> Handler:
    """A tool that asks for one thing after the other, and again for what is missing.

    With `keeps_state` it goes on only from the state that it gave; else it asks once, without one.
    """

    async def handler(asked: Asked) -> Answer:
        at = int(asked.state or 0)
        if (asked.state or not keeps_state) and wanted[at].keys() <= asked.answers.keys():
            at += 1
        if at == len(wanted):
            return text(f"state-ok {told(asked.answers)}")
        state = str(at) if keeps_state else None
        return types.InputRequiredResult(input_requests=dict(wanted[at]), request_state=state)

    return handler


def during_the_call(
    form_of: Callable[[Mapping[str, Any]], types.ElicitRequestFormParams],
) -> Handler:
    """A tool of 2025-11-25 that has its client fill in a form while it waits."""

    async def handler(asked: Asked) -> Answer:
        wanted = form_of(asked.arguments)
        reply = await asked.ctx.session.elicit_form(
            wanted.message, wanted.requested_schema, related_request_id=asked.ctx.request_id
        )
        return text(f"action={reply.action}, content={json.dumps(reply.content)}")

    return handler


async def sample(asked: Asked) -> Answer:
    """A tool of 2025-11-25 that has its client's model say something."""
    wanted = sampling(asked.arguments["prompt"], 100)
    reply = await asked.ctx.session.create_message(
        messages=wanted.messages,
        max_tokens=wanted.max_tokens,
        related_request_id=asked.ctx.request_id,
    )
    return text(f"LLM response: {getattr(reply.content, 'text', '')}")


async def what_the_client_can(asked: Asked) -> Answer:
    """Asks for what the client said that it can, and nothing else."""
    able = asked.ctx.session.client_capabilities or types.ClientCapabilities()
    wanted: dict[str, types.InputRequest] = {}
    if able.sampling is not None:
        wanted["greeting"] = types.CreateMessageRequest(params=sampling("Say hello", 50))
    if able.elicitation is not None:
        wanted.update(NAME)
    return types.InputRequiredResult(input_requests=wanted, request_state="asked")


async def needs_sampling(asked: Asked) -> Answer:
    """Refuses a client that did not say that it can sample."""
    able = asked.ctx.session.client_capabilities
    if able is None or able.sampling is None:
        raise MCPError(
            code=types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="the client must be able to sample",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return text("the client can sample")


def elicitation(message: str, **properties: Mapping[str, Any]) -> types.ElicitRequest:
    """The request to fill in a form."""
    return types.ElicitRequest(params=form(message, **properties))


NAME: Requests = {"user_name": elicitation("What is your name?", name=_TEXT)}
_CONFIRM: Requests = {"confirm": elicitation("Please confirm", ok={"type": "boolean"})}
_ROOTS: Requests = {"client_roots": types.ListRootsRequest()}
CONTEXT: Requests = {
    "user_context": elicitation("What context should the prompt use?", context=_TEXT)
}


def _options(*values: str) -> Sequence[Mapping[str, str]]:
    return [{"const": each, "title": each.title()} for each in values]


_DEFAULTS = form(
    "Who are you?",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
_ENUMS = form(
    "Which ones?",
    untitledSingle={"type": "string", "enum": ["one", "two"]},
    titledSingle={"type": "string", "oneOf": _options("one", "two")},
    legacyEnum={"type": "string", "enum": ["one", "two"], "enumNames": ["One", "Two"]},
    untitledMulti={"type": "array", "items": {"type": "string", "enum": ["one", "two"]}},
    titledMulti={"type": "array", "items": {"anyOf": _options("one", "two")}},
)

_MRTR = "test_input_required_result_"
ASKING: Mapping[str, tuple[Handler, Sequence[str]]] = {
    "test_sampling": (sample, ["prompt"]),
    "test_elicitation": (
        during_the_call(lambda given: form(given["message"], username=_TEXT, email=_TEXT)),
        ["message"],
    ),
    "test_elicitation_sep1034_defaults": (during_the_call(lambda _: _DEFAULTS), []),
    "test_elicitation_sep1330_enums": (during_the_call(lambda _: _ENUMS), []),
    "confirm_delete": (rounds(_CONFIRM), []),
    "multi_input": (rounds({**NAME, **_CONFIRM}), []),
    "test_tool_with_task": (rounds(NAME), []),
    "test_missing_capability": (needs_sampling, []),
    "test_streaming_elicitation": (rounds(NAME), []),
    f"{_MRTR}elicitation": (rounds(NAME), []),
    f"{_MRTR}sampling": (
        rounds(
            {
                "capital_question": types.CreateMessageRequest(
                    params=sampling("What is the capital of France?", 100)
                )
            }
        ),
        [],
    ),
    f"{_MRTR}list_roots": (rounds(_ROOTS), []),
    f"{_MRTR}request_state": (rounds(_CONFIRM, keeps_state=True), []),
    f"{_MRTR}tampered_state": (rounds(_CONFIRM, keeps_state=True), []),
    f"{_MRTR}capabilities": (what_the_client_can, []),
    f"{_MRTR}multiple_inputs": (
        rounds(
            {
                **NAME,
                **_ROOTS,
                "greeting": types.CreateMessageRequest(params=sampling("Generate a greeting", 50)),
            },
            keeps_state=True,
        ),
        [],
    ),
    f"{_MRTR}multi_round": (
        rounds(
            {"step1": elicitation("Step 1: What is your name?", name=_TEXT)},
            {"step2": elicitation("Step 2: What is your favorite color?", color=_TEXT)},
            keeps_state=True,
        ),
        [],
    ),
}
