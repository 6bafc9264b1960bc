"""People: logging in, and the accounts. An account's password is made when the account is."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
from msgspec.structs import replace

from bailiwick import identity, ledger
from bailiwick.errors import BadInput, ControlError, IdentityError
from bailiwick.identity.jose import encode
from bailiwick.ledger import records
from bailiwick.nouns import Person, Role
from bailiwick.operations.changes import (
    Consent,
    Parameters,
    change,
    contended,
    control,
    pseudonyms,
    recorded,
    second_person,
)
from bailiwick.operations.channel import text_of, texts_of
from bailiwick.ports import World
from bailiwick.transactions import Append, Commit, Committed, EpochIs, PutPerson, RaiseEpoch
from bailiwick.values import JSON, shown

_TRIES = 5


async def login(world: World, given: Parameters) -> JSON:
    """Open a session with name and password; the only command that needs none.

    The try is counted before the password is looked at. Gives the signed statement and the opened
    signing key, which go into a file of the person's own. Raises `IdentityError`.
    """
    name, password = text_of(given, "name"), text_of(given, "password")
    tenant = world.settings.tenant
    person, secret, epoch = await _counted(world, tenant, name)
    session = await asyncio.to_thread(
        identity.open_session,
        world.keys,
        person,
        secret,
        password,
        now_us=world.now_us(),
        random=world.random,
    )
    # If an account was changed meanwhile the tries stay counted, rather than it written over.
    cleared = PutPerson(person=person, secret=identity.clear_tries(secret))
    await world.store.commit(Commit(tenant=tenant, ops=(EpochIs(epoch=epoch), cleared)))
    return {
        "person": person.name,
        "statement": session.statement,
        "key": encode(session.key.private_bytes_raw()),
        "roles": list(person.roles),
        "queues": list(person.queues),
    }


async def whoami(world: World, person: Person, _: Parameters) -> JSON:
    """Who is logged in, as the account is now."""
    return _account(person)


async def people_list(world: World, person: Person, _: Parameters) -> JSON:
    """All accounts."""
    return [_account(each) for each in await world.register.people(person.tenant)]


async def people_add(world: World, person: Person, given: Parameters) -> JSON:
    """Make an account, with a password that is told once; one that is disabled is made anew."""
    name = text_of(given, "name")
    roles, queues = texts_of(given, "roles"), texts_of(given, "queues")
    epoch = await world.store.epoch(person.tenant)
    known = await _person(world, name)
    if known is not None and known.enabled:
        raise ControlError(
            f"there is an account `{shown(name)}` already",
            code="person_exists",
            help="disable it first to make it anew",
        )
    new, secret, password = identity.create_person(
        person.tenant,
        name,
        roles=cast("Sequence[Role]", roles),
        queues=queues,
        random=world.random,
    )
    body: dict[str, JSON] = {"name": name, "roles": list(new.roles), "queues": list(new.queues)}
    consent = await second_person(world, person, "people add", body, epoch)
    if isinstance(consent, dict):
        return consent
    epoch = await _put(world, consent, "added", new, secret)
    return {"epoch": epoch, **_account(new), "password": password}


async def people_disable(world: World, person: Person, given: Parameters) -> JSON:
    """Disable an account. It waits for a second person: it could silence the only other one."""
    name = text_of(given, "name")
    epoch = await world.store.epoch(person.tenant)
    known = await _person(world, name)
    if known is None or not known.enabled:
        raise ControlError(
            f"there is no enabled account `{shown(name)}`",
            code="person_unknown",
            help="list them with `bailiwick people list`",
        )
    people = await world.register.people(person.tenant)
    if not any(each.enabled and "admin" in each.roles and each.name != name for each in people):
        raise ControlError(
            f"`{shown(name)}` is the only administrator",
            code="last_admin",
            help="add another administrator first",
        )
    consent = await second_person(world, person, "people disable", {"name": name}, epoch)
    if isinstance(consent, dict):
        return consent
    disabled = replace(known, enabled=False)
    secret = await world.register.secret(person.tenant, name)
    epoch = await _put(world, consent, "disabled", disabled, secret or {})
    return {"epoch": epoch, **_account(disabled)}


async def people_password(world: World, person: Person, given: Parameters) -> JSON:
    """Change one's own password; with `new_key` the signing key too, so that old copies end.

    Votes cast with the old key no longer count. Raises `IdentityError`.
    """
    old, new = text_of(given, "password"), text_of(given, "new_password")
    person, secret, read = await _counted(world, person.tenant, person.name)
    key = await asyncio.to_thread(identity.unlock, person, secret, old)
    if given.get("new_key") is True:
        person, fresh, _ = identity.create_person(
            person.tenant,
            person.name,
            roles=person.roles,
            queues=person.queues,
            password=new,
            random=world.random,
        )
    else:
        fresh = identity.change_password(person, key, new, world.random)
    consent = Consent((person.name,), epoch=read)
    epoch = await _put(world, consent, "password", person, fresh)
    return {"epoch": epoch, **_account(person), "new_key": given.get("new_key") is True}


async def people_api_key(world: World, person: Person, given: Parameters) -> JSON:
    """Make an API key of one's own, told this once: it can do all but sign and keep accounts."""
    days = given.get("days")
    if not isinstance(days, int) or isinstance(days, bool):
        raise BadInput("`days` is missing or no number", code="parameter_invalid")
    made, id = identity.make_api_key(
        world.keys, person, days=days, now_us=world.now_us(), random=world.random
    )
    epoch = await control(
        world, Consent((person.name,)), "people api-key", (RaiseEpoch(),), target=id
    )
    return {"epoch": epoch, "person": person.name, "id": id, "days": days, "api_key": made}


async def _put(
    world: World, consent: Consent, what: str, person: Person, secret: Mapping[str, JSON]
) -> int:
    """Write an account as a control change with its record; give the new epoch.

    It raises the epoch because whoever was judged by the votes of this person is judged again.
    """
    tenant = person.tenant
    pseudonym = ledger.pseudonym(world, tenant, "person", person.name)

    def record(epoch: int, at_us: int) -> tuple[Append, ...]:
        fields = records.person(
            tenant=tenant,
            at_us=at_us,
            person=pseudonym,
            change=what,
            account_hash=records.account_hash(person.public_key, person.queues),
            roles=list(person.roles) if person.enabled else [],
            by=pseudonyms(world, consent.by),
        )
        named = recorded(world, consent, f"people-{what}", epoch, at_us, target=pseudonym)
        return (ledger.append("person", None, fields), named)

    return await change(world, consent, what, (PutPerson(person=person, secret=secret),), record)


async def _counted(world: World, tenant: str, name: str) -> tuple[Person, Mapping[str, JSON], int]:
    """The account, its secret with one more try counted, durably, and the epoch it was read in."""
    for _ in range(_TRIES):
        epoch = await world.store.epoch(tenant)
        person, secret = await _person(world, name), await world.register.secret(tenant, name)
        if person is None or secret is None:
            raise IdentityError(
                "the name or the password is wrong",
                code="password_wrong",
                help="try again; an administrator can make the account anew",
            )
        counted = identity.count_try(secret, await world.store.now_us())
        # The account is written whole: only if no change of an account came in between.
        ops = (EpochIs(epoch=epoch), PutPerson(person=person, secret=counted))
        if isinstance(await world.store.commit(Commit(tenant=tenant, ops=ops)), Committed):
            return person, counted, epoch
    raise contended()


async def _person(world: World, name: str) -> Person | None:
    people = await world.register.people(world.settings.tenant)
    return next((each for each in people if each.name == name), None)


def _account(person: Person) -> dict[str, JSON]:
    account: dict[str, JSON] = msgspec.to_builtins(person)
    return account
