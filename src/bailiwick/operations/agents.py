"""The agents' accounts: registered keys, and whether an agent may act."""

from collections.abc import Mapping

from msgspec.structs import replace

from bailiwick import identity
from bailiwick.errors import BadInput, BailiwickError, ControlError
from bailiwick.nouns import Manifest, Person
from bailiwick.operations.changes import Consent, Parameters, control, second_person
from bailiwick.operations.channel import text_of
from bailiwick.ports import World
from bailiwick.transactions import PutStanding
from bailiwick.values import JSON, shown


async def agents_list(world: World, person: Person, _: Parameters) -> JSON:
    """The agents' accounts, and the agents of the active release that have none."""
    state = await world.store.control(person.tenant)
    manifests: Mapping[str, Manifest] = {}
    try:
        manifests = (await world.bundle(person.tenant, state.release)).manifests
    except BailiwickError:
        pass  # accounts can be listed, and disabled, whatever is wrong with the release
    return [
        {
            "agent": name,
            "owner": manifests[name].owner if name in manifests else None,
            "registered": name in state.standings,
            "enabled": name in state.standings and state.standings[name].enabled,
            "keys": sorted(state.standings[name].keys) if name in state.standings else [],
        }
        for name in sorted({*state.standings, *manifests})
    ]


async def agents_register(world: World, person: Person, given: Parameters) -> JSON:
    """Add a public key to an agent's account, which is made if there is none: loosening."""
    name, jwk = text_of(given, "agent"), given.get("jwk")
    if not isinstance(jwk, Mapping):
        raise BadInput("`jwk` is not a public key", code="parameter_invalid")
    state = await world.store.control(person.tenant)
    known = state.standings.get(name)
    standing = identity.register_agent(name, jwk, known)
    if known is not None and known.keys.keys() == standing.keys.keys():
        raise ControlError(
            f"the key is registered to `{shown(name)}` already",
            code="agent_key_registered",
            help="nothing has to be done",
        )
    kid = next(iter(standing.keys.keys() - (known.keys.keys() if known else set())))
    body = {"agent": name, "key": kid}
    consent = await second_person(world, person, "agents register", body, state.epoch)
    if isinstance(consent, dict):
        return consent
    ops = (PutStanding(standing=standing),)
    epoch = await control(world, consent, "agents register", ops, scope="agent", target=name)
    return {"epoch": epoch, "agent": name, "key": kid}


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
        raise ControlError(
            f"there is no agent `{shown(name)}`",
            code="agent_unknown",
            help="list them with `bailiwick agents list`",
        )
    what = "agents enable" if enabled else "agents disable"
    consent: Consent | dict[str, JSON] = Consent((person.name,), epoch=state.epoch)
    if enabled:
        consent = await second_person(world, person, what, {"agent": name}, state.epoch)
    if isinstance(consent, dict):
        return consent
    ops = (PutStanding(standing=replace(standing, enabled=enabled)),)
    epoch = await control(world, consent, what, ops, scope="agent", target=name)
    return {"epoch": epoch, "agent": name, "enabled": enabled}
