"""Endpoints go with their destinations: no case is tried in which one is without the other.

A channel, a bucket or a domain is exactly one destination, so its endpoint follows from that. Many
addresses and webhooks go to one domain: of those that no rule names, each domain has some.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args
from urllib.parse import urlsplit

from bailiwick.policy.rules import Path
from bailiwick.policy.schema import Shape
from bailiwick.vocabulary import DestinationKind

ENDPOINTS, DESTINATIONS = ("facts", "endpoints"), ("facts", "destinations")
OTHER = "another"
_MANY_TO_A_DOMAIN = frozenset({"address", "webhook"})


def looked_at(path: Path, constant: object, shape: Shape) -> Iterator[tuple[Path, object]]:
    """What is compared where something is compared with a constant: of an endpoint, both facts."""
    if path != ENDPOINTS:
        yield path, constant
        return
    kind = shape.tool.destination_kind or "domain"
    destination = _destination(constant, kind)
    yield DESTINATIONS, destination
    if kind in _MANY_TO_A_DOMAIN:
        yield ENDPOINTS, constant if destination else None


def placed(
    case: Mapping[Path, object], destinations: Sequence[str], shape: Shape
) -> tuple[str, ...] | None:
    """The endpoints of a request to some destinations; None if the case's own are not there."""
    kind = shape.tool.destination_kind or "domain"
    given = case.get(ENDPOINTS)
    assert given is None or isinstance(given, tuple)
    if not all(_is_reached(each, kind) for each in destinations):
        return None
    if kind not in _MANY_TO_A_DOMAIN:
        own = [f"domain:{each}" if kind == "domain" else each for each in destinations]
        return tuple(sorted(own)) if given is None or set(given) == set(own) else None
    if given is None:
        return ()  # no rule looks at them
    reached = [_destination(each, kind) for each in given if ":" in each]
    unnamed = len(reached) < len(given)
    if None in reached or not set(reached) <= set(destinations):
        return None
    there = bool(destinations) if unnamed else set(reached) == set(destinations)
    return given if there else None


def _is_reached(destination: str, kind: str) -> bool:
    """Whether a destination can be that of an endpoint of a kind."""
    named = destination.partition(":")[0]
    if kind in ("channel", "bucket"):
        return named == kind or is_other(destination)
    return named not in get_args(DestinationKind)


def is_other(text: str) -> bool:
    """Whether it stands for every text that no rule names."""
    return re.fullmatch(f"{OTHER}(-one)*", text) is not None


def _destination(endpoint: object, kind: str) -> str | None:
    """Where an endpoint of a kind goes; None for what is none of that kind."""
    named, _, rest = endpoint.partition(":") if isinstance(endpoint, str) else ("", "", "")
    if named != kind:
        return None
    if kind == "address":
        return rest.rpartition("@")[2]
    if kind == "webhook":
        try:
            return urlsplit(rest).hostname
        except ValueError:  # no URL, which no webhook can be
            return None
    return rest if kind == "domain" else f"{kind}:{rest}"
