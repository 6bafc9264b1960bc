"""A call of a tool as a proposal: its arguments, and what its `_meta` says beside them.

    dev.bailiwick/run              the run it belongs to
    dev.bailiwick/idempotencyKey   the caller's own key
    dev.bailiwick/reason           why, in the agent's words
    dev.bailiwick/sources          what the agent goes by, a list of texts
    dev.bailiwick/uncertainty      how sure it is, in its words
    traceparent                    the trace it is part of (W3C), which is its run if none is named

The SDK has parsed the message before: of names that stood twice the last one counts. What is
decided is still what is sent.
"""

import re
from collections.abc import Mapping

from bailiwick import cases
from bailiwick.errors import BadInput
from bailiwick.gateway.doors import Visitor
from bailiwick.nouns import TRACE, Proposal
from bailiwick.ports import World
from bailiwick.values import JSON

META = "dev.bailiwick/"
# Source: W3C Trace Context, 3.2.2; a trace of zeros is none.
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}").match


async def proposal(
    world: World,
    visitor: Visitor,
    *,
    tool: str,
    arguments: Mapping[str, JSON],
    meta: Mapping[str, JSON],
) -> Proposal:
    """The proposal that a call is. Raises `BadInput`, and what the credential fails on."""
    run = _text(meta, "run")
    trace = _TRACEPARENT(str(meta.get("traceparent", "")))
    # A client of access keys that names no run is in one for each trace, as far as it tells them.
    within = run or (f"{TRACE}{trace[1]}" if trace else None)
    return cases.propose(
        tool,
        arguments,
        await visitor.credential(within),
        tenant=world.settings.tenant,
        run=run,
        key=_text(meta, "idempotencyKey"),
        reason=_text(meta, "reason") or "",
        sources=_texts(meta, "sources"),
        uncertainty=_text(meta, "uncertainty") or "",
        max_bytes=world.settings.max_argument_bytes,
    )


def _text(meta: Mapping[str, JSON], name: str) -> str | None:
    value = meta.get(META + name)
    if value is None or isinstance(value, str):
        return value
    raise _mistyped(name, "text")


def _texts(meta: Mapping[str, JSON], name: str) -> tuple[str, ...]:
    value = meta.get(META + name, [])
    if not isinstance(value, (list, tuple)):
        raise _mistyped(name, "a list of texts")
    texts = tuple(each for each in value if isinstance(each, str))
    if len(texts) < len(value):
        raise _mistyped(name, "a list of texts")
    return texts


def _mistyped(name: str, wanted: str) -> BadInput:
    return BadInput(
        f"`_meta` has a `{META}{name}` that is not {wanted}",
        code="meta_invalid",
        help=f"send {wanted}, or leave it out",
    )
