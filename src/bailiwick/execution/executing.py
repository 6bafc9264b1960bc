"""Step 9 and the reads of steps 4 and 10: sends, repeated only where that cannot do harm.

A send is repeated when nothing can have happened so far, or when the provider honours the action's
key and still keeps it: with exponential backoff and full jitter, after the provider's Retry-After
if it gives one, never past the action's deadline, and each time past the fence. `failed` means that
every single send is known to have done nothing.
"""

import asyncio
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from bailiwick.errors import BadInput, CatalogError, ExecutionError
from bailiwick.execution.answers import SendReport
from bailiwick.execution.fencing import Fence
from bailiwick.execution.keys import action_names
from bailiwick.execution.sending import Shot, make_ready, send
from bailiwick.nouns import Action, EffectReport, Reader, Refusal, Tool
from bailiwick.ports import LISTENER, Bundle, World
from bailiwick.values import JSON

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_SECOND = 1_000_000

_TOO_LATE = SendReport(
    fate="not_done", begun=False, code="deadline_passed", message="the deadline has passed"
)


class Bounds(Struct, frozen=True, kw_only=True):
    """How far a send may go: until when one may begin, and one of unknown fate be repeated."""

    sends: int
    timeout_s: float
    deadline_at_us: int
    repeat_until_us: int


async def execute(
    world: World,
    bundle: Bundle,
    action: Action,
    tool: Tool,
    arguments: Mapping[str, JSON],
    *,
    before: Mapping[str, JSON],
    epoch: int,
) -> EffectReport:
    """Carry out an action whose intent is durable, and say what is known of its effect.

    `epoch` is the control epoch the action was judged under. Store faults count as a stop. Codes
    are those of `answers`, of the fence and of the credential broker.
    """
    now_us = world.now_us()
    deadline_at_us = action.deadline_at_us
    if deadline_at_us is None:
        deadline_at_us = now_us + round(tool.timeout_s * _SECOND)
    names = {"args": arguments, "action": action_names(action), "before": before}
    credential = tool.credential
    if tool.effect == "read":
        credential = tool.read_credential or tool.credential
    try:
        shot = make_ready(world, bundle, tool, names, credential=credential)
    except (BadInput, CatalogError, ExecutionError) as error:
        return EffectReport(status="failed", code=error.code, message=error.message)
    bounds = Bounds(
        sends=1 + tool.retries,
        timeout_s=tool.timeout_s,
        deadline_at_us=deadline_at_us,
        repeat_until_us=key_holds_until_us(tool, shot, now_us),
    )
    fence = Fence(world, action, tool, epoch=epoch, deadline_at_us=deadline_at_us)
    return await carry_out(world, shot, bounds, fence)


async def read(
    world: World,
    bundle: Bundle,
    tool: Tool,
    reader: Reader,
    names: Mapping[str, JSON],
    *,
    step: int = 4,
) -> JSON | Refusal:
    """Read the world for a tool, through the reading tool that `reader` names.

    `tool` is the one that declares the reader: its expressions are evaluated over `names` (`args`,
    `action`, and what is known of `before` and `result`). Nothing stops a look. It takes at most
    the reading tool's `timeout_s`, repeats included. Null says that nothing is there (404 or 410 to
    a GET); an answer that is not JSON is no fact. Codes of the refusal: read_failed, and those of
    the catalogue and the credential broker.
    """
    reading = bundle.catalogue.tools.get(reader.tool)
    if reading is None or reading.effect != "read":
        return _unread(step, "read_failed", f"`{reader.tool}` is not a tool that reads")
    try:
        asked = {
            name: bundle.catalogue.evaluate(tool, text, names)
            for name, text in reader.arguments.items()
        }
        arguments = bundle.catalogue.arguments(reading, asked)
        if isinstance(arguments, Refusal):
            return _unread(step, "read_failed", f"the read was refused: {arguments.message}")
        shot = make_ready(
            world,
            bundle,
            reading,
            {"args": arguments, "action": names["action"]},
            credential=reading.read_credential or reading.credential or tool.read_credential,
            looking=True,
        )
    except (BadInput, CatalogError, ExecutionError) as error:
        return _unread(step, error.code, error.message, error.help)
    bounds = Bounds(
        sends=1 + reading.retries,
        timeout_s=reading.timeout_s,
        deadline_at_us=world.now_us() + round(reading.timeout_s * _SECOND),
        repeat_until_us=0,
    )
    # What the look's server says is not said of the call that somebody listens to.
    token = LISTENER.set(None)
    try:
        report = await carry_out(world, shot, bounds, None)
    finally:
        LISTENER.reset(token)
    if report.status == "done":
        return report.result
    if step == 4:
        # It is told to an agent whom the rules may yet deny: not what the provider said.
        return _unread(step, "read_failed", f"`{reader.tool}` shows nothing [{report.code}]")
    return _unread(step, "read_failed", f"{report.message} [{report.code}]")


async def carry_out(
    world: World,
    shot: Shot,
    bounds: Bounds,
    fence: Fence | None,
    doubt: SendReport | None = None,
) -> EffectReport:
    """Send until something is certain or the limits are reached.

    `doubt` is an earlier send whose fate is unknown: with it, nothing but success is certain.
    """
    begun = 0
    last = _TOO_LATE
    for turn in range(bounds.sends):
        left_s = (bounds.deadline_at_us - world.now_us()) / _SECOND
        if left_s <= 0:
            break
        last = await send(world, shot, min(bounds.timeout_s, left_s), fence)
        begun += last.begun
        if last.fate == "done":
            return _report("done", last, begun)
        if last.fate == "unknown":
            doubt = last
        if not last.again or turn + 1 == bounds.sends:
            break
        pause_s = _pause_s(world, turn, last.retry_after_s)
        next_at_us = world.now_us() + pause_s * _SECOND
        until_us = bounds.deadline_at_us
        if doubt is not None:
            until_us = min(until_us, bounds.repeat_until_us)
        if next_at_us >= until_us:
            break
        await asyncio.sleep(pause_s)
    if doubt is None:
        return _report("failed", last, begun)
    return _report("unknown", doubt, begun, last)


def key_holds_until_us(tool: Tool, shot: Shot, first_send_at_us: int) -> int:
    """Say until when a repeat under the key may begin; 0 if no key protects it.

    The repeat must also arrive while the provider keeps the key, hence the timeout's subtraction.
    """
    if tool.key_retention_s is None or not shot.keyed:
        return 0
    return first_send_at_us + round((tool.key_retention_s - tool.timeout_s) * _SECOND)


def _pause_s(world: World, turn: int, retry_after_s: float | None) -> float:
    """Exponential backoff with full jitter, on top of what the provider asked for."""
    fraction = int.from_bytes(world.random(4), "big") / 2**32
    backoff_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**turn) * fraction
    return (retry_after_s or 0.0) + backoff_s


def _report(
    status: Literal["done", "failed", "unknown"],
    told: SendReport,
    begun: int,
    last: SendReport | None = None,
) -> EffectReport:
    """Report what `told` says; `last` is a later send that could not settle it."""
    evidence: dict[str, JSON] = {}
    message = told.message
    if told.http_status is not None:
        evidence["http_status"] = told.http_status
    if told.heard:
        evidence["heard"] = told.heard
    if last is not None and last is not told:
        evidence["then"] = last.code
        message = f"{message}; then: {last.message}"
        if last.http_status is not None:
            evidence["http_status"] = last.http_status
    return EffectReport(
        status=status,
        result=told.result,
        code=told.code,
        message=message,
        sends=begun,
        evidence=evidence,
        content=told.content,
    )


def _unread(step: int, code: str, message: str, help: str = "") -> Refusal:
    return Refusal(
        step=step,
        code=code,
        message=message,
        help=help or "see whether the reading tool answers by itself",
    )
