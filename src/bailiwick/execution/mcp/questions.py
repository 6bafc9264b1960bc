"""What a server asks its client during a call, in either revision.

2025-11-25   a request of its own in the session, answered there
2026-07-28   `input_required` instead of a result; the call is continued with the answers

A continuation is a send more of the same call: the fence is asked again, and from then on nothing
but a result tells what the call did. Source: MCP, client features; SEP-2322.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import mcp_types
from mcp.client.session import ClientRequestContext
from pydantic import TypeAdapter, ValidationError

from bailiwick.execution.mcp.wire import Delivery
from bailiwick.values import JSON, shown

MOST_ROUNDS = 10
_MOST_AT_ONCE = 8
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.25
_ANSWERS: Mapping[str, TypeAdapter[mcp_types.InputResponse]] = {
    "elicitation/create": TypeAdapter(mcp_types.ElicitResult),
    "sampling/createMessage": TypeAdapter(
        mcp_types.CreateMessageResult | mcp_types.CreateMessageResultWithTools
    ),
    "roots/list": TypeAdapter(mcp_types.ListRootsResult),
}
# How a question is declined by a result of its own; sampling has no such form.
_DECLINED: Mapping[str, Mapping[str, JSON]] = {
    "elicitation/create": {"action": "decline"},
    "roots/list": {"roots": []},
}
_NOBODY = mcp_types.ErrorData(code=mcp_types.INVALID_REQUEST, message="nobody answers here")


async def replied(
    delivery: Delivery | None, method: str, params: Mapping[str, Any], name: str = ""
) -> mcp_types.InputResponse | None:
    """Who listens to the call answers; None where nobody does, or what he says is no answer."""
    if delivery is None:
        return None
    given = await delivery.hearing.asked(method, params, name)
    if given is None or not await delivery.passage.still_open():
        return None
    try:
        return _ANSWERS[method].validate_python(given, by_name=False)
    except ValidationError:
        return None


class Questions:
    """The client's callbacks for the kinds that an upstream may ask for."""

    def __init__(self, concerned: Callable[[], Delivery | None]) -> None:
        """`concerned` gives the call that a question belongs to, if that can be told."""
        self._concerned = concerned

    async def elicitation(
        self, _: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        """Put a form or an address to who listens; else it is declined."""
        answer = await self._answer("elicitation/create", _plain(params))
        if isinstance(answer, mcp_types.ElicitResult):
            return answer
        return mcp_types.ElicitResult(action="decline")

    async def sampling(
        self, _: ClientRequestContext, params: mcp_types.CreateMessageRequestParams
    ) -> (
        mcp_types.CreateMessageResult | mcp_types.CreateMessageResultWithTools | mcp_types.ErrorData
    ):
        """Ask who listens for his model's words."""
        answer = await self._answer("sampling/createMessage", _plain(params))
        kinds = (mcp_types.CreateMessageResult, mcp_types.CreateMessageResultWithTools)
        return answer if isinstance(answer, kinds) else _NOBODY

    async def roots(
        self, _: ClientRequestContext
    ) -> mcp_types.ListRootsResult | mcp_types.ErrorData:
        """Ask who listens for his folders."""
        answer = await self._answer("roots/list", {})
        return answer if isinstance(answer, mcp_types.ListRootsResult) else _NOBODY

    async def _answer(
        self, method: str, params: Mapping[str, Any]
    ) -> mcp_types.InputResponse | None:
        return await replied(self._concerned(), method, params)


async def continuing(delivery: Delivery, result: Mapping[str, Any], turn: int) -> dict[str, Any]:
    """What the call is continued with, after it was answered by `input_required`.

    Raises `NotSent` or `Lost`, as the end of the attempt means, if it asks for what it may not.
    """
    asked: Mapping[str, Any] = result.get("inputRequests") or {}
    if len(asked) > _MOST_AT_ONCE:
        raise delivery.gave_up("input_required", "the upstream asks too much at once")
    more: dict[str, Any] = {}
    if "requestState" in result:
        more["requestState"] = result["requestState"]
    if not asked:
        await asyncio.sleep(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**turn))
        return more
    more["inputResponses"] = {}
    for name, question in asked.items():
        method = str(question.get("method"))
        if not delivery.hearing.may_ask(method):
            words = f"the upstream asks for `{shown(method, 60)}`, which it may not"
            raise delivery.gave_up("input_required", words)
        answer = await replied(delivery, method, question.get("params") or {}, name)
        if answer is not None:
            more["inputResponses"][name] = _plain(answer)
        elif method in _DECLINED:
            more["inputResponses"][name] = _DECLINED[method]
        else:
            words = f"nobody answers the upstream's `{shown(method, 60)}`"
            raise delivery.gave_up("input_required", words)
    return more


def _plain(model: Any) -> dict[str, Any]:
    members: dict[str, Any] = model.model_dump(by_alias=True, mode="json", exclude_none=True)
    members.pop("_meta", None)
    return members
