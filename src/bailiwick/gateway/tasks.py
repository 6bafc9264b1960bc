"""Tasks (extension `io.modelcontextprotocol/tasks`): a call that waits for people, to be polled.

A task is the parked action itself, under its id: nothing is kept here, so that every replica can
answer for it, and a restart loses none. It is `working` while people think, `input_required` if
the client can show its user where, and `completed` with the call's one result afterwards, a no
included; `cancelled` is what the agent took back. Only its own agent sees it, for the same subject.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from bailiwick import cases
from bailiwick.cancelling import cancel
from bailiwick.gateway import telling, waiting
from bailiwick.gateway.doors import Visitor
from bailiwick.nouns import Action, Caller, Outcome
from bailiwick.ports import World
from bailiwick.values import JSON

EXTENSION = "io.modelcontextprotocol/tasks"
_POLL_MS = 2000
_WAITS = ("parked", "running")

Context = ServerRequestContext[Any, Any]
Who = Callable[[Any], Visitor]


class _TaskParams(types.RequestParams):
    task_id: str


def takes_tasks(able: Mapping[str, JSON]) -> bool:
    """Whether a client that is `able` polls tasks."""
    extensions = able.get("extensions")
    return isinstance(extensions, Mapping) and EXTENSION in extensions


class Tasks:
    """The extension's methods over one world."""

    def __init__(self, world: World, who: Who, approvals: str) -> None:
        self._world = world
        self._who = who
        self._approvals = approvals

    def add_to(self, server: Server[Any]) -> None:
        """Serve the methods, and advertise the extension."""
        server.extensions[EXTENSION] = {}
        server.add_request_handler("tasks/get", _TaskParams, self._get)
        server.add_request_handler("tasks/update", _TaskParams, self._update)
        server.add_request_handler("tasks/cancel", _TaskParams, self._cancel)

    async def created(self, able: Mapping[str, JSON], outcome: Outcome) -> dict[str, Any]:
        """The result that makes a task of a call that waits, of a client that is `able`."""
        action = await self._world.store.action(self._world.settings.tenant, outcome.action)
        assert action is not None
        return {"resultType": "task", **self._described(able, action, outcome, created=True)}

    async def _get(self, ctx: Context, params: _TaskParams) -> dict[str, Any]:
        action, outcome = await self._found(ctx, params.task_id)
        told = self._described(waiting.able_of(ctx), action, outcome)
        if told["status"] == "completed":
            result = telling.result(outcome, self._approvals)
            # Here the SDK does not look at it.
            told["result"] = types.CallToolResult.model_validate(result, by_name=False).model_dump(
                by_alias=True, mode="json", exclude_none=True
            )
        return {"resultType": "complete", **told}

    async def _update(self, ctx: Context, params: _TaskParams) -> dict[str, Any]:
        # That a user was shown the address is no vote: people vote on the page itself.
        await self._found(ctx, params.task_id)
        return {"resultType": "complete"}

    async def _cancel(self, ctx: Context, params: _TaskParams) -> dict[str, Any]:
        _, outcome = await self._found(ctx, params.task_id)
        if outcome.status == "parked":
            caller = await self._who(ctx.request).caller()
            await cancel(
                self._world,
                params.task_id,
                agent=caller.agent,
                subject=caller.subject,
                within=caller,
            )
        return {"resultType": "complete"}

    async def _found(self, ctx: Context, id: str) -> tuple[Action, Outcome]:
        """The caller's own action. What is another's is as unknown as what is not there."""
        if not takes_tasks(waiting.able_of(ctx)):
            raise MCPError(
                types.MISSING_REQUIRED_CLIENT_CAPABILITY,
                "the client did not declare the tasks extension",
                {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
            )
        if ctx.request is not None and ctx.request.headers.get("mcp-name") != id:
            raise MCPError(types.HEADER_MISMATCH, "mcp-name header does not match the task")
        caller: Caller = await self._who(ctx.request).caller()
        tenant = self._world.settings.tenant
        outcome = await cases.look(self._world, tenant, id, owner=caller)
        action = await self._world.store.action(tenant, id) if outcome.action else None
        if action is None:
            raise MCPError(types.INVALID_PARAMS, "there is no such task")
        return action, outcome

    def _described(
        self,
        able: Mapping[str, JSON],
        action: Action,
        outcome: Outcome,
        *,
        created: bool = False,
    ) -> dict[str, Any]:
        told: dict[str, Any] = {
            "taskId": action.id,
            "status": "working",
            "createdAt": _time(action.created_at_us),
            "lastUpdatedAt": _time(action.updated_at_us),
            "ttlMs": None,
        }
        if outcome.code == "cancelled":
            return {**told, "status": "cancelled"}
        if outcome.status not in _WAITS:
            return {**told, "status": "completed"}
        told["pollIntervalMs"] = _POLL_MS
        url = self._approvals and self._approvals + action.id
        if outcome.status == "parked":
            told["statusMessage"] = telling.waiting_words(action.id, url)
            if url and waiting.takes_addresses(able) and not created:
                asked = waiting.asks_for_people(outcome, url).model_dump(
                    by_alias=True, mode="json", exclude_none=True
                )
                told |= {"status": "input_required", "inputRequests": asked["inputRequests"]}
        return told


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
