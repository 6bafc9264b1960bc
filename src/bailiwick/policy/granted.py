"""What a rule book's manifests give an agent: its tools and its tiers, as they were compiled."""

from collections.abc import Mapping, Sequence

from bailiwick.nouns import Tool
from bailiwick.policy.rulebook import RuleBook
from bailiwick.policy.tiers import Tier, is_named, read_tiers


def granted_to(book: RuleBook, agent: str) -> Sequence[Tool]:
    """The tools that an agent's manifest names, in the order of their names."""
    entries = book.manifests[agent].tools
    return [
        shape.tool
        for name, shape in sorted(book.shapes.items())
        if any(is_named(entry, name) for entry in entries)
    ]


def tiers_of(book: RuleBook, agent: str) -> Mapping[tuple[str, str], Tier]:
    """An agent's tiers, by what they are on and their unit."""
    tiers = read_tiers(book.manifests[agent], granted_to(book, agent), book.shapes)
    return {(tier.on, tier.unit): tier for tier in tiers}
