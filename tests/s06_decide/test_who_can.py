"""Who can: a yes was evaluated, a no is proved, and what cannot be told is neither."""

from itertools import product
from random import Random
from typing import Any

import pytest

from bailiwick.errors import PolicyError
from bailiwick.nouns import Resource
from bailiwick.policy import Answer, RuleBook, compile_policies, who_can
from tests.s06_decide.project import UNCHECKED, ask, load, manifest, sample, tools
from tests.s06_decide.reference import WholeSet

CASES: list[dict[str, Any]] = load("who_can.yaml")
UNKNOWN = [entry for entry in CASES if entry.get("claim")]


def check(entry: dict[str, Any]) -> None:
    changes = {key: entry[key] for key in ("rules", "more_tools", "agents") if key in entry}
    book = sample(**changes, replace=UNCHECKED)
    answers = {
        answer.agent: answer
        for answer in who_can(
            book,
            entry.get("ask", "payments.refund"),
            entry.get("on"),
            automatic=entry.get("automatic", False),
        )
    }
    given = {agent: answers[agent].can for agent in entry["expect"]}
    assert given == entry["expect"], answers
    first = answers[next(iter(entry["expect"]))]
    assert entry.get("reason", "") in first.reason
    if "tier" in entry:
        assert list(first.tier) == entry["tier"]
    for answer in answers.values():
        verify(book, answer)


def verify(book: RuleBook, answer: Answer) -> None:
    """A yes stands on a request that the whole rule set, asked plainly, allows or asks about."""
    if answer.can != "yes":
        assert answer.question is None
        return
    assert answer.question is not None
    plain = WholeSet(book).decide(answer.question)
    assert plain.effect == ("allow" if answer.tier == ("auto",) else "ask")
    assert plain.rules == answer.rules
    assert not plain.errors


def by_case(entry: dict[str, Any]) -> str:
    return str(entry["case"])


@pytest.mark.claim("policy.who-can")
@pytest.mark.parametrize("entry", [e for e in CASES if e not in UNKNOWN], ids=by_case)
def test_who_can(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.who-can-cannot-tell-is-not-no")
@pytest.mark.parametrize("entry", UNKNOWN, ids=by_case)
def test_what_cannot_be_told_is_not_a_no(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.who-can")
def test_about_one_resource() -> None:
    book = sample()
    refund = "payments.refund"
    disputed = {
        a.agent: a.can for a in who_can(book, refund, Resource(type="Charge", id="ch_disputed"))
    }
    assert set(disputed.values()) == {"no"}
    other = {a.agent: a.can for a in who_can(book, refund, Resource(type="Charge", id="ch_1"))}
    assert other["refund-desk"] == "yes"
    customer = who_can(book, refund, Resource(type="Customer", id="ch_1"))
    assert {answer.can for answer in customer} == {"no"}
    assert "touches Charge, not Customer" in {a.agent: a for a in customer}["ops"].reason


def test_a_question_about_nothing_is_refused() -> None:
    with pytest.raises(PolicyError, match="is no tool and no group"):
        who_can(sample(), "payments.refnd")
    with pytest.raises(PolicyError, match="is a Long for"):
        who_can(sample(), "payments.refund", {"amount_minor": "5000"})


# --- against brute force over a world small enough to try everything -----------------------------

AMOUNTS, COLOURS = range(4), ("red", "green")
TOOL = {
    "name": "small.do",
    "effect": "write",
    "traits": [],
    "resource_type": "Thing",
    "schema": {
        "type": "object",
        "properties": {
            "amount": {"type": "integer", "minimum": 0, "maximum": 3},
            "colour": {"enum": list(COLOURS)},
            "loud": {"type": "boolean"},
        },
        "required": ["amount", "loud"],
        "additionalProperties": False,
    },
    "input_type": {
        "amount": {"type": "Long"},
        "colour": {"type": "String", "required": False},
        "loud": {"type": "Bool"},
    },
    "facts": {"rows": "args.amount"},
    "fact_types": {"rows": "Long"},
    "reader": {"tool": "payments.show", "arguments": {}},
}
AGENT = manifest({"name": "small", "tools_allowlist": ["small.do"]})


SMALL = {"small.do": tools([TOOL])["small.do"]}


def every_request() -> list[dict[str, Any]]:
    """All requests that the small tool's schema lets through, at one time, by one caller."""
    requests = []
    for amount, colour, loud in product(AMOUNTS, (None, *COLOURS), (False, True)):
        given: dict[str, Any] = {"amount": amount, "loud": loud}
        if colour is not None:
            given["colour"] = colour
        call = {"agent": "small", "tool": "small.do", "resource": "Thing:t"}
        requests.append({**call, "facts": {"rows": amount}, "input": given})
    return requests


def small_rules(random: Random) -> str:
    """A few forbids over the small tool, one in four with people."""
    written = []
    for number in range(random.randrange(1, 6)):
        atoms = [atom(random) for _ in range(random.choice((1, 2, 2, 3)))]
        when = random.choice((" && ", " || ")).join(atoms)
        gate, unless = "", ""
        if random.random() < 0.25:
            gate = '@approval("ops:1") '
            unless = f' unless {{ context.approvals has "f{number}" }}'
        kind = random.choice(("when", "unless"))
        written.append(
            f'@id("f{number}") {gate}forbid (principal, action == Action::"small.do", resource)'
            f" {kind} {{ {when} }}{unless};"
        )
    return "\n".join(written)


def atom(random: Random) -> str:
    number = f"{random.choice(('<', '<=', '>', '>=', '==', '!='))} {random.randrange(-1, 5)}"
    colour = random.choice(('"red"', '"green"', '"blue"'))
    return random.choice(
        (
            f"context.input.amount {number}",
            f"context.facts.rows {number}",
            "context.input.loud",
            "!context.input.loud",
            "context.input has colour",
            f"(context.input has colour && context.input.colour == {colour})",
            f"(context.input has colour && context.input.colour != {colour})",
        )
    )


@pytest.mark.claim("policy.who-can")
def test_the_answer_is_that_of_trying_everything() -> None:
    random, seen = Random(20260106), set()
    requests = [ask(request) for request in every_request()]
    for _ in range(300):
        rules = small_rules(random)
        book = compile_policies(SMALL, {"small": AGENT}, {"policies/small.cedar": rules})
        effects = {book.decide(question).effect for question in requests}
        for automatic in (False, True):
            possible = effects & ({"allow"} if automatic else {"allow", "ask"})
            (answer,) = (
                a for a in who_can(book, "small.do", automatic=automatic) if a.agent == "small"
            )
            assert answer.can == ("yes" if possible else "no"), rules
            if "allow" in possible:
                assert answer.tier == ("auto",)
            verify(book, answer)
            seen.add((answer.can, answer.tier))
    assert {can for can, _ in seen} == {"yes", "no"}
    assert ("yes", ("ops:1",)) in seen
