"""Founding a project: keys, database, agents' accounts, people, and the first release.

It is what `init` does once, before there is anybody who could be asked. All accounts and the
release are one transaction, with their records.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bailiwick import identity, ledger
from bailiwick.config import Settings, load_settings
from bailiwick.errors import BailiwickError, ControlError, LedgerError
from bailiwick.ledger import records
from bailiwick.nouns import Person, Role
from bailiwick.ports import World
from bailiwick.transactions import (
    Activate,
    Append,
    Blocked,
    Commit,
    Op,
    PutPerson,
    PutRelease,
    PutStanding,
    RaiseEpoch,
)
from bailiwick.values import JSON
from bailiwick.wiring import agent_key_file, compile_bundle, keys_folder, open_world, read_release

Account = tuple[Person, Mapping[str, JSON], str]  # with its secret and its password

ACCESS_DAYS = 90
FIRST_ROLES: tuple[Role, ...] = ("admin", "approver", "auditor", "operator", "viewer")


class Newcomer(NamedTuple):
    """A person to make an account for; a password is generated where none is given."""

    name: str
    roles: tuple[Role, ...] = FIRST_ROLES
    queues: tuple[str, ...] = ()
    password: str | None = None


class Founded(NamedTuple):
    """What was founded: the release's digest, and what is shown once.

    That is each person's password, and each agent's access key if they were asked for.
    """

    release: str
    passwords: dict[str, str]
    access_keys: dict[str, str]


async def found(
    project: Path,
    people: Sequence[Newcomer],
    *,
    access_for: str | None = None,
    log_keys: Path | None = None,
) -> Founded:
    """Found the project whose files lie in a folder.

    With `access_for` each agent gets an access key by which it acts for that subject. A database
    has one log, whose keys a further tenant takes over from `log_keys`, another project's folder
    of keys.

    Raises `ControlError` (`project_founded`) when it has keys or a database already,
    `log_keys_needed` when the database's log is not signed by its keys, and `CatalogError`,
    `PolicyError`, `ConfigError` or `IdentityError` for its files and people, before anything is
    made.
    """
    settings = load_settings(project)
    made = [keys_folder(settings), *([] if settings.is_shared else [settings.path(settings.store)])]
    for path in made:
        if path.exists():
            raise _founded_already(f"`{path}` exists already")
    compile_bundle(read_release(project, created_at_us=0, created_by="init"))
    accounts = [
        identity.create_person(
            settings.tenant,
            each.name,
            roles=each.roles,
            queues=each.queues,
            password=each.password,
            random=os.urandom,
        )
        for each in people
    ]
    identity.create_keyring(keys_folder(settings), os.urandom, log_keys=log_keys)
    world = await _opened(settings)
    try:
        founded = await _found(world, project, accounts, access_for)
        await ledger.sequence(world.ledger, world.keys)
    finally:
        await world.close()
    return founded


async def _opened(settings: Settings) -> World:
    """The database, without this tenant and with a log that we can sign; else the keys go again.

    From the commit on they stay, since what came of it may not be known.
    """
    try:
        world = open_world(settings)
        try:
            if await world.store.epoch(settings.tenant):
                raise _founded_already(f"the database has a tenant `{settings.tenant}` already")
            await _join(world)
        except BailiwickError:
            await world.close()
            raise
    except BailiwickError:
        shutil.rmtree(keys_folder(settings))
        raise
    return world


async def _join(world: World) -> None:
    """See that the database's log is ours to sign. Raises `ControlError`."""
    try:
        await ledger.sequence(world.ledger, world.keys)
    except LedgerError as error:
        if error.code != "signature_missing":
            raise
        raise ControlError(
            "the database has the log of another tenant, which our keys have not signed",
            code="log_keys_needed",
            help="found with the log's keys from that project, and with its `log_origin`",
        ) from None


def _founded_already(what: str) -> ControlError:
    return ControlError(
        what,
        code="project_founded",
        help="use another folder or tenant, or remove it if nothing in it is needed",
    )


async def _found(
    world: World, project: Path, accounts: Sequence[Account], access_for: str | None
) -> Founded:
    settings, tenant = world.settings, world.settings.tenant
    now_us = await world.store.now_us()
    first = accounts[0][0].name if accounts else "init"
    release = read_release(project, created_at_us=now_us, created_by=first, note="first release")
    by = [ledger.pseudonym(world, tenant, "person", first)]
    ops: list[Op] = [RaiseEpoch(), PutRelease(release=release), Activate(digest=release.digest)]
    access_keys: dict[str, str] = {}
    for name in compile_bundle(release).manifests:
        jwk = identity.create_agent_key(agent_key_file(settings, name), world.random)
        standing = identity.register_agent(name, jwk, now_us=world.now_us())
        if access_for is not None:
            standing, _, access_keys[name] = identity.create_access_key(
                standing, access_for, days=ACCESS_DAYS, now_us=now_us, random=world.random
            )
        ops.append(PutStanding(standing=standing))
    passwords: dict[str, str] = {}
    for person, secret, password in accounts:
        passwords[person.name] = password
        ops += (PutPerson(person=person, secret=secret), _added(world, person, now_us, by))
    fields = records.release(
        tenant=tenant, at_us=now_us, epoch=2, digest=release.digest, previous=None, by=by
    )
    ops.append(ledger.append("release", None, fields))
    done = await world.store.commit(Commit(tenant=tenant, ops=tuple(ops)))
    if isinstance(done, Blocked):
        raise ControlError(f"the project cannot be founded: {done.code}", code=done.code)
    return Founded(release.digest, passwords, access_keys)


def _added(world: World, person: Person, now_us: int, by: list[str]) -> Append:
    fields = records.person(
        tenant=person.tenant,
        at_us=now_us,
        person=ledger.pseudonym(world, person.tenant, "person", person.name),
        change="added",
        account_hash=records.account_hash(person.public_key, person.queues),
        roles=list(person.roles),
        by=by,
    )
    return ledger.append("person", None, fields)
