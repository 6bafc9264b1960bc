"""The agents: their accounts and keys, whether they may act, and what they do."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, cast

from msgspec.structs import replace

from bailiwick import identity
from bailiwick.errors import BadInput, BailiwickError, ControlError
from bailiwick.nouns import Action, Balance, Listed, Manifest, Person, mode_of
from bailiwick.operations.changes import Consent, Parameters, control, second_person
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.ports import ControlState, World
from bailiwick.transactions import PutStanding, Revoke
from bailiwick.values import JSON, shown

_OPEN: tuple[Listed, ...] = ("parked", "intended", "unknown", "contradicted")
# So many of the newest actions are looked at for what is open, and for who was seen last.
_LOOKED_AT = 2000


async def agents_list(world: World, person: Person, _: Parameters) -> JSON:
    """The agents' accounts, and the agents of the active release that have none; and their use.

    Only the newest actions are looked at for what is open, and for when each was seen last.
    """
    state = await world.store.control(person.tenant)
    manifests: Mapping[str, Manifest] = {}
    try:
        manifests = (await world.bundle(person.tenant, state.release)).manifests
    except BailiwickError:
        pass  # accounts can be listed, and disabled, whatever is wrong with the release
    bounds = await _use(world, person.tenant)
    return [
        _row(name, state, manifests.get(name), bounds)
        for name in sorted({*state.standings, *manifests})
    ]


async def agents_show(world: World, person: Person, given: Parameters) -> JSON:
    """One agent: what `agents list` says, its tools, and what is open of it."""
    name = text_of(given, "agent")
    every = cast("list[dict[str, JSON]]", await agents_list(world, person, given))
    found = next((each for each in every if each["agent"] == name), None)
    if found is None:
        raise _unknown(name)
    state = await world.store.control(person.tenant)
    manifest: Manifest | None = None
    with suppress(BailiwickError):
        manifest = (await world.bundle(person.tenant, state.release)).manifests.get(name)
    open = [each for each in await _newest(world, person.tenant, _OPEN) if each.agent == name]
    return {
        **found,
        "tools": list(manifest.tools) if manifest else None,
        "retention_days": manifest.retention_days if manifest else None,
        "open_actions": [
            {"action": each.id, "state": each.state, "tool": each.tool, "run": each.run}
            for each in open
        ],
    }


class _Use(NamedTuple):
    """What is known of all agents' use: balances, open actions, and the newest of each."""

    balances: Sequence[Balance]
    open: Counter[str]
    seen_us: Mapping[str, int]


async def _use(world: World, tenant: str) -> _Use:
    seen_us: dict[str, int] = {}
    for action in await world.register.actions(tenant, (), _LOOKED_AT):
        seen_us.setdefault(action.agent, action.created_at_us)
    found = Counter(each.agent for each in await _newest(world, tenant, _OPEN))
    return _Use(await world.register.spending(tenant), found, seen_us)


async def _newest(world: World, tenant: str, states: Sequence[Listed]) -> Sequence[Action]:
    return await world.register.actions(tenant, states, _LOOKED_AT)


def _row(name: str, state: ControlState, manifest: Manifest | None, use: _Use) -> dict[str, JSON]:
    standing = state.standings.get(name)
    manifests = {name: manifest} if manifest else {}
    return {
        "agent": name,
        "owner": manifest.owner if manifest else None,
        "registered": standing is not None,
        "enabled": standing is not None and standing.enabled,
        # With all of its tools; `mode list` tells of each.
        "mode": mode_of("*", (name,), manifests=manifests, settings=state.modes),
        "keys": sorted(standing.keys) if standing else [],
        "keys_since_us": {kid: standing.since_us.get(kid) for kid in standing.keys}
        if standing
        else {},
        "revoked_keys": sorted(state.revoked & standing.keys.keys()) if standing else [],
        "budget": [
            {"unit": each.unit, "bucket": each.bucket, "spent": each.spent, "held": each.held}
            for each in use.balances
            if each.node == f"agent:{name}"
        ],
        "open": use.open[name],
        "seen_us": use.seen_us.get(name),
    }


async def agents_register(world: World, person: Person, given: Parameters) -> JSON:
    """Add a public key to an agent's account, which is made if there is none: loosening."""
    name, jwk = text_of(given, "agent"), given.get("jwk")
    if not isinstance(jwk, Mapping):
        raise BadInput("`jwk` is not a public key", code="parameter_invalid")
    state = await world.store.control(person.tenant)
    known = state.standings.get(name)
    now_us = await world.store.now_us()
    subjects = texts_of(given, "subjects")
    standing = identity.register_agent(name, jwk, known, now_us=now_us, subjects=subjects)
    if known is not None and known.keys.keys() == standing.keys.keys():
        raise ControlError(
            f"the key is registered to `{shown(name)}` already",
            code="agent_key_registered",
            help="nothing has to be done",
        )
    kid = next(iter(standing.keys.keys() - (known.keys.keys() if known else set())))
    body: dict[str, JSON] = {"agent": name, "key": kid}
    if subjects:
        body["subjects"] = list(subjects)
    consent = await second_person(world, person, "agents register", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    ops = (PutStanding(standing=standing),)
    epoch = await control(world, consent, "agents register", ops, scope="agent", target=name)
    return {"epoch": epoch, "agent": name, "key": kid}


async def agents_access_key(world: World, person: Person, given: Parameters) -> JSON:
    """Make an access key of an agent for a subject, told this once: loosening."""
    name, subject, days = text_of(given, "agent"), text_of(given, "subject"), given.get("days")
    if not isinstance(days, int):
        raise BadInput("`days` is missing or no number", code="parameter_invalid")
    state = await world.store.control(person.tenant)
    known = state.standings.get(name)
    if known is None:
        raise _unknown(name)
    standing, kid, secret = identity.create_access_key(
        known, subject, days=days, now_us=await world.store.now_us(), random=world.random
    )
    body: dict[str, JSON] = {"agent": name, "subject": subject, "days": days}
    consent = await second_person(world, person, "agents access-key", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    ops = (PutStanding(standing=standing),)
    epoch = await control(world, consent, "agents access-key", ops, scope="agent", target=name)
    return {**body, "epoch": epoch, "key": kid, "access_key": secret}


async def agents_rotate(world: World, person: Person, given: Parameters) -> JSON:
    """Give an agent a new public key in the place of all it has, which are revoked: loosening."""
    name, jwk = text_of(given, "agent"), given.get("jwk")
    if not isinstance(jwk, Mapping):
        raise BadInput("`jwk` is not a public key", code="parameter_invalid")
    state = await world.store.control(person.tenant)
    known = state.standings.get(name)
    if known is None:
        raise _unknown(name)
    now_us = await world.store.now_us()
    fresh = identity.register_agent(name, jwk, replace(known, keys={}, since_us={}), now_us=now_us)
    (kid,) = fresh.keys
    if kid in known.keys or kid in state.revoked:
        raise ControlError(
            f"the key is, or was, registered to `{shown(name)}` already",
            code="agent_key_registered",
            help="rotate to a key that is new",
        )
    body: dict[str, JSON] = {"agent": name, "key": kid}
    consent = await second_person(world, person, "agents rotate", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    old = sorted(known.keys)
    revoked = [Revoke(id=each, by=person.name, reason="rotated") for each in old]
    epoch = await control(
        world,
        consent,
        "agents rotate",
        (PutStanding(standing=fresh),),
        scope="agent",
        target=name,
    )
    for each in revoked:
        epoch = await control(world, Consent(consent.by), "revoke", (each,), target=each.id)
    return {"epoch": epoch, "agent": name, "key": kid, "revoked": list(old)}


async def agents_revoke_key(world: World, person: Person, given: Parameters) -> JSON:
    """Revoke one of an agent's keys, for good and at once: tightening."""
    name, key = text_of(given, "agent"), text_of(given, "key")
    state = await world.store.control(person.tenant)
    standing = state.standings.get(name)
    if standing is None:
        raise _unknown(name)
    if key not in standing.keys:
        raise ControlError(
            f"`{shown(name)}` has no key `{shown(key)}`",
            code="agent_key_unknown",
            help=f"its keys are {', '.join(sorted(standing.keys)) or 'none'}",
        )
    ops = (Revoke(id=key, by=person.name, reason=text_of(given, "reason", "")),)
    epoch = await control(world, Consent((person.name,)), "revoke", ops, target=key)
    left = [each for each in sorted(standing.keys) if each not in state.revoked | {key}]
    return {"epoch": epoch, "agent": name, "revoked": key, "keys_left": list(left)}


async def agents_disable(world: World, person: Person, given: Parameters) -> JSON:
    """Disable an agent: tightening, at once."""
    return await _set(world, person, given, False)


async def agents_enable(world: World, person: Person, given: Parameters) -> JSON:
    """Enable an agent: loosening."""
    return await _set(world, person, given, True)


async def _set(world: World, person: Person, given: Parameters, enabled: bool) -> JSON:
    name = text_of(given, "agent")
    state = await world.store.control(person.tenant)
    standing = state.standings.get(name)
    if standing is None:
        raise _unknown(name)
    what = "agents enable" if enabled else "agents disable"
    consent: Consent | dict[str, JSON] = Consent((person.name,), epoch=state.epoch)
    if enabled:
        consent = await second_person(world, person, what, {"agent": name}, state.epoch)
    if isinstance(consent, dict):
        return consent
    ops = (PutStanding(standing=replace(standing, enabled=enabled)),)
    epoch = await control(world, consent, what, ops, scope="agent", target=name)
    return {"epoch": epoch, "agent": name, "enabled": enabled}


def _unknown(name: str) -> ControlError:
    return ControlError(
        f"there is no agent `{shown(name)}`",
        code="agent_unknown",
        help="list them with `bailiwick agents list`",
    )
