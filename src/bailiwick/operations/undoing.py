"""Taking back what an action or a run did: a plan first, then one governed action for each.

An action is undone through the reverser that its tool declared when it was done, whose arguments
are computed from what was sealed then. The reverser runs as an action like any other: the same
agent (or another one, if that one is stopped) on behalf of the person who undoes. Budgets and rules
hold for it, and people may be asked. It claims that it takes the other one back, so that undoing
twice is one effect, whoever does it and whatever dies in between.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import cast

import msgspec

from bailiwick import cases, execution, identity, store
from bailiwick.act import act
from bailiwick.errors import BadInput, BailiwickError, CatalogError, ControlError, LedgerError
from bailiwick.nouns import (
    Action,
    Grant,
    Outcome,
    Person,
    Refusal,
    Resource,
    Tool,
    names_tool,
)
from bailiwick.nouns.reversals import Reversal
from bailiwick.operations.channel import text_of
from bailiwick.operations.stories import newest_first
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON, shown
from bailiwick.wiring import agent_key_file

Parameters = Mapping[str, JSON]

_MOST_LOOKED_AT = 100
_MOST_TRIES = 100

_NOT_DONE = ("parked", "failed", "refused", "denied")
_STANDS = {
    "done": ("already_undone", "it is undone by action {}"),
    "intended": ("being_undone", "action {} is undoing it"),
    "parked": ("undo_waits", "action {} would undo it, and waits for people"),
    "unknown": ("undo_in_doubt", "nobody knows whether action {} has undone it"),
}


class _Not(Exception):
    """It cannot be undone: the code, why, what to do, and the actions in the way."""

    def __init__(self, code: str, message: str, help: str = "", by: tuple[str, ...] = ()) -> None:
        self.code, self.message, self.help, self.by = code, message, help, by
        super().__init__(code)


async def undo_plan(world: World, person: Person, given: Parameters) -> JSON:
    """What undoing a run or an action would call, newest first, and what cannot be undone and why.

    Arguments are told in clear to those who may read payloads.
    """
    target, agent = text_of(given, "target"), text_of(given, "agent", "") or None
    steps = await planned(world, target, agent=agent, anyway=given.get("anyway") is True)
    clear = identity.allowed(person.roles, "actions payload")
    return {"run": new_run(world), "steps": [_told(step, clear=clear) for step in steps]}


async def undo(world: World, person: Person, given: Parameters) -> JSON:
    """Undo one action on the person's behalf: its outcome, or why it cannot be undone now."""
    done = await undone(
        world,
        text_of(given, "action"),
        subject=person.name,
        agent=text_of(given, "agent", "") or None,
        run=text_of(given, "run", "") or new_run(world),
        reason=text_of(given, "reason", ""),
        anyway=given.get("anyway") is True,
    )
    if isinstance(done, Reversal):
        return _told(done, clear=False)
    return cast("JSON", msgspec.to_builtins(done))


async def planned(
    world: World, target: str, *, agent: str | None = None, anyway: bool = False
) -> tuple[Reversal, ...]:
    """Say for each write of a run, or for one action, how it would be undone; newest first.

    What comes first in the plan is taken to be undone when the next is looked at. With `anyway`
    what others have done on a resource since is not in the way. Raises `ControlError`
    (`action_unknown`) if nothing has that name.
    """
    going: set[str] = set()
    steps: list[Reversal] = []
    for action in await _actions(world, target):
        step = await _reversal(world, action, agent, going=going, anyway=anyway)
        if step is not None:
            steps.append(step)
            going.update(() if step.code else (action.id,))
    return tuple(steps)


async def undone(
    world: World,
    id: str,
    *,
    subject: str,
    run: str,
    agent: str | None = None,
    reason: str = "",
    anyway: bool = False,
) -> Outcome | Reversal:
    """Undo one action now; a `Reversal` says why it cannot be. `subject` is who undoes it.

    Raises what `Session.act` raises, and `IdentityError` if the agent cannot act.
    """
    (action,) = await _actions(world, id, one=True)
    step = await _reversal(world, action, agent, going=(), anyway=anyway)
    if step is None or step.code:
        return step or _cannot(action, action.agent, _read(action))
    tenant, settings = action.tenant, world.settings
    control = await world.store.control(tenant)
    bundle = await world.bundle(tenant, control.release)
    credential = identity.own_credential(
        world,
        control,
        bundle.manifests,
        identity.read_agent_key(agent_key_file(settings, step.agent)),
        agent=step.agent,
        seen=identity.SeenAssertions(),
        subject=subject,
        grants=(Grant(tools=(step.reverser,), resources=_only(step.reverses)),),
        run=run,
    )
    proposal = cases.propose(
        step.reverser,
        step.arguments,
        credential,
        tenant=tenant,
        key=await _key(world, action, step.agent, subject),
        reason=reason or f"undoes action {action.id}",
        undoes=action.id,
        max_bytes=settings.max_argument_bytes,
    )
    return await act(world, proposal)


def new_run(world: World) -> str:
    """The name of a run in which something is undone."""
    return f"undo_{world.now_us():014x}{world.random(6).hex()}"


# --- what is to be undone ------------------------------------------------------------------------


async def _actions(world: World, target: str, *, one: bool = False) -> Sequence[Action]:
    """The actions of a run, or the one of that id, those that were done last first."""
    tenant = world.settings.tenant
    action = await world.store.action(tenant, target)
    if action is not None:
        return (action,)
    run = None if one else await world.shelf.run(tenant, target)
    if run is None:
        raise ControlError(
            f"there is no action{'' if one else ' and no run'} `{shown(target)}`",
            code="action_unknown",
            help="list them with `bailiwick actions list`",
        )
    history = newest_first(world, run.started_at_us)
    found = [each async for each in history if each.run == target]
    return sorted(found, key=lambda each: (_done_at_us(each), each.id), reverse=True)


def _done_at_us(action: Action) -> int:
    return action.intended_at_us or action.created_at_us


# --- how, or why not -----------------------------------------------------------------------------


async def _reversal(
    world: World, action: Action, agent: str | None, *, going: Collection[str], anyway: bool
) -> Reversal | None:
    """How an action would be undone, or why it cannot be; None for a read."""
    actor = agent or action.agent
    try:
        if action.release:
            bundle = await world.bundle(action.tenant, action.release)
        else:  # a read: it keeps none
            bundle = await _today(world, action.tenant)
    except BailiwickError:
        why = "the release that it was done under cannot be read"
        return _cannot(action, actor, _Not("release_gone", why))
    tool = bundle.catalogue.tools.get(action.tool)
    if tool is None:
        why = f"the release that it was done under has no `{shown(action.tool)}`"
        return _cannot(action, actor, _Not("release_gone", why))
    if tool.effect == "read":
        return None
    try:
        await _stands(world, action)
        reverser = await _reverser(world, action, tool, actor)
        names = await _names(world, action)
        arguments = _arguments(bundle, tool, names)
        now = await _today(world, action.tenant)
        whole = now.catalogue.arguments(reverser, arguments)
        resource = whole if isinstance(whole, Refusal) else now.catalogue.resource(reverser, whole)
        if isinstance(resource, Refusal):
            raise _Not("arguments_unfit", f"`{reverser.name}`: {resource.message}", resource.help)
        if not anyway:
            await _untouched(world, action, going)
    except _Not as why_not:
        return _cannot(action, actor, why_not, tool.reverser or "")
    return Reversal(
        action=action.id,
        tool=action.tool,
        resource=action.resource,
        agent=actor,
        reverser=reverser.name,
        arguments=arguments,
        reverses=resource,
    )


async def _stands(world: World, action: Action) -> None:
    """Raise `_Not` unless the action was certainly done and nothing takes it back already."""
    if action.state in _NOT_DONE:
        raise _Not("not_done", f"it is {action.state}: there is nothing to undo")
    resolve = "find out, and say so with `bailiwick in-doubt resolve`"
    if action.state != "done":
        raise _Not("in_doubt", "nobody knows (yet) whether it was done", resolve)
    if action.verdict == "contradicted":
        raise _Not("in_doubt", "it was answered as done, and the world does not show it", resolve)
    holder = await world.shelf.holder(action.tenant, store.undoing_key(action.id))
    undoing = await world.store.action(action.tenant, holder) if holder else None
    if undoing is not None and undoing.state in _STANDS:
        code, message = _STANDS[undoing.state]
        if undoing.verdict == "contradicted":
            code, message = "undo_in_doubt", "action {} should have undone it, and it does not show"
        raise _Not(code, message.format(undoing.id), by=(undoing.id,))


async def _reverser(world: World, action: Action, tool: Tool, agent: str) -> Tool:
    """The tool that undoes it, as it is today, which the agent may use and has a key for."""
    if tool.reverser is None:
        raise _Not("no_reverser", f"no tool undoes `{shown(tool.name)}`")
    bundle = await _today(world, action.tenant)
    found = bundle.catalogue.tools.get(tool.reverser)
    if found is None or found.effect != "write":
        raise _Not(
            "reverser_gone",
            f"`{shown(tool.reverser)}` is no tool of the active release that writes",
        )
    manifest = bundle.manifests.get(agent)
    if manifest is None or not any(names_tool(each, found.name) for each in manifest.tools):
        raise _Not(
            "not_granted",
            f"agent `{shown(agent)}` may not use `{shown(found.name)}`",
            "name an agent that may with `--agent`, or add the tool to its manifest",
        )
    if not agent_key_file(world.settings, agent).exists():
        raise _Not(
            "agent_key_missing",
            f"the key of agent `{shown(agent)}` is not in this project",
            "name an agent of this project with `--agent`",
        )
    return found


async def _today(world: World, tenant: str) -> Bundle:
    return await world.bundle(tenant, (await world.store.control(tenant)).release)


async def _names(world: World, action: Action) -> dict[str, JSON]:
    """What a reverser's arguments are computed from, out of the vault."""
    try:
        asked = await world.vault.open(action.tenant, action.id, "proposal")
        told = await world.vault.open(action.tenant, action.id, "result")
    except LedgerError as fault:
        raise _Not("payload_damaged", fault.message, "run `bailiwick ledger verify`") from fault
    if asked is None or told is None:
        raise _Not("payload_erased", "what it was done with is erased")
    return {
        "args": asked.get("arguments"),
        "before": asked.get("before"),
        "action": execution.action_names(action),
        "result": told.get("result"),
        "after": told.get("after"),
    }


def _arguments(bundle: Bundle, tool: Tool, names: Mapping[str, JSON]) -> Mapping[str, JSON]:
    try:
        return execution.placed(bundle, tool, tool.reverser_arguments, names)
    except (CatalogError, BadInput) as fault:
        raise _Not("arguments_unfit", fault.message, fault.help) from fault


async def _untouched(world: World, action: Action, going: Collection[str]) -> None:
    """Raise `_Not` if another governed action has written on the resource since.

    What is undone itself, or will be before this, does not count; nor does what undid it.
    """
    if action.resource is None:
        return
    since_us = action.updated_at_us
    touched = await world.shelf.touched_since(action.tenant, action.resource, since_us)
    others = [id for id in touched if id != action.id and id not in going]
    standing = [id for id in others[:_MOST_LOOKED_AT] if await _counts(world, action, id)]
    standing += others[_MOST_LOOKED_AT:]
    if standing:
        raise _Not(
            "touched_since",
            f"action {standing[0]} has written on the same resource since"
            + (f", and {len(standing) - 1} more" if len(standing) > 1 else ""),
            "undo those first, or look at them and add `--anyway`",
            by=tuple(standing[:_MOST_LOOKED_AT]),
        )


async def _counts(world: World, action: Action, id: str) -> bool:
    """Whether a later write on the resource still stands after what was done before it."""
    other = await world.store.action(action.tenant, id)
    if other is None:
        return True
    holder = await world.shelf.holder(other.tenant, store.undoing_key(other.id))
    undoing = await world.store.action(other.tenant, holder) if holder else None
    if undoing is not None and undoing.state == "done" and undoing.verdict != "contradicted":
        return False
    undid = await world.store.action(other.tenant, other.undoes) if other.undoes else None
    # It brought back how things stood after this action.
    return other.state != "done" or undid is None or _done_at_us(undid) < _done_at_us(action)


# --- saying it -----------------------------------------------------------------------------------


def _cannot(action: Action, agent: str, why: _Not, reverser: str = "") -> Reversal:
    return Reversal(
        action=action.id,
        tool=action.tool,
        resource=action.resource,
        agent=agent,
        reverser=reverser,
        code=why.code,
        message=why.message,
        help=why.help,
        by=why.by,
    )


def _read(action: Action) -> _Not:
    return _Not("not_done", f"`{shown(action.tool)}` reads: there is nothing to undo")


def _told(step: Reversal, *, clear: bool) -> dict[str, JSON]:
    return {
        "action": step.action,
        "tool": step.tool,
        "resource": _named(step.resource),
        "agent": step.agent,
        "reverser": step.reverser or None,
        "arguments": dict(step.arguments) if clear else None,
        "argument_names": sorted(step.arguments),
        "reverses": _named(step.reverses),
        "can_be_undone": not step.code,
        "code": step.code,
        "message": step.message,
        "help": step.help,
        "by": list(step.by),
    }


def _named(resource: Resource | None) -> str | None:
    return f"{resource.type}:{resource.id}" if resource else None


def _only(resource: Resource | None) -> tuple[str, ...]:
    """The resource pattern of a grant that reaches no further; a star in an id cannot be said."""
    assert resource is not None
    return (f"{resource.type}:{'*' if '*' in resource.id else resource.id}",)


async def _key(world: World, action: Action, agent: str, subject: str) -> str:
    """The key of the next try: one that has failed, or was tried too often, is not answered again.

    It only saves asking twice; that an action is undone once is what the claim is for.
    """
    for number in range(1, _MOST_TRIES):
        key = f"undo:{action.id}" + (f":{number}" if number > 1 else "")
        earlier = await world.store.find(action.tenant, agent, subject, f"key:{key}")
        spent = earlier and (earlier.state == "failed" or earlier.code == "attempts_exhausted")
        if not spent:
            break
    return key
