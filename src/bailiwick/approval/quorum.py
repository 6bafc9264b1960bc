"""Who counts for which rule: one person counts once per action, over all its rules."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from bailiwick.nouns import Ask

# With more rules than this asking at once, the best choice among too few voters is not searched
# for: all rules are satisfied, or some in order. Fewer may then be satisfied than could be, never
# more, and an action that not all its rules let through is not let through.
MAX_SEARCHED = 12


def assign(
    asks: Sequence[Ask], voters: Mapping[str, Collection[str]]
) -> tuple[tuple[Ask, tuple[str, ...]], ...]:
    """Give each voter to at most one rule that the voter may count for.

    `voters` maps names to the ids of those rules. As many rules as possible get their whole quorum;
    voters left over go to the rules that still wait. No rule gets more than its quorum. The
    result, each rule with its voters in the order of the rules' ids, is the same for any order of
    the input.
    """
    ordered = sorted(asks, key=lambda ask: (ask.rule, ask.queue, ask.quorum))
    numbers = [number for number, ask in enumerate(ordered) if _reachable(ask, voters)]
    sizes = range(len(numbers), 0, -1) if len(numbers) <= MAX_SEARCHED else (len(numbers),)
    first: Sequence[int] = next(
        (
            chosen
            for size in sizes
            for chosen in combinations(numbers, size)
            if _fits([ordered[number] for number in chosen], voters)
        ),
        (),
    )
    sequence = [*first, *(number for number in range(len(ordered)) if number not in first)]
    seats = _match([ordered[number] for number in sequence], voters)
    given = dict(zip(sequence, seats, strict=True))
    return tuple((ask, given[number]) for number, ask in enumerate(ordered))


def satisfied(ask: Ask, voters: Sequence[str]) -> bool:
    """Say whether a rule has its whole quorum. A quorum below one is never met."""
    return 1 <= ask.quorum <= len(voters)


def _reachable(ask: Ask, voters: Mapping[str, Collection[str]]) -> bool:
    return 1 <= ask.quorum <= sum(ask.rule in rules for rules in voters.values())


def _fits(asks: Sequence[Ask], voters: Mapping[str, Collection[str]]) -> bool:
    if sum(ask.quorum for ask in asks) > len(voters):
        return False
    return all(map(satisfied, asks, _match(asks, voters)))


def _match(asks: Sequence[Ask], voters: Mapping[str, Collection[str]]) -> list[tuple[str, ...]]:
    """Fill the rules' places in order by augmenting paths (Kuhn): a filled place stays filled."""
    places = [
        number for number, ask in enumerate(asks) for _ in range(min(ask.quorum, len(voters)))
    ]
    serving = [sorted(name for name in voters if ask.rule in voters[name]) for ask in asks]
    able = [serving[number] for number in places]
    held: dict[str, int] = {}
    for place in range(len(places)):
        _fill(place, able, held, set())
    return [
        tuple(sorted(name for name, place in held.items() if places[place] == number))
        for number in range(len(asks))
    ]


# `able` is who may take each place, `held` who has which.
def _fill(place: int, able: Sequence[Sequence[str]], held: dict[str, int], tried: set[str]) -> bool:
    for name in able[place]:
        if name in tried:
            continue
        tried.add(name)
        if name not in held or _fill(held[name], able, held, tried):
            held[name] = place
            return True
    return False
