"""What a release changes against another: in words, and whether it might allow more."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from bailiwick import catalog, limits, policy
from bailiwick.nouns import Cap, Tool, mode_of
from bailiwick.ports import Bundle
from bailiwick.values import shown

NEW_CODE = (
    "has Python tools that are new: read them; nothing of them runs, and no rule can be compared,"
    " before it is activated"
)
# Files by which a release is held to something; without them the next one may be anything.
_GUARDS = ("policies/tests/", "policies/assertions.yaml")
# What is compared as it was compiled; anything else that differs might allow more.
_COMPARED = ("agents/", "tools/", "policies/", "limits.yaml")
_COMPARED_MEMBERS = frozenset(
    {
        "actions_require_approval",
        "approvals",
        "budgets",
        "deny_when",
        "description",
        "destinations",
        "max_attempts_per_step",
        "max_cost_usd",
        "max_runtime_seconds",
        "max_tool_calls",
        "max_total_cost_usd",
        "modes",
        "name",
        "owner",
        "people_only",
        "rates",
        "tiers",
        "tools_allowlist",
    }
)
# What a tool's digest covers is told by the members that differ, and by no other.
_UNTOLD = frozenset({"digest", "input_type", "fact_types"})


def changes(old: Bundle, new: Bundle) -> list[str]:
    """Say everything that changes."""
    return [
        *policy.diff_words(book_of(old), book_of(new)),
        *_tool_changes(old, new),
        *_bound_changes(old, new),
        *_freed(old, new),
        *_member_changes(old, new),
        *_pin_changes(old.release.files, new.release.files),
        *file_changes(old.release.files, new.release.files),
    ]


def loosenings(old: Bundle, new: Bundle) -> list[str]:
    """Say why the new release might allow what the old one did not; in doubt it might.

    Nothing is said only if each rule is as strict, every cap, bound and mode as tight, every tool
    the same, no definition of another server accepted anew, and every test still there.
    """
    found = [*_risen(old, new), *_freed(old, new), *_tool_changes(old, new, lost=False)]
    found += _pin_changes(old.release.files, new.release.files)
    if policy.is_loosening(book_of(old), book_of(new)):
        found.append("rules are added, removed or changed that might allow more")
    before, after = old.release.files, new.release.files
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path), after.get(path)
        if path.startswith(_GUARDS) and was not in (None, now):
            found.append(f"changes or removes the tests in {path}")
        elif path.endswith(".py") and now not in (None, was):
            found.append(f"adds or changes the code in {path}")
        elif not path.startswith(_COMPARED) and was != now:
            found.append(f"adds, changes or removes {path}")
    found += _member_changes(old, new)
    return found


def book_of(bundle: Bundle) -> policy.RuleBook:
    """The rule book of a bundle that `compile_bundle` made."""
    assert isinstance(bundle.policies, policy.RuleBook)
    return bundle.policies


def file_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
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


def _tool_changes(old: Bundle, new: Bundle, *, lost: bool = True) -> Iterator[str]:
    """The tools that are added or changed, and in which of their members; or that are lost."""
    before, after = old.catalogue.tools, new.catalogue.tools
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"adds the tool `{name}`, which {after[name].effect}s"
        elif name not in after:
            if lost:
                yield f"removes the tool `{name}`"
        elif before[name].digest != after[name].digest:
            members = _members(before[name], after[name])
            yield f"changes the tool `{name}`: {'; '.join(members) or 'its code'}"


def _member_changes(old: Bundle, new: Bundle) -> Iterator[str]:
    """The members of manifests that differ and are not compared as they were compiled."""
    for name in sorted(old.manifests.keys() & new.manifests.keys()):
        was, now = old.manifests[name].source, new.manifests[name].source
        for member in sorted((was.keys() | now.keys()) - _COMPARED_MEMBERS):
            if was.get(member) != now.get(member):
                texts = [shown(str(each.get(member, "not there")), 120) for each in (now, was)]
                yield f"{name}: `{shown(member)}` is {texts[0]}, was {texts[1]}"


def _members(was: Tool, now: Tool) -> list[str]:
    before, after = structs.asdict(was), structs.asdict(now)
    return [
        f"{name} is {shown(str(after[name]), 120)}, was {shown(str(before[name]), 120)}"
        for name in before
        if name not in _UNTOLD and before[name] != after[name]
    ]


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


def _bound_changes(old: Bundle, new: Bundle) -> Iterator[str]:
    """The caps, rates and other bounds that differ, whichever way."""
    yield from _risen(old, new)
    for whose, before, after in _bounds(old, new):
        was = {(cap.node, cap.unit, cap.period): cap.limit for cap in before}
        for cap in after:
            limit = was.get((cap.node, cap.unit, cap.period))
            if limit is None:
                yield f"adds {_cap(cap)}{whose}"
            elif cap.limit < limit:
                yield f"lowers {_cap(cap, limit)}{whose} to {cap.limit}"
    for agent, own in old.manifests.items():
        now = new.manifests.get(agent)
        for bound in _BOUNDS if now is not None else ():
            most, least = getattr(own, bound), getattr(now, bound)
            if least is not None and (most is None or least < most):
                yield f"bounds the {bound} of agent `{agent}` to {least}; it was {most}"


_BOUNDS = ("max_runtime_seconds", "max_attempts_per_step", "max_error_ppm")


def _cap(cap: Cap, limit: int | None = None) -> str:
    most = cap.limit if limit is None else limit
    return f"the cap of {most} {cap.unit} on {cap.node} ({cap.period})"
