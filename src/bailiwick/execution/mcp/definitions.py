"""What an MCP server says of its tools, as far as it is pinned, and which names can be confused."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bailiwick.errors import BadInput
from bailiwick.values import JSON, digest, parse, skeleton

# Everything that a model or a person may read, or that shapes a call. Icons and `_meta` do neither.
PINNED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_MAX_DEFINITION_BYTES = 256 * 1024

Definition = Mapping[str, JSON]


def definition(listed: Mapping[str, Any]) -> Definition | None:
    """Give what is pinned of a listed tool; None for what is too large or is not plain JSON."""
    try:
        return parse(
            {name: listed[name] for name in PINNED if listed.get(name) is not None},
            max_bytes=_MAX_DEFINITION_BYTES,
        )
    except BadInput:
        return None


class Offer:
    """What one server lists now: each tool's definition and digest, by name."""

    def __init__(self, listed: Iterable[Mapping[str, Any]]) -> None:
        self.definitions: dict[str, Definition | None] = {}
        named: Counter[str] = Counter()
        for each in listed:
            name = str(each.get("name"))
            named[name] += 1
            self.definitions[name] = definition(each)
        self.twice = frozenset(name for name, count in named.items() if count > 1)
        self.digests = {
            name: digest(each) for name, each in self.definitions.items() if each is not None
        }
        self.looks = {name: skeleton(name) for name in self.definitions}
        # What is listed beside tools, by the list's method; only where somebody looks at a server.
        self.beside: dict[str, Mapping[str, JSON]] = {}


def confusable(
    upstream: str, tool: str, offers: Mapping[str, Offer], accepted: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Name the tools, as `upstream/tool`, that may be taken for this one and were not accepted.

    The code says how: definition_shadowed (the same name) or definition_look_alike.
    """
    known = frozenset(accepted)
    look = skeleton(tool)
    for server, offer in offers.items():
        if server == upstream and tool in offer.twice:
            yield "definition_shadowed", f"{server}/{tool}"
        for name, other in offer.looks.items():
            label = f"{server}/{name}"
            if other == look and (server, name) != (upstream, tool) and label not in known:
                yield ("definition_shadowed" if name == tool else "definition_look_alike"), label
