"""Who can: a yes was evaluated, a no is proved, and what cannot be told is neither."""

from itertools import combinations, product
from random import Random
from typing import Any

import pytest

from bailiwick.errors import PolicyError
from bailiwick.nouns import Resource
from bailiwick.policy import Answer, RuleBook, compile_policies, who_can
from bailiwick.values import JSON
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


LISTED = [
    "example.com",
    "address:anna@partner.example",
    "webhook:https://hooks.example:8443/in",
    "domain:deep.example",
    "channel:#ops",
]
FREE = ["address:eve@elsewhere.example", "webhook:https://else.example/in", "channel:#other"]


def poster(kind: str, rules: str = "", listed: list[str] = LISTED) -> RuleBook:
    """An agent that may send to what is listed, by one tool whose destinations are of a kind."""
    tool = {
        "name": "post.send",
        "effect": "write",
        "traits": ["outbound"],
        "resource_type": "Post",
        "schema": {},
        "destination_kind": kind,
        "facts": {"recipients": "1", "destinations": "args.to", "endpoints": "args.to"},
        "input_type": {"to": {"type": "Set", "element": {"type": "String"}}},
        "gated": True,
    }
    agent = {"name": "a", "tools_allowlist": ["post.send"], "destinations": listed}
    return sample(more_tools=[tool], agents=[agent], rules=rules, replace=UNCHECKED)


@pytest.mark.claim("policy.who-can")
@pytest.mark.parametrize(
    ("kind", "on", "can"),
    [
        ("address", {"destinations": ["example.com"]}, "yes"),
        ("address", {"destinations": ["partner.example"]}, "yes"),  # to anna
        ("address", {"destinations": ["example.com", "partner.example"]}, "no"),  # a mixture
        ("address", {"destinations": ["elsewhere.example"]}, "no"),
        ("address", {"destinations": ["hooks.example"]}, "no"),  # of another kind
        ("address", {"endpoints": ["address:anna@partner.example"]}, "yes"),
        ("address", {"endpoints": ["address:bert@partner.example"]}, "no"),
        ("address", {"endpoints": ["address:eve@example.com"]}, "yes"),
        ("address", {"endpoints": ["channel:#ops"]}, "no"),
        ("webhook", {"destinations": ["hooks.example"]}, "yes"),
        ("webhook", {"endpoints": ["webhook:https://hooks.example:8443/in"]}, "yes"),
        ("webhook", {"endpoints": ["webhook:https://hooks.example/in"]}, "no"),
        ("webhook", {"destinations": ["partner.example"]}, "no"),
        ("webhook", {"endpoints": ["webhook:https://[no url/in"]}, "no"),
        ("domain", {"destinations": ["deep.example"]}, "yes"),
        ("domain", {"destinations": ["deep.example", "example.com"]}, "no"),
        ("domain", {"endpoints": ["domain:example.com"]}, "yes"),
        ("domain", {"destinations": ["partner.example"]}, "no"),
        ("channel", {"destinations": ["channel:#ops"]}, "yes"),
        ("channel", {"endpoints": ["channel:#ops"]}, "yes"),
        ("channel", {"endpoints": ["channel:#other"]}, "no"),
    ],
)
def test_endpoints_go_with_their_destinations(kind: str, on: dict[str, JSON], can: str) -> None:
    """One says more exactly what the other says: neither is tried without the other."""
    book = poster(kind)
    (answer,) = (each for each in who_can(book, "post.send", on) if each.agent == "a")
    assert answer.can == can, answer
    verify(book, answer)
    if answer.question is not None:
        facts = answer.question.situation.facts
        for name, given in on.items():
            assert facts[name] == given
        endpoints: Any = facts["endpoints"]
        assert all(each == "another" or each.startswith(f"{kind}:") for each in endpoints)


@pytest.mark.claim("policy.who-can")
def test_of_endpoints_the_answer_is_that_of_trying_everything() -> None:
    """With any rules over both facts; the requests go to one or two of a few places."""
    random, seen = Random(20261128), set()
    for kind in ("address", "webhook", "channel", "domain"):
        places = [each for each in (*LISTED, *FREE, *more_of(kind)) if each.startswith(kind)]
        requests = [
            ask(
                {
                    "agent": "a",
                    "tool": "post.send",
                    "resource": "Post:p",
                    "input": {"to": []},
                    "facts": {
                        "recipients": 1,
                        "destinations": sorted({destination_of(each) for each in chosen}),
                        "endpoints": sorted(chosen),
                    },
                }
            )
            for size in (0, 1, 2)
            for chosen in combinations(places, size)
        ]
        for _ in range(7):
            rules = "".join(
                f'@id("f{number}") forbid (principal, action == Action::"post.send", resource)'
                f" {random.choice(('when', 'unless'))} {{ {of_places(random, places)} }};\n"
                for number in range(random.randrange(1, 3))
            )
            book = poster(kind, rules, listed=random.sample(LISTED, 2))
            possible = any(book.decide(each).effect != "deny" for each in requests)
            (answer,) = (each for each in who_can(book, "post.send") if each.agent == "a")
            facts = answer.question and answer.question.situation.facts
            assert answer.can == ("yes" if possible else "no"), f"{kind}\n{rules}\n{facts}"
            verify(book, answer)
            seen.add((kind, answer.can))
    assert len(seen) == 8


def more_of(kind: str) -> list[str]:
    """So many places that one of each sort is named by no rule."""
    texts = {
        "address": ["address:x@example.com", "address:y@partner.example", "address:z@far.example"],
        "webhook": ["webhook:https://example.com/x", "webhook:https://hooks.example/y"],
        "channel": ["channel:#far"],
        "domain": ["domain:far.example", "domain:example.com"],
    }
    return texts[kind]


def destination_of(endpoint: str) -> str:
    kind, _, rest = endpoint.partition(":")
    if kind == "channel":
        return endpoint
    return rest.rpartition("@")[2].removeprefix("https://").partition("/")[0].partition(":")[0]


def of_places(random: Random, places: list[str]) -> str:
    fact = random.choice(("destinations", "endpoints", "endpoints"))
    known = places if fact == "endpoints" else [destination_of(each) for each in places]
    named = ", ".join(f'"{each}"' for each in random.sample(known[:2], random.randrange(1, 3)))
    one = f'"{random.choice(known[:2])}"'
    facts = f"context.facts.{fact}"
    return random.choice(
        (
            f"{facts}.contains({one})",
            f"!{facts}.contains({one})",
            f"{facts}.containsAny([{named}])",
            f"[{named}].containsAll({facts})",
            f"{facts}.isEmpty()",
        )
    )


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
