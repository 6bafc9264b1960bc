"""A case is opened for a proposal, or opened again for a wake-up.

Here an owner's earlier action is found, which a call may attach to.
"""

import hmac
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from bailiwick import approval, identity, limits
from bailiwick.cases import refusals
from bailiwick.cases.answering import outcome_of, refused
from bailiwick.errors import BadInput, LedgerError
from bailiwick.nouns import (
    TRACE,
    Action,
    Caller,
    Cap,
    Credential,
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
    Wake,
    mode_of,
)
from bailiwick.ports import Bundle, Case, ControlState, World
from bailiwick.values import JSON, canonical, parse, plain, shown

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+*#-]{0,127}").fullmatch
_MAX_TOLD = 16 * 1024
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
    # A caller's own key is the same call in whichever run it comes again; and where nobody named a
    # run, neither a fresh token nor another trace makes another call of it.
    named = run != caller.capability.id and not run.startswith(TRACE)
    mac = _mac(world, run if named and not asked.key else "", asked)
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


async def asked_before(world: World, case: Case) -> Outcome | None:
    """The answer of the equal read that people were asked about, for one that they would be again.

    Reads are made anew each time, since the world goes on; but people are asked once, and what they
    took long for is kept as long again. The read is found from now on, so it gets a derived name.
    """
    action, asked = case.action, case.proposal
    if case.stored or case.tool.effect == "write" or asked.key is not None:
        return None
    mac = action.arguments_mac
    earlier = await world.store.find(action.tenant, action.agent, action.subject, f"args:{mac}")
    if earlier is not None and _attaches(world, case.manifest, asked, earlier, case.now_us):
        return _kept_apart(case.tool, case.caller, earlier, await _attached(world, earlier))
    attempt = earlier.attempt + 1 if earlier else 1
    case.action = replace(action, name=f"args:{mac}", attempt=attempt)
    return None


async def reopen(world: World, control: ControlState, asked: Wake, now_us: int) -> Case | Outcome:
    """Open the case of a stored action again: parked, by today's release; in flight, by its own."""
    action = await world.store.action(asked.tenant, asked.action)
    if action is None:
        return refused(refusals.no_action(asked.action))
    if action.state not in ("parked", "intended"):
        return await outcome_of(world, action)
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


def _attaches(
    world: World, manifest: Manifest, asked: Proposal, earlier: Action, now_us: int
) -> bool:
    """Whether a call is the earlier one again. A refusal, or a failure, frees a derived name."""
    if limits.is_exhausted(manifest, earlier):
        return True
    if asked.key is not None:
        return earlier.state != "refused"
    if earlier.state in ("parked", "intended"):
        return True
    return earlier.state in _ATTACHING and now_us < _fresh_until_us(world, earlier)


def _fresh_until_us(world: World, earlier: Action) -> int:
    """Until when an equal call is the earlier one; an answer that took long is kept as long again.

    Whoever was told to come back for it does so in the same measure.
    """
    waited_us = earlier.updated_at_us - earlier.created_at_us if earlier.erased is None else 0
    waited_us = min(waited_us, world.settings.park_seconds * 1_000_000)
    return earlier.created_at_us + max(
        world.settings.dedupe_window_seconds * 1_000_000, 2 * waited_us
    )


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
    return await outcome_of(world, action or earlier, earlier=True)


def _kept_apart(tool: Tool, caller: Caller, earlier: Action, told: Outcome) -> Outcome:
    """Without what another run was shown, if that is classified: this run does not carry it."""
    nothing = told.result is None and told.content is None
    if not tool.data_classes or earlier.run == caller.capability.run or nothing:
        return told
    message = f"{told.message} (another run was shown it; to see it, read it under another key)"
    return replace(told, result=None, content=None, message=message)


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
