"""The spine's working state: a case is opened for a proposal, or opened again for a wake-up.

Here an owner's earlier action is found, and a stored action becomes the answer to give.
"""

import asyncio
import hmac
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from bailiwick import (
    approval,
    execution,
    identity,
    ledger,
    limits,
    refusals,
    telemetry,
    verification,
)
from bailiwick.errors import BadInput, LedgerError, StoreError
from bailiwick.nouns import (
    Action,
    Caller,
    Cap,
    Credential,
    EffectReport,
    Hold,
    Manifest,
    Mode,
    Outcome,
    Period,
    Price,
    Proposal,
    Refusal,
    Resource,
    Situation,
    Tool,
    Verification,
    Wake,
    mode_of,
)
from bailiwick.ports import Bundle, Case, ControlState, Question, World
from bailiwick.transactions import Blocked, Commit, Committed, EpochIs, MarkBreaker
from bailiwick.values import JSON, canonical, parse, plain, shown

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+*#-]{0,127}").fullmatch
_MAX_TOLD = 16 * 1024
_LOOK_AGAIN_S = 0.25

# What a derived name attaches to; a caller's own key attaches to everything but a refusal.
_ATTACHING = frozenset({"parked", "intended", "done", "unknown", "denied"})


def propose(
    tool: str,
    arguments: bytes | str | Mapping[str, object],
    credential: Credential,
    *,
    tenant: str = "default",
    run: str | None = None,
    key: str | None = None,
    reason: str = "",
    sources: tuple[str, ...] = (),
    uncertainty: str = "",
    undoes: str | None = None,
    max_bytes: int = 256 * 1024,
) -> Proposal:
    """Step 1: parse, bound and name a request. Raises `BadInput`; touches no store.

    `key` is the caller's own idempotency key; `run` the run it belongs to, by default the token's.
    `undoes` is the action that it takes back.
    """
    for what, name in (("tool", tool), ("run", run), ("key", key), ("action", undoes)):
        if name is not None and not _NAME(name):
            raise BadInput(
                f"the {what} `{shown(name)}` is not a name",
                code=f"{what}_malformed",
                help="use at most 128 letters, digits and `_ . : / + * # -`",
            )
    told = (reason, uncertainty, *sources)
    if any(told) and len(canonical(parse({"told": told}))) > _MAX_TOLD:
        raise BadInput(
            f"reason, sources and uncertainty have more than {_MAX_TOLD} bytes together",
            code="text_too_long",
            help="send a summary",
        )
    value = parse(arguments, max_bytes=max_bytes)
    return Proposal(
        tenant=tenant,
        tool=tool,
        arguments=value,
        canonical=canonical(value),
        credential=credential,
        run=run,
        key=key,
        reason=reason,
        sources=tuple(sources),
        uncertainty=uncertainty,
        undoes=undoes,
    )


async def open_case(
    world: World,
    control: ControlState,
    bundle: Bundle,
    asked: Proposal,
    caller: Caller,
    *,
    now_us: int,
) -> Case | Outcome:
    """Open a case, or give the answer of the owner's earlier action that this one attaches to."""
    tool = bundle.catalogue.tools.get(asked.tool)
    manifest = bundle.manifests.get(caller.agent)
    if tool is None or manifest is None:
        return refused(refusals.unclassified(bundle, asked, caller))
    id = f"act_{now_us:014x}{world.random(8).hex()}"
    run = caller.capability.run
    # A caller's own key is the same call in whichever run it comes again.
    mac = _mac(world, "" if asked.key else run, asked)
    name = f"key:{asked.key}" if asked.key else f"args:{mac}" if tool.effect == "write" else id
    earlier = None
    if name != id:
        earlier = await world.store.find(caller.tenant, caller.agent, caller.subject, name)
    if earlier is not None and _attaches(world, manifest, asked, earlier, now_us):
        if earlier.arguments_mac != mac:
            return refused(refusals.conflict(earlier))
        no = _uncovered(bundle, tool, asked, caller, earlier)
        if no:
            return refused(no)
        return _kept_apart(tool, caller, earlier, await _attached(world, earlier))
    if asked.undoes and not await _takes_back(world, asked, tool):
        return refused(refusals.no_way_back(asked))
    action = Action(
        id=id,
        tenant=caller.tenant,
        agent=caller.agent,
        subject=caller.subject,
        run=run,
        tool=tool.name,
        tool_digest=tool.digest,
        name=name,
        attempt=earlier.attempt + 1 if earlier else 1,
        state="refused",
        version=1,
        arguments_mac=mac,
        caller=caller,
        created_at_us=now_us,
        updated_at_us=now_us,
        undoes=asked.undoes,
    )
    return Case(
        control=control,
        bundle=bundle,
        now_us=now_us,
        proposal=asked,
        caller=caller,
        manifest=manifest,
        tool=tool,
        action=action,
        mode=_mode(bundle, control, caller, tool),
    )


async def reopen(world: World, control: ControlState, asked: Wake, now_us: int) -> Case | Outcome:
    """Open the case of a stored action again: parked, by today's release; in flight, by its own."""
    action = await world.store.action(asked.tenant, asked.action)
    if action is None:
        return refused(refusals.no_action(asked.action))
    if action.state not in ("parked", "intended"):
        return await _told(world, action)
    kept = await world.vault.open(action.tenant, action.id, "proposal")
    digest = control.release if action.state == "parked" else action.release
    bundle = await world.bundle(action.tenant, digest)
    gone = action.tool not in bundle.catalogue.tools or action.agent not in bundle.manifests
    if gone:
        bundle = await world.bundle(action.tenant, action.release)
    if kept is None and action.state == "intended":
        raise LedgerError(
            f"the arguments of action `{action.id}` are gone from the vault",
            code="payload_missing",
            help="resolve the action by hand with `bailiwick in-doubt resolve`",
        )
    tool = bundle.catalogue.tools[action.tool]
    case = Case(
        control=control,
        bundle=bundle,
        now_us=now_us,
        proposal=_proposal(action, kept or {}),
        caller=action.caller,
        manifest=bundle.manifests[action.agent],
        tool=tool,
        action=action,
        mode=_mode(bundle, control, action.caller, tool),
        stored=True,
    )
    if action.state == "intended":
        case.situation = _situation(action, kept or {})
        holds = _listed(kept.get("holds")) if kept else ()
        case.price = Price(holds=tuple(_hold(each) for each in holds))
    else:
        # People's no first: it stays under the action's name, which the others free.
        case.no = await approval.closed(world, action, now_us)
        if case.no is None and gone:
            case.no = refusals.gone(action)
        elif case.no is None and kept is None:
            case.no = refusals.lost(action)
        elif case.no is None:
            case.no = identity.standing(control, bundle.manifests, action.caller, action.tool)
    return case


def _mode(bundle: Bundle, control: ControlState, caller: Caller, tool: Tool) -> Mode:
    """How far the agents of a call may go with the tool, by today's manifests and settings."""
    return mode_of(
        tool.name,
        (caller.agent, *caller.actors),
        manifests=bundle.manifests,
        settings=control.modes,
    )


def question(case: Case) -> Question:
    """What the policy is asked about the case, with the evidence so far."""
    assert case.situation is not None
    return Question(
        caller=case.caller,
        tool=case.tool.name,
        situation=case.situation,
        over=case.price.over,
        evidence=tuple(case.evidence),
        now_us=case.now_us,
        sources=case.proposal.sources,
        mode=case.mode,
        data_classes=tuple(sorted(case.carried.union(case.situation.data_classes))),
    )


async def read_before(
    world: World, case: Case, arguments: Mapping[str, JSON]
) -> Mapping[str, JSON] | Refusal:
    """Step 4's reads: what the tool wants to know of the world before it is decided."""
    case.carried = await _carried(world, case)
    before: dict[str, JSON] = {}
    for name, reader in case.tool.before.items():
        names = {"args": arguments, "before": before, "action": execution.action_names(case.action)}
        seen = await execution.read(world, case.bundle, case.tool, reader, names)
        if isinstance(seen, Refusal):
            return seen
        before[name] = seen
    return before


async def _carried(world: World, case: Case) -> frozenset[str]:
    """The classes of the data that the run was shown, or the run of what is undone by it.

    They are read only where a rule looks at them; what is shown is written down in any case.
    """
    if not case.bundle.policies.reads_data_classes:
        return frozenset()
    tenant, runs = case.caller.tenant, {case.action.run}
    if case.action.undoes:
        undone = await world.store.action(tenant, case.action.undoes)
        runs.update({undone.run} if undone else ())
    rows = [await world.shelf.run(tenant, run) for run in sorted(runs)]
    return frozenset().union(*(row.classes for row in rows if row is not None))


async def execute(world: World, case: Case) -> EffectReport:
    """Step 9: do it, under the control epoch that it was judged by."""
    assert case.situation is not None
    return await execution.execute(
        world,
        case.bundle,
        case.action,
        case.tool,
        case.situation.arguments,
        before=case.situation.before,
        epoch=case.control.epoch,
    )


def can_be_looked_up(case: Case, effect: EffectReport) -> bool:
    """Whether recovery can still find out what became of a send in doubt: by reader or by key."""
    tool = case.tool
    asked = tool.find is not None or tool.key_retention_s is not None
    return effect.status == "unknown" and tool.effect == "write" and asked


async def doubt(world: World, case: Case, effect: EffectReport) -> Outcome:
    """The answer to a send in doubt: its intent stays, and is looked up once it has settled."""
    marks = limits.breaker_mark(world.settings, case.tool, effect, None)
    if marks:
        await world.store.commit(Commit(tenant=case.action.tenant, ops=marks))
    return running(case.action)


async def reconcile(world: World, case: Case) -> EffectReport | None:
    """Step 9 after a crash: find out what became of it. None: it is too early to say."""
    assert case.situation is not None
    return await execution.reconcile(
        world,
        case.bundle,
        case.action,
        case.tool,
        case.situation.arguments,
        before=case.situation.before,
        now_us=case.now_us,
    )


async def breaker_marks(
    world: World, case: Case, effect: EffectReport, verified: Verification | None
) -> tuple[MarkBreaker, ...]:
    """What the outcome does to the breakers; a success says something only after a failure."""
    marks = limits.breaker_mark(world.settings, case.tool, effect, verified)
    tenant = case.action.tenant
    told = [
        mark
        for mark in marks
        if mark.failed or await world.shelf.breaker(tenant, mark.target) is not None
    ]
    return (*told, *limits.outcome_mark(case.manifest, case.tool, effect, verified))


async def _degrade(world: World, action: Action, case: Case) -> None:
    """Put the agent back to reading with a tool that went wrong too often: a change by nobody.

    The outcome is written by now. If this cannot be, the next bad outcome does it.
    """
    if case.manifest.max_error_ppm is None:
        return
    newest = await world.shelf.breaker(action.tenant, limits.outcomes_of(action.agent, action.tool))
    setting = limits.degraded(case.manifest, case.tool, newest, await world.store.now_us())
    while setting is not None:
        control = await world.store.control(action.tenant)
        set_to = mode_of(action.tool, (action.agent,), settings=control.modes)
        if not limits.is_tighter(setting.mode, set_to):
            return
        record = ledger.mode_set(action.tenant, setting, control.epoch + 1)
        ops = (EpochIs(epoch=control.epoch), *limits.mode_ops(setting), record)
        if isinstance(await world.store.commit(Commit(tenant=action.tenant, ops=ops)), Committed):
            telemetry.changed(world, (record,))
            return


async def verify(world: World, case: Case, effect: EffectReport) -> Verification | None:
    """Step 10: look until the expectation holds, or the write must have settled."""
    tool, action = case.tool, case.action
    if tool.effect == "read" or effect.status != "done":
        return None
    assert case.situation is not None
    names: dict[str, JSON] = {
        "args": case.situation.arguments,
        "before": case.situation.before,
        "action": execution.action_names(action),
        "result": effect.result,
    }
    began_us = action.intended_at_us or action.created_at_us
    # The last send has just ended, if one was made; before a crash it ended by the deadline.
    sent_us = await world.store.now_us() if effect.sends else action.deadline_at_us or began_us
    settled_at_us = sent_us + int(tool.settles_within_s * 1_000_000)
    while True:
        left_us = settled_at_us - await world.store.now_us()
        after: JSON | Refusal = None
        if tool.reader is not None:
            after = await execution.read(world, case.bundle, tool, tool.reader, names, step=10)
        look = partial(verification.judge, case.bundle.catalogue, tool, names, effect, after=after)
        verified = look(touched=(), settled=left_us <= 0)
        if verified.verdict == "contradicted" and action.resource is not None:
            # Before anybody is accused: did another governed write touch the same resource?
            since = await world.shelf.touched_since(action.tenant, action.resource, began_us)
            verified = look(touched=since, settled=True)
        if tool.reader is None or verified.verdict != "unverifiable" or left_us <= 0:
            return verified
        await asyncio.sleep(min(left_us / 1_000_000, _LOOK_AGAIN_S))


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


async def look(world: World, tenant: str, id: str) -> Outcome:
    """A stored action as an answer, for whoever asks later; wakes nothing."""
    action = await world.store.action(tenant, id)
    return refused(refusals.no_action(id)) if action is None else await _told(world, action)


async def started(world: World, case: Case) -> tuple[int, int] | None:
    """When the run began and how long it was parked, until now too, if it has only so long."""
    if case.manifest.max_runtime_seconds is None:
        return None
    run = await world.shelf.run(case.caller.tenant, case.action.run)
    if run is None:
        return None
    parked_us = run.parked_us
    if case.action.state == "parked":
        # As `AddParked` will count it: waits that overlap count once.
        begun_us = max(case.action.created_at_us, run.parked_until_us)
        parked_us += max(0, await world.store.now_us() - begun_us)
    return run.started_at_us, parked_us


async def concluded(
    world: World, case: Case, written: Action | Blocked, effect: EffectReport
) -> Outcome | None:
    """The answer of an action that was just concluded, by somebody else perhaps.

    None if it is a read that was not kept (its cap is used up, its key taken): judged anew.
    """
    if isinstance(written, Action):
        with suppress(StoreError):
            await _degrade(world, written, case)
        return _outcome(written, effect.result)
    if case.tool.effect == "read":
        no = blocked(written)
        return None if no is None else refused(no)
    return await look(world, case.action.tenant, case.action.id)


async def answer(
    world: World, written: Action | Blocked, no: Refusal | None = None
) -> Outcome | None:
    """The answer that a written action gives, with all of a no; None if nothing was written.

    When the disk is nearly full a no is given and not written: the room is for outcomes.
    """
    if isinstance(written, Blocked):
        return refused(no) if no and written.code == "disk_low" else None
    told = await _told(world, written)
    if no is None:
        return told
    return replace(told, help=no.help, retry_after_s=no.retry_after_s, details=no.details)


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


def running(action: Action) -> Outcome:
    """The answer while nobody can say yet what became of the effect."""
    return Outcome(
        action=action.id,
        status="running",
        code="being_looked_up",
        message="it is not known yet what became of the effect; it is being looked up",
        help="ask again with the same key",
    )


def _told_cap(cap: Cap) -> str:
    node = "customer" if cap.node.startswith("customer:") else cap.node
    return f"{node} ({cap.unit}, {cap.period})"


async def _told(world: World, action: Action, *, earlier: bool = False) -> Outcome:
    """Tell a stored action's state as an answer, with its result if it has one."""
    kept: Mapping[str, JSON] | None = {}
    if action.state in ("done", "failed", "unknown"):
        kept = await world.vault.open(action.tenant, action.id, "result")
    outcome = _outcome(action, kept.get("result") if kept else None)
    said = kept.get("message") if kept else None
    message = said if isinstance(said, str) and said else outcome.message or outcome.status
    if kept is None:
        message = f"{message} (the result has been erased)"
    if earlier:
        message = f"this is the answer of the earlier action {action.id}: {message}"
    return replace(outcome, message=message, earlier=earlier)


def _outcome(action: Action, result: JSON) -> Outcome:
    return Outcome(
        action=action.id,
        status="running" if action.state == "intended" else action.state,
        code=action.code,
        message=action.message,
        verdict=action.verdict,
        result=result,
        step=action.step or None,
        cost_micro_usd=action.cost_micro_usd,
    )


def _attaches(
    world: World, manifest: Manifest, asked: Proposal, earlier: Action, now_us: int
) -> bool:
    """Whether a call is the earlier one again. A refusal, or a failure, frees a derived name."""
    if limits.is_exhausted(manifest, earlier):
        return True
    if asked.key is not None:
        return earlier.state != "refused"
    young = now_us - earlier.created_at_us < world.settings.dedupe_window_seconds * 1_000_000
    return earlier.state in _ATTACHING and (young or earlier.state in ("parked", "intended"))


async def _takes_back(world: World, asked: Proposal, tool: Tool) -> bool:
    """Whether the tool is the reverser of an action that was done, as it was declared then."""
    undone = await world.store.action(asked.tenant, asked.undoes or "")
    if undone is None or undone.state != "done":
        return False
    bundle = await world.bundle(undone.tenant, undone.release)
    declared = bundle.catalogue.tools.get(undone.tool)
    return declared is not None and declared.reverser == tool.name


def _uncovered(
    bundle: Bundle, tool: Tool, asked: Proposal, caller: Caller, earlier: Action
) -> Refusal | None:
    """Why an earlier answer is not this token's to see: it may be a narrower one."""
    resource: Resource | Refusal | None = earlier.resource
    if resource is None:
        arguments = bundle.catalogue.arguments(tool, asked.arguments)
        if isinstance(arguments, Refusal):
            return arguments
        resource = bundle.catalogue.resource(tool, arguments)
    if isinstance(resource, Refusal):
        return resource
    covered = identity.covers(caller, tool.name, resource)
    return None if covered else identity.not_granted(tool.name, resource)


async def _attached(world: World, earlier: Action) -> Outcome:
    """Wait for an action in flight to end, and give its answer as the earlier one's."""
    until_us = (earlier.lease_until_us or 0) if earlier.state == "intended" else 0
    action: Action | None = earlier
    while action is not None and action.state == "intended":
        left_us = until_us - await world.store.now_us()
        if left_us <= 0:
            break
        await world.store.changed(action.id, min(left_us / 1_000_000, 0.1))
        action = await world.store.action(action.tenant, action.id)
    return await _told(world, action or earlier, earlier=True)


def _kept_apart(tool: Tool, caller: Caller, earlier: Action, told: Outcome) -> Outcome:
    """Without what another run was shown, if that is classified: this run does not carry it."""
    if not tool.data_classes or earlier.run == caller.capability.run or told.result is None:
        return told
    message = f"{told.message} (another run was shown it; to see it, read it under another key)"
    return replace(told, result=None, message=message)


def _mac(world: World, run: str, asked: Proposal) -> str:
    """A tenant-keyed digest of run, tool and arguments: equal calls are found, none guessed."""
    text = plain([asked.tenant, run, asked.tool]) + asked.canonical
    return hmac.digest(world.keys.secret_key("equality"), text, "sha256")[:16].hex()


def _proposal(action: Action, kept: Mapping[str, JSON]) -> Proposal:
    arguments = _object(kept.get("asked"))
    key = kept.get("key")
    return Proposal(
        tenant=action.tenant,
        tool=action.tool,
        arguments=arguments,
        canonical=canonical(arguments),
        credential=Credential(token="", proof=""),
        run=action.run,
        key=key if isinstance(key, str) else None,
        reason=str(kept.get("reason", "")),
        sources=tuple(map(str, _listed(kept.get("sources")))),
        uncertainty=str(kept.get("uncertainty", "")),
    )


def _situation(action: Action, kept: Mapping[str, JSON]) -> Situation:
    arguments = _object(kept.get("arguments"))
    return Situation(
        arguments=arguments,
        canonical=canonical(arguments),
        resource=action.resource or Resource(type="", id=""),
        facts=_object(kept.get("facts")),
        input={},
        before=_object(kept.get("before")),
        effect_key=action.effect_key,
    )


def _hold(kept: JSON) -> Hold:
    node, unit, period, amount = msgspec.convert(kept, tuple[str, str, Period, int])
    return Hold(cap=Cap(node=node, unit=unit, period=period, limit=0), amount=amount)


def _object(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, (list, tuple)) else ()
