"""What a client hears while people think, by what it can take.

    url elicitation, 2026-07-28   `input_required`: the client shows its user the address, and asks
                                  again
    progress                      the answer is held for a while, with progress meanwhile
    nothing                       the answer at once: it waits, where, and how to ask again

An action that waits is a row of the store: what is held here is the answer, never the action, and
whoever asks again attaches to it. In 2025-11-25 a server may ask during a call; a held answer does
as well there, and needs no second round.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from bailiwick import cases
from bailiwick.gateway.telling import waiting_words
from bailiwick.nouns import Outcome
from bailiwick.ports import World
from bailiwick.values import JSON

_LOOK_S = 1.0
_PROGRESS_S = 5.0
APPROVAL = "approval"


async def held(
    world: World,
    ctx: ServerRequestContext[Any, Any],
    outcome: Outcome,
    leaving: Callable[[], bool],
) -> Outcome:
    """The outcome once people have decided, or as it is after `hold_seconds`, or when we leave."""
    hold_s = world.settings.serve.hold_seconds
    loop = asyncio.get_running_loop()
    until_s, told_s = loop.time() + hold_s, 0.0
    began_s = loop.time()
    while outcome.status in ("parked", "running") and not leaving():
        if (now_s := loop.time()) >= until_s:
            break
        if now_s - told_s >= _PROGRESS_S:
            told_s = now_s
            await ctx.session.report_progress(
                now_s - began_s, hold_s, f"waits for people (action {outcome.action})"
            )
        await world.store.changed(outcome.action, min(_LOOK_S, until_s - now_s))
        outcome = await cases.look(world, world.settings.tenant, outcome.action)
    return outcome


def hears_progress(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client asked to hear of progress."""
    return bool(ctx.meta) and ctx.meta.get("progress_token") is not None  # type: ignore[union-attr]


def takes_elicitation(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the client would show its user an address, and then ask again."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return False
    able = ctx.session.client_capabilities
    return able is not None and able.elicitation is not None and able.elicitation.url is not None


def answered(params: types.CallToolRequestParams) -> Mapping[str, JSON] | None:
    """What the client's user said to an elicitation of ours; None if nothing was asked."""
    told = params.input_responses
    if not told or APPROVAL not in told:
        return None
    reply = told[APPROVAL]
    return reply.model_dump(by_alias=True) if hasattr(reply, "model_dump") else dict(reply)


def asks_for_people(outcome: Outcome, url: str) -> types.InputRequiredResult:
    """The answer that has the client show its user where people decide."""
    shown = types.ElicitRequestURLParams(message=waiting_words(outcome.action, url), url=url)
    return types.InputRequiredResult(
        input_requests={APPROVAL: types.ElicitRequest(params=shown)},
        _meta={"dev.bailiwick/action": outcome.action, "dev.bailiwick/status": outcome.status},
    )
