"""Kill switches and revocation: tightening takes effect at once, lifting is a change for two."""

from collections.abc import Sequence
from typing import cast

from bailiwick import limits
from bailiwick.errors import BailiwickError
from bailiwick.nouns import Action, Person, Scope, Stop
from bailiwick.operations.changes import Consent, Parameters, control, refused, second_person
from bailiwick.operations.channel import text_of
from bailiwick.ports import World
from bailiwick.transactions import Blocked, Revoke
from bailiwick.values import JSON, nearest

_QUIET_S = 1.0
_LISTED = 1000


async def kill(world: World, person: Person, given: Parameters) -> JSON:
    """Pull a kill switch; list what is in flight under it, whose sends have already begun.

    When it returns no new intent commits and no new send begins, if `quiet` says so. `known` says
    whether anything has that name now, and `near` the name that may have been meant.
    """
    scope = cast("Scope", text_of(given, "scope"))
    stop = Stop(
        scope=scope,
        target=_target(world, scope, given),
        by=person.name,
        reason=text_of(given, "reason", ""),
        since_us=await world.store.now_us(),
    )
    ops = limits.stop_ops(stop)
    consent = Consent((person.name,))
    epoch = await control(world, consent, "kill", ops, scope=scope, target=stop.target)
    # From here on no intent commits. Sends that passed their fence before are given the moment it
    # takes to begin, so that none begins after this returns.
    quiet = await world.egress.quiet(_QUIET_S)
    known, near = await _known(world, stop)
    return {
        "epoch": epoch,
        "scope": scope,
        "target": stop.target,
        "known": known,
        "near": near,
        "quiet": quiet,
        "in_flight": [
            {"action": action.id, "tool": action.tool, "agent": action.agent, "run": action.run}
            for action in await _in_flight(world, stop)
        ],
    }


async def resume(world: World, person: Person, given: Parameters) -> JSON:
    """Lift a kill switch; with two people who may, the second one makes it."""
    scope = text_of(given, "scope")
    target = _target(world, scope, given)
    body: dict[str, JSON] = {"scope": scope, "target": target}
    ops = limits.lift_ops(scope, target)
    epoch = await world.store.epoch(person.tenant)
    pulled = (await world.store.control(person.tenant)).stops
    if (scope, target) not in {(stop.scope, stop.target) for stop in pulled}:
        raise refused("resume", Blocked(code="not_stopped"))
    consent = await second_person(world, person, "resume", body, epoch)
    if isinstance(consent, dict):
        return consent
    epoch = await control(world, consent, "resume", ops, scope=scope, target=target)
    return {"epoch": epoch, **body}


async def stops_list(world: World, person: Person, _: Parameters) -> JSON:
    """The switches that are pulled."""
    state = await world.store.control(person.tenant)
    return [
        {
            "scope": stop.scope,
            "target": stop.target,
            "by": stop.by,
            "reason": stop.reason,
            "since_us": stop.since_us,
        }
        for stop in state.stops
    ]


async def revoke(world: World, person: Person, given: Parameters) -> JSON:
    """Take a key id, token id, session or delegation its standing, for good."""
    id = text_of(given, "id")
    ops = (Revoke(id=id, by=person.name, reason=text_of(given, "reason", "")),)
    epoch = await control(world, Consent((person.name,)), "revoke", ops, target=id)
    return {"epoch": epoch, "revoked": id}


def _target(world: World, scope: str, given: Parameters) -> str:
    target = text_of(given, "target", "")
    return world.settings.tenant if scope == "tenant" and not target else target


async def _known(world: World, stop: Stop) -> tuple[bool | None, str]:
    """Whether anything has the name that was stopped (None: cannot tell), and the nearest name.

    A stop for a name to come may be wanted, so it stands; a mistyped one must not look like safety.
    """
    tenant, target = world.settings.tenant, stop.target
    names: set[str] = {tenant}
    if stop.scope == "everything":
        return True, ""
    if stop.scope == "run":
        return await world.shelf.run(tenant, target) is not None, ""
    if stop.scope == "agent":
        names = set((await world.store.control(tenant)).standings)
    elif stop.scope in ("tool", "upstream"):
        try:
            bundle = await world.bundle(tenant, (await world.store.control(tenant)).release)
        except BailiwickError:
            return None, ""  # The release cannot be read; the stop stands without it.
        tools = bundle.catalogue.tools.values()
        found = {tool.name if stop.scope == "tool" else tool.upstream for tool in tools}
        names = {name for name in found if name is not None}
    return target in names, nearest(target, names)


async def _in_flight(world: World, stop: Stop) -> Sequence[Action]:
    flying = await world.register.actions(world.settings.tenant, ("intended",), _LISTED)
    upstreams = await _upstreams(world, stop, flying) if stop.scope == "upstream" else {}
    return [
        action
        for action in flying
        if limits.covers(
            stop,
            tenant=action.tenant,
            agent=action.agent,
            tool=action.tool,
            upstream=upstreams.get(action.id),
            run=action.run,
            actors=action.caller.actors,
        )
    ]


async def _upstreams(world: World, stop: Stop, actions: Sequence[Action]) -> dict[str, str | None]:
    """The upstream of each action's tool. What cannot be told is listed rather than left out."""
    found: dict[str, str | None] = {}
    for action in actions:
        try:
            bundle = await world.bundle(action.tenant, action.release)
        except BailiwickError:
            found[action.id] = stop.target
            continue
        tool = bundle.catalogue.tools.get(action.tool)
        found[action.id] = tool.upstream if tool else None
    return found
