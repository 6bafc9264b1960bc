"""A stored action becomes the answer to give, and so does a no."""

import json
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from bailiwick import identity, limits
from bailiwick.cases import refusals
from bailiwick.cases.carrying import degrade, question
from bailiwick.errors import StoreError
from bailiwick.nouns import (
    Action,
    Caller,
    Cap,
    EffectReport,
    Outcome,
    Refusal,
    ToolContent,
    content_beside,
)
from bailiwick.ports import Case, World
from bailiwick.transactions import Blocked, Commit
from bailiwick.values import JSON


async def look(world: World, tenant: str, id: str, *, owner: Caller | None = None) -> Outcome:
    """A stored action as an answer, for whoever asks later; wakes nothing.

    An `owner` is told of his own alone, and of what his token covers; all else is not there.
    """
    action = await world.store.action(tenant, id)
    if action is None or (owner and not _is_of(owner, action)):
        return refused(refusals.no_action(id))
    return await outcome_of(world, action)


def _is_of(owner: Caller, action: Action) -> bool:
    if (action.agent, action.subject) != (owner.agent, owner.subject):
        return False
    resource = action.resource
    return resource is None or bool(identity.covers(owner, action.tool, resource))


async def answer(
    world: World, written: Action | Blocked, no: Refusal | None = None
) -> Outcome | None:
    """The answer that a written action gives, with all of a no; None if nothing was written.

    When the disk is nearly full a no is given and not written: the room is for outcomes.
    """
    if isinstance(written, Blocked):
        return refused(no) if no and written.code == "disk_low" else None
    told = await outcome_of(world, written)
    if no is None:
        return told
    return replace(told, help=no.help, retry_after_s=no.retry_after_s, details=no.details)


async def outcome_of(world: World, action: Action, *, earlier: bool = False) -> Outcome:
    """Tell a stored action's state as an answer, with its result if it has one."""
    kept: Mapping[str, JSON] | None = {}
    if action.state in ("done", "failed", "unknown"):
        kept = await world.vault.open(action.tenant, action.id, "result")
    result, beside = (kept.get("result"), kept.get("content")) if kept else (None, None)
    content = content_beside(beside, result) if isinstance(beside, Mapping) else None
    outcome = _outcome(action, result, content)
    said = kept.get("message") if kept else None
    message = said if isinstance(said, str) and said else outcome.message or outcome.status
    if kept is None:
        message = f"{message} (the result has been erased)"
    if earlier:
        message = f"this is the answer of the earlier action {action.id}: {message}"
    return replace(outcome, message=message, earlier=earlier)


def _outcome(action: Action, result: JSON, content: ToolContent | None) -> Outcome:
    return Outcome(
        action=action.id,
        status="running" if action.state == "intended" else action.state,
        code=action.code,
        message=action.message,
        verdict=action.verdict,
        result=result,
        step=action.step or None,
        cost_micro_usd=action.cost_micro_usd,
        content=content,
    )


def content_of(outcome: Outcome) -> ToolContent:
    """What an outcome's tool said, as the result of an MCP call has it: blocks and structure.

    A tool that is no MCP server's says its result, as one block of text. It is empty where nothing
    was said: `status`, `code` and `message` say what became of the action.
    """
    if outcome.content is not None:
        return outcome.content
    value = outcome.result
    if value is None and outcome.status != "done":
        return ToolContent()
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ToolContent(
        blocks=({"type": "text", "text": text},),
        structured=value,
        is_structured=isinstance(value, Mapping),
    )


async def concluded(
    world: World, case: Case, written: Action | Blocked, effect: EffectReport
) -> Outcome | None:
    """The answer of an action that was just concluded, by somebody else perhaps.

    None if it is a read that was not kept (its cap is used up, its key taken): judged anew.
    """
    if isinstance(written, Action):
        with suppress(StoreError):
            await degrade(world, written, case)
        outcome = _outcome(written, effect.result, effect.content)
        # What a provider said is no part of the row.
        return replace(outcome, message=effect.message or outcome.message)
    if case.tool.effect == "read":
        no = blocked(written)
        return None if no is None else refused(no)
    return await look(world, case.action.tenant, case.action.id)


async def doubt(world: World, case: Case, effect: EffectReport) -> Outcome:
    """The answer to a send in doubt: its intent stays, and is looked up once it has settled."""
    marks = limits.breaker_mark(world.settings, case.tool, effect, None)
    if marks:
        await world.store.commit(Commit(tenant=case.action.tenant, ops=marks))
    return running(case.action)


def running(action: Action) -> Outcome:
    """The answer while nobody can say yet what became of the effect."""
    return Outcome(
        action=action.id,
        status="running",
        code="being_looked_up",
        message="it is not known yet what became of the effect; it is being looked up",
        help="ask again with the same key",
    )


def refused(no: Refusal) -> Outcome:
    """The answer to a call that did not become an action."""
    return Outcome(
        action="",
        status="refused",
        code=no.code,
        message=no.message,
        help=no.help,
        step=no.step,
        retry_after_s=no.retry_after_s,
        details=no.details,
    )


def contended() -> Outcome:
    """The answer when control kept changing while it was judged."""
    return refused(
        Refusal(
            step=8,
            code="contended",
            message="the rules or the action kept changing while it was judged",
            help="send it again",
            retry_after_s=1.0,
        )
    )


def blocked(by: Action | Blocked) -> Refusal | None:
    """What a blocked commit means: a no, or None where something moved and is judged anew."""
    if isinstance(by, Action):
        return None
    if by.code == "effect_key_held":
        return Refusal(
            step=8,
            code="effect_key_held",
            message=f"action `{by.details['holder']}` holds this effect",
            help="look at that action; the same effect is not carried out twice",
            details=by.details,
        )
    if by.code == "disk_low":
        return Refusal(
            step=8,
            code="disk_low",
            message="the disk is nearly full; no new effects are begun",
            help="free some space and send it again",
        )
    return None


def denied(case: Case) -> Refusal | None:
    """The no of the rules, with those that said it; None unless they did.

    If nothing stands against it but caps that begin anew, it says when that is.
    """
    decision = case.decision
    if decision is None or decision.effect != "deny":
        return None
    forbids = [rule.id for rule in decision.rules if rule.effect == "forbid"]
    why = f"forbidden by {', '.join(forbids)}" if forbids else "no rule permits it"
    if decision.errors:
        why = f"the rules could not be evaluated ({len(decision.errors)} errors), which denies"
    details: dict[str, JSON] = {"rules": forbids, "errors": list(decision.errors)}
    help, retry_after_s = "ask the owner of the rules, or propose something that they permit", None
    over = case.price.over
    if over:
        details["over"] = [[cap.node, cap.unit, cap.period, cap.limit] for cap in over]
        why = f"{why}: over {', '.join(map(_told_cap, over))}"
        within = msgspec.structs.replace(question(case), over=())
        if case.bundle.policies.decide(within).effect != "deny":
            retry_after_s = limits.reopens_after_s(case.price, case.now_us)
    if retry_after_s is not None:
        help = f"try again in {retry_after_s:.0f} s, when the period is over"
    return Refusal(
        step=6,
        code="denied",
        message=why,
        help=help,
        retry_after_s=retry_after_s,
        details=details,
    )


def _told_cap(cap: Cap) -> str:
    node = "customer" if cap.node.startswith("customer:") else cap.node
    return f"{node} ({cap.unit}, {cap.period})"
