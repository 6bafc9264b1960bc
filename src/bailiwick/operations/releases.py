"""Releases: proposed, compared, activated; and what the active one says."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import msgspec

from bailiwick import ledger, policy
from bailiwick.errors import BadInput, ControlError
from bailiwick.ledger import records
from bailiwick.nouns import Cap, Person, Release, Resource
from bailiwick.operations.changes import (
    Consent,
    Parameters,
    change,
    pseudonyms,
    second_person,
)
from bailiwick.operations.channel import text_of
from bailiwick.operations.comparing import NEW_CODE, book_of, changes, file_changes, loosenings
from bailiwick.ports import Bundle, ControlState, World
from bailiwick.transactions import Activate, Append, Commit, PutRelease
from bailiwick.values import JSON, digest, shown
from bailiwick.wiring import compile_bundle


class Activation(NamedTuple):
    """One time that a release began to decide."""

    digest: str
    at_us: int
    epoch: int


Place = tuple[str, str, str]  # a budget's node, unit and period


async def release_list(world: World, person: Person, _: Parameters) -> JSON:
    """All releases, newest first, and which one decides."""
    active = (await world.store.control(person.tenant)).release
    return [
        {
            "digest": release.digest,
            "active": release.digest == active,
            "files": len(release.files),
            "created_at_us": release.created_at_us,
            "created_by": release.created_by,
            "note": release.note,
        }
        for release in await world.register.releases(person.tenant)
    ]


async def release_propose(world: World, person: Person, given: Parameters) -> JSON:
    """Store a release, checked if that runs no new code, without letting it decide."""
    release = await _given(world, person, given)
    bundle = await _compiled(world, person, release)
    await world.store.commit(Commit(tenant=person.tenant, ops=(PutRelease(release=release),)))
    return {
        "digest": release.digest,
        "files": len(release.files),
        "checked": bundle is not None,
    }


async def release_activate(world: World, person: Person, given: Parameters) -> JSON:
    """Let a release decide, after checking it whole; with two who may, the second one makes it.

    Only one that provably allows nothing more than what decides now is made by one person.
    """
    return await _made(world, person, "release activate", await _given(world, person, given))


async def _made(world: World, person: Person, what: str, release: Release) -> JSON:
    """Make a release decide, or propose that it does."""
    bundle = await _compiled(world, person, release)
    state = await world.store.control(person.tenant)
    body = {"digest": release.digest}
    if await _loosens(world, state, bundle):
        consent = await second_person(world, person, what, body, state.epoch)
    else:
        consent = Consent((person.name,), epoch=state.epoch)
    if isinstance(consent, dict):
        await world.store.commit(Commit(tenant=person.tenant, ops=(PutRelease(release=release),)))
        return {**consent, "digest": release.digest}
    if bundle is None:
        bundle = await asyncio.to_thread(compile_bundle, release)
    by = pseudonyms(world, consent.by)

    def record(epoch: int, at_us: int) -> tuple[Append, ...]:
        fields = records.release(
            tenant=person.tenant,
            at_us=at_us,
            epoch=epoch,
            digest=release.digest,
            previous=state.release,
            by=by,
        )
        return (ledger.append("release", None, fields),)

    ops = (PutRelease(release=release), Activate(digest=release.digest))
    epoch = await change(world, consent, what, ops, record)
    return {
        "epoch": epoch,
        "digest": release.digest,
        "previous": state.release,
        "without_account": sorted(set(bundle.manifests) - set(state.standings)),
    }


async def _loosens(world: World, state: ControlState, new: Bundle | None) -> bool:
    """Whether a release might allow more than the active one; in doubt it might."""
    if new is None or state.release is None:
        return True
    return bool(loosenings(await world.bundle(state.tenant, state.release), new))


async def release_rollback(world: World, person: Person, given: Parameters) -> JSON:
    """Let a release decide again that did before: the one before the active one, or a named one.

    One that provably allows nothing more is made at once; with two who may, the second one makes
    any other.
    """
    active = (await world.store.control(person.tenant)).release
    decided = await activations(world, person.tenant)
    if given.get("digest") is not None:
        release = await stored(world, person, text_of(given, "digest"))
    else:
        before = _before(decided, active)
        if before is None:
            raise ControlError(
                "no release decided before the active one",
                code="release_unknown",
                help="name one of `bailiwick release list`, or activate the files as they were",
            )
        release = await stored(world, person, before)
    if release.digest == active or release.digest not in {each.digest for each in decided}:
        why = "is active" if release.digest == active else "never decided"
        raise ControlError(
            f"release `{release.digest}` {why}",
            code="release_not_earlier",
            help="see `bailiwick release list`; `bailiwick release activate` is for new ones",
        )
    return await _made(world, person, "release rollback", release)


def _before(decided: Sequence[Activation], active: str | None) -> str | None:
    """The release that decided last before the active one began to."""
    began = max((n for n, each in enumerate(decided) if each.digest == active), default=0)
    return next((each.digest for each in reversed(decided[:began]) if each.digest != active), None)


async def release_diff(world: World, person: Person, given: Parameters) -> JSON:
    """What a release would change, in words, and why it may loosen; against `against` or now's."""
    release = await _given(world, person, given)
    active = (await world.store.control(person.tenant)).release
    if given.get("against") is not None:
        active = (await stored(world, person, text_of(given, "against"))).digest
    answer: dict[str, JSON] = {"digest": release.digest, "active": active}
    if active is None:
        return {**answer, "changes": [], "loosens": True, "because": ["nothing decides now"]}
    was = await stored(world, person, active)
    old, new = await _compiled(world, person, was), await _compiled(world, person, release)
    if old is None or new is None:
        said: Sequence[str] = [*file_changes(was.files, release.files), NEW_CODE]
        because: Sequence[str] = [NEW_CODE]
    else:
        said, because = changes(old, new), loosenings(old, new)
    return {**answer, "changes": said, "loosens": bool(because), "because": because}


async def release_check(world: World, person: Person, given: Parameters) -> JSON:
    """Check a stored release whole. Raises what is wrong with it, with every finding."""
    release = await _given(world, person, given)
    bundle = await _compiled(world, person, release)
    if bundle is None:
        raise ControlError(f"release `{release.digest}` {NEW_CODE}", code="release_has_new_code")
    return {
        "digest": release.digest,
        "files": len(release.files),
        "tools": len(bundle.catalogue.tools),
        "agents": len(bundle.manifests),
        "rules": len(book_of(bundle).rules),
    }


async def budget(world: World, person: Person, _: Parameters) -> JSON:
    """Every budget node's balance in its current period, and the caps of the active release."""
    limits: dict[Place, int | None] = {}
    active = (await world.store.control(person.tenant)).release
    if active is not None:
        limits = _limits(await world.bundle(person.tenant, active))
    rows: list[JSON] = []
    used: set[Place] = set()
    for balance in await world.register.spending(person.tenant):
        period = _period(balance.bucket)
        own = (balance.node, balance.unit, period)
        each = (_kind(balance.node), balance.unit, period)
        place = each if own not in limits and each in limits else own
        used.add(place)
        rows.append(_row(own, limits.get(place), balance.spent, balance.held))
    rows += [_row(place, limit, 0, 0) for place, limit in limits.items() if place not in used]
    return sorted(rows, key=str)


async def policy_show(world: World, person: Person, given: Parameters) -> JSON:
    """The rules of the active release with their texts, one by its id, and the tools."""
    active = (await world.store.control(person.tenant)).release
    bundle = await world.bundle(person.tenant, active)
    wanted = given.get("rule")
    rules = [rule for rule in book_of(bundle).rules if wanted is None or rule.id == wanted]
    if wanted is not None and not rules:
        raise ControlError(
            f"there is no rule `{shown(str(wanted))}` in the active release",
            code="rule_unknown",
            help="list them with `bailiwick policy show`",
        )
    return {
        "release": active,
        "rules": [
            {
                "id": rule.id,
                "effect": rule.effect,
                "file": rule.file,
                "line": rule.line,
                "asks": f"{rule.queue}:{rule.quorum}" if rule.queue else None,
                "text_hash": rule.text_hash,
                "text": rule.text,
            }
            for rule in rules
        ],
        "tools": [
            {
                "name": tool.name,
                "effect": tool.effect,
                "traits": list(tool.traits),
                "resource_type": tool.resource_type,
                "reverser": tool.reverser,
                "description": tool.description,
            }
            for tool in bundle.catalogue.tools.values()
        ],
        "agents": sorted(bundle.manifests),
    }


async def policy_tools(world: World, person: Person, _: Parameters) -> JSON:
    """The tools of the active release, as people classified them."""
    active = (await world.store.control(person.tenant)).release
    bundle = await world.bundle(person.tenant, active)
    return [
        {
            "name": tool.name,
            "wire_name": tool.wire_name,
            "title": tool.title,
            "description": tool.description,
            "effect": tool.effect,
            "traits": list(tool.traits),
            "owner": tool.owner,
            "resource_type": tool.resource_type,
            "reader": tool.reader.tool if tool.reader else None,
            "reverser": tool.reverser,
            "upstream": tool.upstream,
            "input_schema": tool.schema,
            "output_schema": tool.output_schema,
            "digest": tool.digest,
        }
        for _, tool in sorted(bundle.catalogue.tools.items())
    ]


async def who_can(world: World, person: Person, given: Parameters) -> JSON:
    """Who can use a tool, or a tool of a group: yes with its route, no, or cannot tell."""
    active = (await world.store.control(person.tenant)).release
    bundle = await world.bundle(person.tenant, active)
    on, resource = given.get("on") or {}, given.get("resource")
    if not isinstance(on, Mapping) or (on and resource is not None):
        raise BadInput(
            "`on` is not a mapping, or stands beside `resource`",
            code="parameter_invalid",
            help="name facts and arguments, or one resource",
        )
    where: Mapping[str, JSON] | Resource = on
    if resource is not None:
        type_, _, id = str(resource).partition(":")
        where = Resource(type=type_, id=id)
    answers = await asyncio.to_thread(
        policy.who_can,
        book_of(bundle),
        text_of(given, "action"),
        where,
        automatic=given.get("automatic") is True,
        settings=(await world.store.control(person.tenant)).modes,
    )
    return [_answer(answer) for answer in answers]


def caps_of(bundle: Bundle) -> Iterator[Cap]:
    """Every cap and rate of a release; one on `run` counts for each run by itself."""
    yield from (*bundle.caps, *bundle.rates)
    for manifest in bundle.manifests.values():
        yield from (*manifest.caps, *manifest.rates)


async def activations(world: World, tenant: str) -> list[Activation]:
    """Every time that a release began to decide, oldest first, by the records of it."""
    found = [records.decode(each.body) for each in await world.archive.activations(tenant)]
    return [
        Activation(
            str(fields["digest"]), cast("int", fields["at_us"]), cast("int", fields["epoch"])
        )
        for fields in found
    ]


async def runs_new_code(world: World, tenant: str, release: Release) -> bool:
    """Whether compiling the release would run code which nobody has consented to.

    Python tools run when they are compiled, and here that is in the process that holds the keys:
    looking at a release, or proposing it, must not be a way to let it act. What was active once
    has been consented to.
    """
    active = {each.digest for each in await activations(world, tenant)}
    if release.digest in active:
        return False
    known = {
        (path, text)
        for each in await world.register.releases(tenant)
        if each.digest in active
        for path, text in each.files.items()
    }
    return any(
        path.endswith(".py") and (path, text) not in known for path, text in release.files.items()
    )


async def _compiled(world: World, person: Person, release: Release) -> Bundle | None:
    """The release compiled, or None if that would run new code."""
    if await runs_new_code(world, person.tenant, release):
        return None
    return await asyncio.to_thread(compile_bundle, release)


async def _given(world: World, person: Person, given: Parameters) -> Release:
    """The release that is meant: by its files as they are now, or by the digest of a stored one."""
    files = given.get("files")
    if isinstance(files, Mapping):
        if not all(isinstance(text, str) for text in files.values()):
            raise BadInput("`files` is not paths to text", code="parameter_invalid")
        return Release(
            digest=digest(files),
            files={path: str(text) for path, text in files.items()},
            created_at_us=await world.store.now_us(),
            created_by=person.name,
            note=text_of(given, "note", ""),
        )
    return await stored(world, person, text_of(given, "digest"))


async def stored(world: World, person: Person, wanted: str) -> Release:
    """The stored release that the first digits of a digest name, or `ControlError`."""
    releases = await world.register.releases(person.tenant)
    found = [each for each in releases if len(wanted) >= 8 and each.digest.startswith(wanted)]
    if len(found) != 1:
        raise ControlError(
            f"`{shown(wanted)}` names {'no' if not found else 'more than one'} stored release",
            code="release_unknown",
            help="list them with `bailiwick release list`; give at least 8 digits",
        )
    return found[0]


def _limits(bundle: Bundle) -> dict[Place, int | None]:
    """The lowest limit at each place; None where agents differ and a node does not say whose."""
    found: dict[Place, set[int]] = {}
    for cap in caps_of(bundle):
        found.setdefault((cap.node, cap.unit, cap.period), set()).add(cap.limit)
    return {
        place: min(limits) if len(limits) == 1 or _is_one(place[0]) else None
        for place, limits in found.items()
    }


def _is_one(node: str) -> bool:
    """Whether it is one node, rather than one for each run (agent, tool, customer) by itself."""
    return _kind(node) != node or node.removeprefix("rate:") == "tenant"


def _kind(node: str) -> str:
    """What a node is one of: `run` of `run:r_1`, `rate:agent` of `rate:agent:desk`."""
    rate = "rate:" if node.startswith("rate:") else ""
    return rate + node.removeprefix(rate).partition(":")[0]


def _period(bucket: str) -> str:
    """The period whose bucket has this name: `all`, a day, an hour or a minute."""
    return bucket if bucket == "all" else {10: "day", 13: "hour", 16: "minute"}[len(bucket)]


def _row(place: Place, limit: int | None, spent: int, held: int) -> dict[str, JSON]:
    return {
        "node": place[0],
        "unit": place[1],
        "period": place[2],
        "spent": spent,
        "held": held,
        "limit": limit,
        "left": None if limit is None else max(0, limit - spent - held),
    }


def _answer(answer: policy.Answer) -> dict[str, JSON]:
    question = answer.question
    return {
        "agent": answer.agent,
        "can": answer.can,
        "tool": answer.tool,
        "tier": list(answer.tier),
        "rules": list(answer.rules),
        "reason": answer.reason,
        "request": None
        if question is None
        else {
            "tool": question.tool,
            "resource": msgspec.to_builtins(question.situation.resource),
            "facts": dict(question.situation.facts),
            "input": dict(question.situation.input),
        },
    }
