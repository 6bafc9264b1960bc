"""What a grant covers, and what may become of it when it is handed on: less, never more.

A tool pattern is an exact name or `prefix.*`; a resource pattern is `Type:id`, `Type:*` or `*`.
Types may have a namespace (`Shop::Order`). Nothing else is a wildcard.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec.structs import replace

from bailiwick.errors import BadInput, IdentityError
from bailiwick.nouns import Caller, Cap, Grant, Resource
from bailiwick.values import JSON, MAX_INTEGER, digest, identifier, shown

MAX_GRANTS = 32
MAX_PATTERNS = 256

_RESOURCE = re.compile(r"([A-Za-z_]\w*(?:::[A-Za-z_]\w*)*):(.+)", re.DOTALL | re.ASCII)
_TOOL = re.compile(r"[^\s*]+?(?:\.\*)?")
_UNIT = re.compile(r"micro_usd|calls|tokens|value:[A-Z]{3}")


def covers(caller: Caller, tool: str, resource: Resource) -> tuple[Grant, ...]:
    """The caller's grants that cover a tool on a resource; none means not covered.

    The action draws on the caps of all of them; a cap that stands in several is one cap.
    """
    return tuple(
        grant
        for grant in caller.capability.grants
        if tool_granted(grant.tools, tool) and _touches(grant.resources, resource)
    )


def tool_granted(patterns: Iterable[str], tool: str) -> bool:
    """Whether one of the tool patterns covers a tool name, or a narrower pattern."""
    for pattern in patterns:
        if pattern == tool or (pattern[-2:] == ".*" and tool.startswith(pattern[:-1])):
            return True
    return False


def scoped(patterns: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    """What of the tools that are asked for, as names or `prefix.*`, an allow-list has."""
    found: dict[str, None] = {}
    for tool in asked:
        inner = [each for each in patterns if tool_granted((tool,), each)]
        found.update(dict.fromkeys((tool,) if tool_granted(patterns, tool) else inner))
    return tuple(found)


def check_grants(grants: Sequence[Grant]) -> None:
    """Check that grants are well formed. Raises `IdentityError` `grant_malformed`."""
    scopes = {(frozenset(grant.tools), frozenset(grant.resources)) for grant in grants}
    if not 0 < len(grants) <= MAX_GRANTS or len(scopes) < len(grants):
        raise _malformed(f"there are none, more than {MAX_GRANTS}, or two of the same scope")
    for grant in grants:
        _check_grant(grant)


def check_within(patterns: Sequence[str], grants: Sequence[Grant], whose: str) -> None:
    """Check that all tools of the grants are in an allow-list. Raises `grant_too_wide`."""
    for grant in grants:
        for tool in grant.tools:
            if not tool_granted(patterns, tool):
                raise IdentityError(
                    f"the tool `{shown(tool)}` is not in the manifest of `{shown(whose)}`",
                    code="grant_too_wide",
                    help="ask for tools of the manifest only, or have the manifest changed",
                )


def with_nodes(grants: Sequence[Grant], owner: JSON) -> tuple[Grant, ...]:
    """The grants with their caps moved to the budget nodes that belong to this owner.

    A node's id comes from owner and scope (tools and resources), not from the limits: asking again
    for the same thing, with the same or with another limit, finds what was already spent.
    """
    return tuple(
        replace(grant, caps=tuple(replace(cap, node=node) for cap in grant.caps))
        for grant, node in ((grant, _node(grant, owner)) for grant in grants)
    )


def narrowed(parents: Sequence[Grant], grants: Sequence[Grant], owner: JSON) -> tuple[Grant, ...]:
    """The grants as a child of the parents': each within one of them, drawing on all they draw on.

    A child grant draws on the caps of every parent grant that it overlaps, since the parent would
    draw on them too for the same action. Raises `IdentityError` `grant_too_wide`.
    """
    return tuple(
        replace(own, caps=own.caps + _inherited(parents, own)) for own in with_nodes(grants, owner)
    )


def _inherited(parents: Sequence[Grant], own: Grant) -> tuple[Cap, ...]:
    if not any(_contains(parent, own) for parent in parents):
        raise IdentityError(
            "a grant covers more than each of the parent's grants does",
            code="grant_too_wide",
            help="ask for tools and resources of one of the parent's grants at a time",
        )
    overlapping = (parent for parent in parents if _overlaps(parent, own))
    inherited = tuple(dict.fromkeys(cap for parent in overlapping for cap in parent.caps))
    for cap in own.caps:
        above = [p.limit for p in inherited if (p.unit, p.period) == (cap.unit, cap.period)]
        if above and cap.limit > min(above):
            raise IdentityError(
                f"a limit of {cap.limit} {cap.unit} is above the parent's {min(above)}",
                code="grant_too_wide",
                help="ask for at most what the parent may spend",
            )
    return inherited


def _node(grant: Grant, owner: JSON) -> str:
    scope: JSON = {"tools": sorted(set(grant.tools)), "resources": sorted(set(grant.resources))}
    return f"capability:{digest({'owner': owner, 'scope': scope})[:32]}"


def _contains(parent: Grant, child: Grant) -> bool:
    return all(tool_granted(parent.tools, tool) for tool in child.tools) and all(
        any(_resource_within(wide, narrow) for wide in parent.resources)
        for narrow in child.resources
    )


def _overlaps(one: Grant, other: Grant) -> bool:
    return any(
        tool_granted((a,), b) or tool_granted((b,), a) for a in one.tools for b in other.tools
    ) and any(
        _resource_within(a, b) or _resource_within(b, a)
        for a in one.resources
        for b in other.resources
    )


def _resource_within(wide: str, narrow: str) -> bool:
    if wide in ("*", narrow):
        return True
    outer, inner = _split(wide), _split(narrow)
    return outer is not None and inner is not None and outer == (inner[0], "*")


def _touches(patterns: Sequence[str], resource: Resource) -> bool:
    wanted = ((resource.type, "*"), (resource.type, resource.id))
    return any(pattern == "*" or _split(pattern) in wanted for pattern in patterns)


@lru_cache(maxsize=4096)
def _split(pattern: str) -> tuple[str, str] | None:
    """Type and id of a resource pattern. The type is a Cedar name, so the parts are certain."""
    match = _RESOURCE.fullmatch(pattern)
    return (match[1], match[2]) if match else None


def _check_grant(grant: Grant) -> None:
    for patterns in (grant.tools, grant.resources):
        if not 0 < len(patterns) <= MAX_PATTERNS:
            raise _malformed(f"a grant names no tool or resource, or more than {MAX_PATTERNS}")
    for tool in grant.tools:
        if not _TOOL.fullmatch(_plain(tool)):
            raise _malformed(f"`{shown(tool)}` is neither a tool's name nor `prefix.*`")
    for resource in grant.resources:
        parts = _split(_plain(resource))
        if resource != "*" and (parts is None or (parts[1] != "*" and "*" in parts[1])):
            raise _malformed(f"`{shown(resource)}` is not `Type:id`, `Type:*` or `*`")
    for cap in grant.caps:
        if not _UNIT.fullmatch(cap.unit) or not 0 <= cap.limit <= MAX_INTEGER:
            raise _malformed(f"`{cap.limit} {shown(cap.unit)}` is not a limit")
    if len({(cap.unit, cap.period) for cap in grant.caps}) < len(grant.caps):
        raise _malformed("a grant limits one unit twice for one period")


def _plain(pattern: str) -> str:
    try:
        return identifier(pattern, "the pattern")
    except BadInput as error:
        raise _malformed(error.message) from None


def _malformed(reason: str) -> IdentityError:
    return IdentityError(
        f"the grants cannot be given: {reason}",
        code="grant_malformed",
        help="give each grant tools, resources, and limits as whole numbers of a known unit",
    )
