"""Leaving rules out and keeping sets must not be seen: the answer is the whole rule set's."""

from collections.abc import Iterable
from itertools import product
from random import Random

import pytest
from cedarpy import Schema

from bailiwick.policy import RuleBook, rulebook
from bailiwick.policy.rules import read_rules
from bailiwick.policy.schema import schema_text, shape_of
from tests.s06_decide import random_rules
from tests.s06_decide.project import ask, manifests, sample, tools
from tests.s06_decide.reference import Plain, WholeSet

REQUESTS, SETS = 6_000, 40
IDS = [f"r{number}" for number in range(30)]
SCHEMA = Schema.from_str(schema_text([shape_of(tool, IDS)[0] for tool in tools().values()], IDS))


def random_book(random: Random, count: int) -> RuleBook:
    """A rule book of random rules over the sample project's tools."""
    found = tools()
    rules, wrong = read_rules("random.cedar", "\n".join(random_rules.rules(random, count, SCHEMA)))
    assert not wrong
    gates = [rule.id for rule in rules if rule.queue]
    shapes = {name: shape_of(tool, gates)[0] for name, tool in found.items()}
    return RuleBook(rules, shapes, manifests())


def compare(book: RuleBook, whole: WholeSet, random: Random, requests: int) -> set[str]:
    """Decide random requests both ways; give the kinds of answer that occurred."""
    seen = set()
    for _ in range(requests):
        entry = random_rules.question(random)
        question = ask(entry)
        expected, decision = whole.decide(question), book.decide(question)
        got = Plain(
            decision.effect,
            tuple(rule.id for rule in decision.rules),
            tuple(ask.rule for ask in decision.asks),
            tuple(sorted(error.split("`")[1] for error in decision.errors)),
        )
        if any("failed to build request" in error for error in expected.errors):
            assert got.errors, entry
            assert got.effect == "deny"
            seen.add("misfit")
            continue
        assert got == expected, entry
        seen.add("error" if got.errors else got.effect)
    return seen


def book_of(texts: Iterable[str]) -> RuleBook:
    """A rule book of rules without gates over the sample project's tools."""
    rules, wrong = read_rules("rules.cedar", "\n".join(texts))
    assert not wrong
    return RuleBook(
        rules, {name: shape_of(tool, ())[0] for name, tool in tools().items()}, manifests()
    )


@pytest.mark.claim("policy.bucket-equal")
def test_the_answer_is_that_of_the_whole_set() -> None:
    random, seen = Random(20260105), set[str]()
    for _ in range(SETS):
        book = random_book(random, random.choice((3, 10, 30)))
        seen |= compare(book, WholeSet(book), random, REQUESTS // SETS)
    assert seen == {"allow", "deny", "ask", "error", "misfit"}


@pytest.mark.claim("policy.bucket-equal")
def test_it_is_so_when_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one set only, each is made again and again, and the answers stay the same."""
    monkeypatch.setattr(rulebook, "_BUCKETS", 1)
    monkeypatch.setattr(rulebook, "_JUDGES", 1)
    monkeypatch.setattr(rulebook, "_TENANTS", 1)
    random = Random(7)
    book = random_book(random, 20)
    compare(book, WholeSet(book), random, 300)


@pytest.mark.claim("policy.bucket-equal")
def test_a_pattern_matches_what_it_matches_in_cedar() -> None:
    patterns = ["".join(p) for size in range(5) for p in product("a*", repeat=size)]
    texts = ["".join(t) for size in range(5) for t in product("ab", repeat=size)]
    book = book_of(
        f'@id("r{number}") forbid (principal, action, resource)'
        f' unless {{ context.subject.id like "{pattern}" }};'
        for number, pattern in enumerate(patterns)
    )
    whole = WholeSet(book)
    show = {"agent": "ops", "tool": "payments.show", "input": {"charge": "ch_1"}}
    for text in texts:
        question = ask({**show, "subject": text})
        assert [rule.id for rule in book.decide(question).rules] == [*whole.decide(question).rules]


# What a rule can be found by, and what looks like it.
DEMANDS = (
    "context.facts.over_budget",
    "!context.facts.over_budget",
    "context.facts.over_budget == false",
    'context.subject.id == "alice"',
    '!(context.subject.id == "alice")',
    'context.subject.id == "alice" || context.subject.id == "bob"',
    'context.subject.id == "alice" || context.time.hour == 9',
    'context.subject.id == "alice" || context.time.hour * 4611686018427387904 > 5',
    'context.time.hour * 4611686018427387904 > 5 || context.subject.id == "alice"',
    'context.time.hour * 4611686018427387904 > 5 && context.subject.id == "alice"',
    'context.subject.id == "alice" && context.time.hour * 4611686018427387904 > 5',
    'context.subject.id like "US*"',
    'context.subject.id like "USD"',
    'context.subject.id like ""',
    'context.subject.id like "*"',
    'context.subject.id like "U*D" || context.subject.id like "a*"',
    'context.provenance.sources.contains("USD")',
    '!context.provenance.sources.contains("USD")',
    'resource == Charge::"ch_1"',
    'resource in [Charge::"ch_1", Charge::"ch_2"] && context.facts.over_budget',
    'if context.facts.over_budget then true else context.subject.id == "alice"',
    "context.time.weekday == 1 && context.time.hour == 9",
)


@pytest.mark.claim("policy.bucket-equal")
@pytest.mark.parametrize("clause", ["when", "unless"])
def test_rules_are_found_by_every_value_that_they_name(clause: str) -> None:
    texts = [
        f'@id("r{number}") {"permit" if number % 3 else "forbid"} (principal, action, resource)'
        f" {clause} {{ {condition} }};"
        for number, condition in enumerate(DEMANDS)
    ]
    random = Random(12)
    for text in texts:
        book = book_of([text])
        compare(book, WholeSet(book), random, 40)
    book = book_of(texts)
    compare(book, WholeSet(book), random, 200)


@pytest.mark.claim("policy.bucket-equal")
def test_the_sample_project_answers_as_its_whole_set() -> None:
    random, book = Random(11), sample()
    seen = compare(book, WholeSet(book), random, 1000)
    assert {"allow", "deny", "misfit"} <= seen
