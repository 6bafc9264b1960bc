"""The assignment of voters to rules, compared with every assignment there is."""

from collections.abc import Collection, Mapping, Sequence
from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.approval import quorum
from bailiwick.approval.quorum import MAX_SEARCHED, satisfied
from bailiwick.nouns import Ask

QUEUES = ["finance", "legal", "security"]

asks = st.lists(st.tuples(st.sampled_from(QUEUES), st.integers(0, 3)), min_size=0, max_size=4).map(
    lambda pairs: [ask(f"r{n}", *pair) for n, pair in enumerate(pairs)]
)
electorates = st.lists(st.sets(st.sampled_from([*QUEUES, "hr"])), max_size=5).map(
    lambda queues: {f"p{n}": tuple(sorted(each)) for n, each in enumerate(queues)}
)


def ask(rule: str, queue: str, quorum: int) -> Ask:
    return Ask(rule=rule, queue=queue, quorum=quorum, text_hash="")


def assign(
    rules: Sequence[Ask], voters: Mapping[str, Collection[str]]
) -> tuple[tuple[Ask, tuple[str, ...]], ...]:
    """Assign voters who serve queues: each may count for the rules of these."""
    serving = {
        name: {rule.rule for rule in rules if rule.queue in queues}
        for name, queues in voters.items()
    }
    return quorum.assign(rules, serving)


def best(rules: list[Ask], voters: Mapping[str, tuple[str, ...]]) -> int:
    """The most rules that any assignment of each voter to one rule or none satisfies."""
    most = 0
    for choice in product([None, *range(len(rules))], repeat=len(voters)):
        counts = [0] * len(rules)
        for queues, number in zip(voters.values(), choice, strict=True):
            if number is not None and rules[number].queue in queues:
                counts[number] += 1
        most = max(
            most,
            sum(1 <= r.quorum <= count for r, count in zip(rules, counts, strict=True)),
        )
    return most


@pytest.mark.claim("approval.one-person-once")
@given(rules=asks, voters=electorates)
def test_as_many_rules_as_possible_are_satisfied_and_no_more(
    rules: list[Ask], voters: dict[str, tuple[str, ...]]
) -> None:
    given_to = assign(rules, voters)
    placed = [name for _, names in given_to for name in names]
    assert len(placed) == len(set(placed)), "one person counts once"
    assert all(rule.queue in voters[name] for rule, names in given_to for name in names)
    assert all(len(names) <= max(rule.quorum, 0) for rule, names in given_to)
    assert sum(satisfied(rule, names) for rule, names in given_to) == best(rules, voters)


@given(rules=asks, voters=electorates, data=st.data())
def test_the_order_of_votes_and_rules_does_not_matter(
    rules: list[Ask], voters: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    other_rules = data.draw(st.permutations(rules))
    other_voters = dict(data.draw(st.permutations(list(voters.items()))))
    assert assign(other_rules, other_voters) == assign(rules, voters)


def test_one_more_vote_never_satisfies_fewer_rules() -> None:
    rules = [ask("a", "finance", 2), ask("b", "legal", 1), ask("c", "finance", 1)]
    people = {
        "p0": ("finance",),
        "p1": ("finance", "legal"),
        "p2": ("legal",),
        "p3": ("finance",),
    }
    for order in permutations(people):
        counts = [
            sum(satisfied(*each) for each in assign(rules, {n: people[n] for n in order[:count]}))
            for count in range(len(order) + 1)
        ]
        assert counts == sorted(counts)
        assert counts[-1] == 3


def test_more_rules_than_are_searched_still_get_their_quorum_when_all_can() -> None:
    rules = [ask(f"r{n:02}", f"q{n}", 1) for n in range(MAX_SEARCHED + 4)]
    voters = {f"p{n:02}": (f"q{n}",) for n in range(MAX_SEARCHED + 4)}
    assert all(satisfied(*each) for each in assign(rules, voters))
    del voters["p03"]
    waiting = [rule.rule for rule, names in assign(rules, voters) if not satisfied(rule, names)]
    assert waiting == ["r03"]
