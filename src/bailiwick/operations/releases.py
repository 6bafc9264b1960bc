"""Releases: proposed, compared, activated; and what the active one says."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from bailiwick import catalog, ledger, limits, policy
from bailiwick.errors import BadInput, ControlError
from bailiwick.ledger import records
from bailiwick.nouns import Cap, Person, Release, Resource, Tool, mode_of
from bailiwick.operations.changes import Parameters, change, pseudonyms, second_person
from bailiwick.operations.channel import text_of
from bailiwick.ports import Bundle, World
from bailiwick.transactions import Activate, Append, Commit, PutRelease
from bailiwick.values import JSON, digest, shown
from bailiwick.wiring import compile_bundle

_NEW_CODE = (
    "has Python tools that are new: read them; nothing of them runs, and no rule can be compared,"
    " before it is activated"
)

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

    Every activation counts as loosening: whether one is cannot always be told.
    """
    release = await _given(world, person, given)
    bundle = await _compiled(world, person, release)
    state = await world.store.control(person.tenant)
    body = {"digest": release.digest}
    consent = await second_person(world, person, "release activate", body, state.epoch)
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
    epoch = await change(world, consent, "release activate", ops, record)
    return {
        "epoch": epoch,
        "digest": release.digest,
        "without_account": sorted(set(bundle.manifests) - set(state.standings)),
    }


async def release_diff(world: World, person: Person, given: Parameters) -> JSON:
    """What a release would change against the active one, in words, and whether it may loosen."""
    release = await _given(world, person, given)
    active = (await world.store.control(person.tenant)).release
    if active is None:
        return {"digest": release.digest, "active": None, "changes": [], "loosens": True}
    old = await world.bundle(person.tenant, active)
    new = await _compiled(world, person, release)
    if new is None:
        return {
            "digest": release.digest,
            "active": active,
            "changes": [*_file_changes(old.release.files, release.files), _NEW_CODE],
            "loosens": True,
        }
    sentences = [
        *_file_changes(old.release.files, release.files),
        *_pin_changes(old.release.files, release.files),
        *policy.diff_rules(book_of(old), book_of(new)),
        *_tool_changes(old, new),
    ]
    risen = [*_risen(old, new), *_freed(old, new), *_declassified(old, new)]
    loosens = policy.is_loosening(book_of(old), book_of(new)) or bool(risen)
    return {
        "digest": release.digest,
        "active": active,
        "changes": [*sentences, *risen],
        "loosens": loosens,
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


def book_of(bundle: Bundle) -> policy.RuleBook:
    """The rule book of a bundle that `compile_bundle` made."""
    assert isinstance(bundle.policies, policy.RuleBook)
    return bundle.policies


def caps_of(bundle: Bundle) -> Iterator[Cap]:
    """Every cap and rate of a release; one on `run` counts for each run by itself."""
    yield from (*bundle.caps, *bundle.rates)
    for manifest in bundle.manifests.values():
        yield from (*manifest.caps, *manifest.rates)


async def _compiled(world: World, person: Person, release: Release) -> Bundle | None:
    """The release compiled, or None if that would run code which nobody has consented to.

    Python tools run when they are compiled, and here that is in the process that holds the keys:
    looking at a release, or proposing it, must not be a way to let it act.
    """
    active = (await world.store.control(person.tenant)).release
    stored = await world.register.releases(person.tenant)
    known = next((each.files for each in stored if each.digest == active), {})
    for path, text in release.files.items():
        if path.endswith(".py") and known.get(path) != text:
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
    wanted = text_of(given, "digest")
    releases = await world.register.releases(person.tenant)
    found = [each for each in releases if len(wanted) >= 8 and each.digest.startswith(wanted)]
    if len(found) != 1:
        raise ControlError(
            f"`{shown(wanted)}` names {'no' if not found else 'more than one'} stored release",
            code="release_unknown",
            help="list them with `bailiwick release list`; give at least 8 digits",
        )
    return found[0]


def _file_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for path in sorted(old.keys() | new.keys()):
        if path not in old:
            yield f"adds the file {path}"
        elif path not in new:
            yield f"removes the file {path}"
        elif old[path] != new[path]:
            yield f"changes the file {path}"


def _pin_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    """What MCP servers are newly allowed to say of their tools, in words, their text escaped."""
    before, after = catalog.read_pins(old)[0], catalog.read_pins(new)[0]
    for upstream, pins in after.items():
        for tool, pin in pins.items():
            was = before.get(upstream, {}).get(tool)
            label = f"`{upstream}/{shown(tool)}`"
            if was is None:
                yield from (
                    f"accepts {label}: {each}" for each in catalog.described(pin.definition)
                )
                continue
            for each in catalog.changes(was.definition, pin.definition):
                yield f"{label}: {each}"
            for other in sorted(set(pin.beside) - set(was.beside)):
                yield f"accepts {label} beside `{shown(other)}`"


def _tool_changes(old: Bundle, new: Bundle) -> Iterator[str]:
    before, after = old.catalogue.tools, new.catalogue.tools
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"adds the tool `{name}`, which {after[name].effect}s"
        elif name not in after:
            yield f"removes the tool `{name}`"
        elif before[name].digest != after[name].digest:
            yield f"changes the tool `{name}`"


def _risen(old: Bundle, new: Bundle) -> Iterator[str]:
    """The caps that would let more through: raised or gone. An agent's caps are its own."""
    for whose, before, after in _bounds(old, new):
        now = {(cap.node, cap.unit, cap.period): cap.limit for cap in after}
        for cap in before:
            limit = now.get((cap.node, cap.unit, cap.period))
            name = f"the cap of {cap.limit} {cap.unit} on {cap.node} ({cap.period}){whose}"
            if limit is None:
                yield f"removes {name}"
            elif limit > cap.limit:
                yield f"raises {name} to {limit}"
    for agent, was in old.manifests.items():
        for bound in ("max_runtime_seconds", "max_attempts_per_step"):
            most = getattr(was, bound)
            if agent in new.manifests and most is not None:
                now_most = getattr(new.manifests[agent], bound)
                if now_most is None:
                    yield f"removes the {bound} of {most} of agent `{agent}`"
                elif now_most > most:
                    yield f"raises the {bound} of {most} of agent `{agent}` to {now_most}"


def _declassified(old: Bundle, new: Bundle) -> Iterator[str]:
    """The classes of data that tools no longer say they show, or their schemas mark."""
    for name, tool in sorted(new.catalogue.tools.items()):
        known = old.catalogue.tools.get(name)
        for each in sorted(_classes(known) - _classes(tool)) if known else ():
            yield f"no longer classifies what `{name}` handles as {each}"


def _classes(tool: Tool) -> set[str]:
    return {*tool.data_classes, *(each for some in tool.argument_classes.values() for each in some)}


def _freed(old: Bundle, new: Bundle) -> Iterator[str]:
    """The modes that become looser, and the bounds on error rates that rise or go."""
    for name, was in old.manifests.items():
        now = new.manifests.get(name)
        if now is None:
            continue
        for tool in sorted(new.catalogue.tools):
            before, after = (mode_of(tool, (name,), manifests={name: m}) for m in (was, now))
            if limits.is_tighter(before, after):
                yield f"lets agent `{name}` go from {before} to {after} with `{tool}`"
        bound = was.max_error_ppm
        if bound is not None and (now.max_error_ppm is None or now.max_error_ppm > bound):
            yield f"raises or removes the bound on the error rate of agent `{name}`"


def _bounds(old: Bundle, new: Bundle) -> Iterator[tuple[str, Sequence[Cap], Sequence[Cap]]]:
    yield "", (*old.caps, *old.rates), (*new.caps, *new.rates)
    for name, was in old.manifests.items():
        now = new.manifests.get(name)
        if now is not None:
            whose = f" of agent `{name}`"
            yield whose, (*was.caps, *was.rates), (*now.caps, *now.rates)


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
