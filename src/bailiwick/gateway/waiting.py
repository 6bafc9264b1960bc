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
from collections.abc import Mapping
from typing import Any, Protocol

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


class Leaves(Protocol):
    """Whether this process takes nothing new any more."""

    leaving: bool


async def held(
    world: World,
    ctx: ServerRequestContext[Any, Any],
    outcome: Outcome,
    process: Leaves,
) -> Outcome:
    """The outcome once people have decided, or as it is after `hold_seconds`, or when we leave."""
    hold_s = world.settings.serve.hold_seconds
    loop = asyncio.get_running_loop()
    until_s, told_s = loop.time() + hold_s, 0.0
    began_s = loop.time()
    while outcome.status in ("parked", "running") and not process.leaving:
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


def able_of(ctx: ServerRequestContext[Any, Any]) -> Mapping[str, JSON]:
    """The capabilities that a client declared with this request (2026-07-28)."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return {}
    able = meta_of(ctx).get(types.CLIENT_CAPABILITIES_META_KEY)
    return able if isinstance(able, Mapping) else {}


def meta_of(ctx: ServerRequestContext[Any, Any]) -> Mapping[str, JSON]:
    """What a request says beside its parameters."""
    meta = (ctx.params or {}).get("_meta")
    return meta if isinstance(meta, Mapping) else {}


def takes_addresses(able: Mapping[str, JSON]) -> bool:
    """Whether a client that is `able` would show its user an address, and then ask again."""
    elicitation = able.get("elicitation")
    return isinstance(elicitation, Mapping) and elicitation.get("url") is not None


def was_shown(params: types.CallToolRequestParams) -> bool:
    """Whether the client's user has answered an elicitation of ours."""
    return APPROVAL in (params.input_responses or {})


def asks_for_people(outcome: Outcome, url: str) -> types.InputRequiredResult:
    """The answer that has the client show its user where people decide."""
    shown = types.ElicitRequestURLParams(message=waiting_words(outcome.action, url), url=url)
    return types.InputRequiredResult(
        input_requests={APPROVAL: types.ElicitRequest(params=shown)},
        _meta={"dev.bailiwick/action": outcome.action, "dev.bailiwick/status": outcome.status},
    )
