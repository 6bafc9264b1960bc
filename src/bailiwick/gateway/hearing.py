"""What an MCP server says and asks during a call, handed on to the client that made the call.

Progress goes out under the client's own token, log messages from the level that it wants: in
2025-11-25 the one it set for its session (`logging/setLevel`), in 2026-07-28 the one that the
request names; none without. What a server asks (a form, words of a model, folders) is asked of a
client that said it can. One of 2025-11-25 is asked during the call. One of 2026-07-28 is answered
`input_required` and calls again: a read is then made from the start, with all that the client has
answered so far, which travels sealed in its `requestState`. A write is made once, so its questions
are declined there.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from bailiwick.nouns import McpBinding, Outcome, Tool
from bailiwick.values import JSON, canonical, digest

Context = ServerRequestContext[Any, Any]

_KEPT = 4096
_LEVEL = "io.modelcontextprotocol/logLevel"
_QUESTIONS: Mapping[str, tuple[type[types.ServerRequest], type[types.Result], str]] = {
    "elicitation/create": (types.ElicitRequest, types.ElicitResult, "elicitation"),
    "sampling/createMessage": (types.CreateMessageRequest, types.CreateMessageResult, "sampling"),
    "roots/list": (types.ListRootsRequest, types.ListRootsResult, "roots"),
}


class LogLevels:
    """The levels that clients of 2025-11-25 set, by session."""

    def __init__(self) -> None:
        self._set: OrderedDict[str, str] = OrderedDict()

    def add_to(self, server: Server[Any]) -> None:
        """Serve the method."""
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._take)

    def of(self, ctx: Context) -> str:
        """The least severe level that the client wants; empty for none."""
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return str(((ctx.params or {}).get("_meta") or {}).get(_LEVEL, ""))
        return self._set.get(session_of(ctx), "")

    async def _take(self, ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        self._set[session_of(ctx)] = params.level
        if len(self._set) > _KEPT:
            self._set.popitem(last=False)
        return types.EmptyResult()


class ClientIsAsked(Exception):
    """The answer to a request is that its client has to answer first."""

    def __init__(self, result: types.InputRequiredResult) -> None:
        super().__init__("the client is asked")
        self.result = result


async def asking_first(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Answer with what is asked of the client, whichever method was carried out (a middleware)."""
    try:
        return await call_next(ctx)
    except ClientIsAsked as asked:
        return asked.result


class ClientListener:
    """The client of one request, as who listens to the call that it makes (`ports.Listener`)."""

    def __init__(self, ctx: Context, level: str, tool: Tool) -> None:
        self._ctx = ctx
        self.level = level
        self._may_be_asked = may_ask(tool)
        self._asks_later = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS and asks_later(tool)
        self._said = _said(ctx) if self._asks_later else {}
        self._open: dict[str, Mapping[str, JSON]] = {}
        self._known_as: dict[str, str] = {}
        self._lacks: dict[str, JSON] = {}

    def asks_first(self, outcome: Outcome) -> None:
        """Raise what the client has to answer before there is a result, if there is anything.

        Raises `ClientIsAsked`; `MCPError` if all that was asked is beyond what it declared.
        """
        if self._open:
            state = {"said": self._said, "open": self._known_as}
            raise ClientIsAsked(
                types.InputRequiredResult.model_validate(
                    {
                        "resultType": "input_required",
                        "inputRequests": self._open,
                        "requestState": canonical(state).decode(),
                    },
                    by_name=False,
                )
            )
        if self._lacks and outcome.status != "done":
            raise MCPError(
                types.MISSING_REQUIRED_CLIENT_CAPABILITY,
                "the server asks for what the client did not declare",
                {"requiredCapabilities": self._lacks},
            )

    @property
    def hears(self) -> bool:
        """Whether there is anything that it would be told or asked; listening has a price."""
        able = self._ctx.session.client_capabilities
        older = self._ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
        asked = self._asks_later or (
            older
            and self._may_be_asked
            and any(getattr(able, each, None) for _, _, each in _QUESTIONS.values())
        )
        token = (self._ctx.meta or {}).get("progress_token")
        return bool(self.level or asked or token is not None)

    @property
    def able(self) -> Mapping[str, JSON]:
        """What it declared; nothing of a client that cannot be asked about this call."""
        ctx = self._ctx
        able = ctx.session.client_capabilities
        newer = ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
        if able is None or (newer and not self._asks_later):
            return {}
        return able.model_dump(by_alias=True, mode="json", exclude_none=True)

    def lacks(self, required: Mapping[str, JSON]) -> None:
        """Keep it for the answer, if the client could have declared it."""
        if self._asks_later:
            self._lacks.update(required)

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        """Tell the client, if it asked to hear of progress."""
        await self._ctx.session.report_progress(progress, total, message or None)

    async def polls(self) -> None:
        """End the stream of the call, if the client comes back for what is kept of it."""
        if self._ctx.close_sse_stream is not None:
            await self._ctx.close_sse_stream()

    async def log(self, level: str, logger: str, data: JSON) -> None:
        """Send it on, in the stream of the call."""
        params = {"level": level, "data": data, **({"logger": logger} if logger else {})}
        message = types.LoggingMessageNotification.model_validate(
            {"method": "notifications/message", "params": params}, by_name=False
        )
        await self._ctx.session.send_notification(message, self._ctx.request_id)

    async def asked(
        self, method: str, params: Mapping[str, JSON], name: str
    ) -> Mapping[str, JSON] | None:
        """What the client answers; None if it cannot be asked."""
        ctx = self._ctx
        request, result, ability = _QUESTIONS[method]
        able = getattr(ctx.session.client_capabilities, ability, None) is not None
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return self._asked_later({"method": method, "params": params}, name, able=able)
        if not able:
            return None
        question = request.model_validate({"method": method, "params": params}, by_name=False)
        answer = await ctx.session.send_request(
            question, result, metadata=ServerMessageMetadata(related_request_id=ctx.request_id)
        )
        return answer.model_dump(by_alias=True, mode="json", exclude_none=True)

    def _asked_later(
        self, question: Mapping[str, JSON], name: str, *, able: bool
    ) -> Mapping[str, JSON] | None:
        if not self._asks_later:
            return None
        same = digest(question)
        if same in self._said:
            return self._said[same]
        if able:
            # Under the server's own name for it, unless another question has it.
            known_as = name if name and name not in self._open else same[:32]
            self._open[known_as], self._known_as[known_as] = question, same
        else:
            self._lacks[_QUESTIONS[str(question["method"])][2]] = {}
        return None


def may_ask(tool: Tool) -> bool:
    """Whether the tool's server may ask anything of a client while it carries out a call."""
    return isinstance(tool.binding, McpBinding) and bool(tool.binding.upstream.may_ask)


def asks_later(tool: Tool) -> bool:
    """Whether a question of the tool's server can be the answer: what is read is read again."""
    return tool.effect == "read" and may_ask(tool)


def _said(ctx: Context) -> dict[str, Mapping[str, JSON]]:
    """What the client has answered so far: by its state, which was sealed, and with this call."""
    given = ctx.params or {}
    state, answers = given.get("requestState"), given.get("inputResponses")
    if not isinstance(state, str):
        return {}
    kept = json.loads(state)
    fresh = answers if isinstance(answers, Mapping) else {}
    said = {
        same: fresh[name]
        for name, same in kept["open"].items()
        if isinstance(fresh.get(name), Mapping)
    }
    return {**kept["said"], **said}


def session_of(ctx: Context) -> str:
    """The session's id; over pipes there is one client, and none."""
    return str(ctx.request.headers.get("mcp-session-id", "")) if ctx.request is not None else ""
