"""After a crash: finding out what became of an intent that has no outcome.

The process that owned the intent is gone, its lease has run out, and nothing is known of its sends.
Nothing is asked before the deadline and the tool's `settles_within` have both passed: until then
the effect may still be on its way. Then, in this order:

1. *Found*: the tool's `find` read shows something of which `found` says that it carries our action
   id. It must not say so for an action that does not exist: what is true of that one too is the
   same state without our id, which is evidence for a person.
2. *Sent again* under the key, while the provider keeps it: the provider answers for the first send,
   or does now what had not been done. The fence is asked as before every send.
3. *Not there*: the find reader is declared authoritative and shows nothing of ours, so the effect
   is certainly not done. It is not sent again.

Everything else is unknown, and a person resolves it. A provider that cannot be asked is asked again
later, for ten minutes at most: `None` says so.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from bailiwick.errors import BadInput, CatalogError, ExecutionError
from bailiwick.execution.answers import SendReport
from bailiwick.execution.executing import Bounds, carry_out, key_holds_until_us, read
from bailiwick.execution.fencing import Fence
from bailiwick.execution.keys import action_names, provider_key
from bailiwick.execution.sending import Shot, make_ready
from bailiwick.nouns import Action, EffectReport, Refusal, Tool
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON

_PATIENCE_S = 600.0
_SECOND = 1_000_000
_NO_ACTION = "an-action-that-does-not-exist"

# What a later look may settle, and what of the fence is no answer of the provider.
_MAY_PASS = frozenset(
    {
        "answer_lost",
        "provider_busy",
        "provider_conflict",
        "provider_error",
        "provider_unreachable",
    }
)
_SHUT = frozenset({"stopped", "control_unreadable"})

_BEFORE_THE_CRASH = SendReport(
    fate="unknown", code="in_doubt", message="what was sent before the crash is in doubt"
)


class Look(Struct, frozen=True, kw_only=True):
    """What the `find` read showed: how it relates to our action, and its answer."""

    sight: Literal["found", "absent", "without_our_id", "unclear", "unread", "no_find"]
    answer: JSON = None


async def reconcile(
    world: World,
    bundle: Bundle,
    action: Action,
    tool: Tool,
    arguments: Mapping[str, JSON],
    *,
    before: Mapping[str, JSON],
    now_us: int,
) -> EffectReport | None:
    """Find out what an intended write did; None if it is too early to say.

    The caller holds the action's lease, for the `timeout_s` of the find reader and of the tool.
    `failed` means certainly not done: code not_found_after_crash. Codes of unknown: in_doubt,
    reconcile_failed (the find read failed to the end), the fence's, and those of the last send.
    """
    first_send_at_us = action.intended_at_us or action.created_at_us
    deadline_at_us = action.deadline_at_us or first_send_at_us + _us(tool.timeout_s)
    settled_at_us = deadline_at_us + _us(tool.settles_within_s)
    if now_us < settled_at_us:
        return None
    names = {"args": arguments, "action": action_names(action), "before": before}
    shot = _ready(world, bundle, tool, names)
    key_until_us = 0 if shot is None else key_holds_until_us(tool, shot, first_send_at_us)
    key_holds = now_us < key_until_us
    patient_until_us = settled_at_us + _us(_PATIENCE_S)
    if key_holds:
        # Patience with a reader must not outlast the key.
        patient_until_us = min(patient_until_us, key_until_us - _us(tool.timeout_s))

    look = await _look(world, bundle, action, tool, names)
    if look.sight == "found":
        return EffectReport(status="done", result=look.answer, evidence={"find": "found"})
    if look.sight == "unread" and now_us < patient_until_us:
        return None
    absent = look.sight == "absent" and tool.find is not None and tool.find.authoritative
    if shot is not None and key_holds:
        report = await _send_again(world, action, tool, shot, absent=absent)
        last = report.evidence.get("then", report.code)
        if report.status != "done" and last in _MAY_PASS and now_us < patient_until_us:
            return None
        return _settled(report, look)
    # Whoever had the lease before may have crashed in a repeat of his own, which settles too.
    if absent and key_until_us + _us(tool.timeout_s + tool.settles_within_s) > now_us:
        return None
    if absent:
        return _not_there(look, "its reader is authoritative and shows nothing of this action")
    if look.sight == "unread":
        return _unknown(look, "reconcile_failed", "the provider could not be asked what it did")
    return _unknown(look, "in_doubt", "nothing shows whether it was done")


def _ready(world: World, bundle: Bundle, tool: Tool, names: Mapping[str, JSON]) -> Shot | None:
    """Make the repeat ready; None if it cannot be made, so that nothing is sent again."""
    try:
        return make_ready(world, bundle, tool, names, credential=tool.credential)
    except (BadInput, CatalogError, ExecutionError):
        return None


async def _send_again(
    world: World, action: Action, tool: Tool, shot: Shot, *, absent: bool
) -> EffectReport:
    """Send under the key. What was sent before is in doubt unless it is certainly absent."""
    until_us = world.now_us() + _us(tool.timeout_s)
    bounds = Bounds(
        sends=1 + tool.retries,
        timeout_s=tool.timeout_s,
        deadline_at_us=until_us,
        repeat_until_us=until_us,
    )
    fence = Fence(world, action, tool, epoch=None, deadline_at_us=until_us)
    return await carry_out(world, shot, bounds, fence, None if absent else _BEFORE_THE_CRASH)


def _settled(report: EffectReport, look: Look) -> EffectReport:
    """Add what was looked for to what the repeat told."""
    if report.status == "failed" and report.code not in _SHUT:
        return _not_there(look, report.message, then=report.code)
    if report.status == "failed":
        # Certain only if nobody repeated it before us and crashed; the stop lets nobody ask.
        return _unknown(look, report.code, report.message)
    evidence = {**report.evidence, **_seen(look), "sent_again": report.sends}
    return msgspec.structs.replace(report, evidence=evidence)


def _not_there(look: Look, reason: str, then: str = "") -> EffectReport:
    return EffectReport(
        status="failed",
        code="not_found_after_crash",
        message=f"the provider has nothing of it: {reason}",
        evidence={**_seen(look), **({"then": then} if then else {})},
    )


def _unknown(look: Look, code: str, message: str) -> EffectReport:
    return EffectReport(status="unknown", code=code, message=message, evidence=_seen(look))


def _seen(look: Look) -> dict[str, JSON]:
    if look.answer is None:
        return {"find": look.sight}
    return {"find": look.sight, "answer": look.answer}


async def _look(
    world: World, bundle: Bundle, action: Action, tool: Tool, names: Mapping[str, JSON]
) -> Look:
    if tool.find is None or tool.found is None:
        return Look(sight="no_find")
    answer = await read(world, bundle, tool, tool.find, names, step=9)
    if isinstance(answer, Refusal):
        return Look(sight="unread")
    if answer is None:
        return Look(sight="absent")
    nobody = {
        **action_names(action),
        "id": _NO_ACTION,
        "provider_key": provider_key(action.tenant, _NO_ACTION),
    }
    shown = {**names, "after": answer, "result": answer}
    ours = _holds(bundle, tool, tool.found, shown)
    if ours is None:
        return Look(sight="unclear", answer=answer)
    if not ours:
        return Look(sight="absent", answer=answer)
    if _holds(bundle, tool, tool.found, {**shown, "action": nobody}):
        return Look(sight="without_our_id", answer=answer)
    return Look(sight="found", answer=answer)


def _holds(bundle: Bundle, tool: Tool, text: str, names: Mapping[str, JSON]) -> bool | None:
    """Say whether an expression holds; None if it cannot be evaluated or is no yes or no."""
    try:
        value = bundle.catalogue.evaluate(tool, text, names)
    except CatalogError:
        return None
    return value if isinstance(value, bool) else None


def _us(seconds: float) -> int:
    return round(seconds * _SECOND)
