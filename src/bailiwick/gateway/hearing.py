"""What an MCP server says and asks during a call, handed on to the client that made the call.

Progress goes out under the client's own token, log messages from the level that it wants: in
2025-11-25 the one it set for its session (`logging/setLevel`), in 2026-07-28 the one that the
request names; none without. What a server asks (a form, words of a
model, folders) is asked of a client of 2025-11-25 that said it can; of any other it is declined.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from bailiwick.values import JSON

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
        return self._set.get(_session(ctx), "")

    async def _take(self, ctx: Context, params: types.SetLevelRequestParams) -> types.EmptyResult:
        self._set[_session(ctx)] = params.level
        if len(self._set) > _KEPT:
            self._set.popitem(last=False)
        return types.EmptyResult()


class ClientListener:
    """The client of one request, as who listens to the call that it makes (`ports.Listener`)."""

    def __init__(self, ctx: Context, level: str) -> None:
        self._ctx = ctx
        self.level = level

    @property
    def hears(self) -> bool:
        """Whether there is anything that it would be told or asked; listening has a price."""
        able = self._ctx.session.client_capabilities
        older = self._ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS
        asked = older and any(getattr(able, each, None) for _, _, each in _QUESTIONS.values())
        token = (self._ctx.meta or {}).get("progress_token")
        return bool(self.level or asked or token is not None)

    async def progress(self, progress: float, total: float | None, message: str) -> None:
        """Tell the client, if it asked to hear of progress."""
        await self._ctx.session.report_progress(progress, total, message or None)

    async def log(self, level: str, logger: str, data: JSON) -> None:
        """Send it on, in the stream of the call."""
        params = {"level": level, "data": data, **({"logger": logger} if logger else {})}
        message = types.LoggingMessageNotification.model_validate(
            {"method": "notifications/message", "params": params}, by_name=False
        )
        await self._ctx.session.send_notification(message, self._ctx.request_id)

    async def asked(self, method: str, params: Mapping[str, JSON]) -> Mapping[str, JSON] | None:
        """What the client answers; None if it cannot be asked."""
        ctx = self._ctx
        request, result, ability = _QUESTIONS[method]
        able = ctx.session.client_capabilities
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS or not getattr(able, ability, None):
            return None
        question = request.model_validate({"method": method, "params": params}, by_name=False)
        answer = await ctx.session.send_request(
            question, result, metadata=ServerMessageMetadata(related_request_id=ctx.request_id)
        )
        return answer.model_dump(by_alias=True, mode="json", exclude_none=True)


def _session(ctx: Context) -> str:
    """The session's id; over pipes there is one client, and none."""
    return str(ctx.request.headers.get("mcp-session-id", "")) if ctx.request is not None else ""
