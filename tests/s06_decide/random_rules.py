"""Rules and requests drawn at random, over everything a rule can say and a request can hold."""

from random import Random
from typing import Any

import cedarpy

from bailiwick.nouns import MODES

AGENTS = ("refund-desk", "ops", "mailer")
SCOPES = (
    "action",
    'action in Action::"write"',
    'action in Action::"money"',
    'action in [Action::"money", Action::"outbound"]',
    'action == Action::"payments.refund"',
    'action == Action::"mail.send"',
    'action in [Action::"payments.refund", Action::"payments.void"]',
)
RESOURCES = (
    *["resource"] * 8,
    'resource == Charge::"ch_1"',
    'resource in Charge::"ch_2"',
    "resource is Charge",
    'resource is Charge in Charge::"ch_1"',
)
NUMBERS = (
    "context.facts.value",
    "context.facts.recipients",
    "context.input.amount_minor",
    "context.time.hour",
    "context.time.weekday",
    "context.facts.value + context.facts.value",
    "context.facts.value * 4611686018427387904",
    "-context.facts.value",
    "context.facts.value - 5",
    "(if context.facts.over_budget then 5 else context.facts.value)",
)
TEXTS = (
    "context.facts.currency",
    "context.input.charge",
    "context.input.subject",
    "context.subject.id",
    "context.run.id",
    "context.mode",
    "context.input.reason",
    "context.input.address.country",
    "principal.owner",
)
SETS = (
    "context.facts.destinations",
    "context.input.to",
    "context.input.tags",
    "context.provenance.sources",
    "context.facts.over_budget_nodes",
    '["USD", "EUR"]',
    '["example.com"]',
    '["USD", "EUR", "ch_1", "example.com", "fraud", "a*b"]',
)
GUARDS = {
    "context.input.reason": "context.input has reason",
    "context.input.tags": "context.input has tags",
    "context.input.address.country": "context.input has address.country",
}
WORDS = ("USD", "EUR", "ch_1", "example.com", "evil.example", "fraud", "a*b", "", "é")


def rule(random: Random, id: str) -> str:
    """One rule; it may not type-check."""
    gated = random.random() < 0.3
    effect = "forbid" if gated or random.random() < 0.7 else "permit"
    principal = random.choice(
        ("principal", "principal", f'principal == Agent::"{random.choice(AGENTS)}"',
         'principal in Agent::"ops"', "principal is Agent")
    )  # fmt: skip
    clauses = [
        f"{random.choice(('when', 'when', 'unless'))} {{ {condition(random, 3)} }}"
        for _ in range(random.randrange(3))
    ]
    if gated:
        clauses.append(f'unless {{ context.approvals has "{id}" && context.approvals["{id}"] }}')
    random.shuffle(clauses)
    gate = '@approval("finance:1") ' if gated else ""
    scope = f"{principal}, {random.choice(SCOPES)}, {random.choice(RESOURCES)}"
    return f'@id("{id}") {gate}{effect} ({scope}) {" ".join(clauses)};'


def condition(random: Random, depth: int) -> str:
    """An expression that is true or false."""
    if depth and random.random() < 0.6:
        first, second = condition(random, depth - 1), condition(random, depth - 1)
        third = condition(random, 0)
        return random.choice(
            (f"({first} && {second})", f"({first} || {second})", f"!({first})",
             f"(if {third} then {first} else {second})")
        )  # fmt: skip
    return random.choice(
        (comparison, comparison, equality, membership, pattern, entity, presence, other)
    )(random)


def comparison(random: Random) -> str:
    op = random.choice(("<", "<=", ">", ">=", "==", "!="))
    right = random.choice((str(random.choice((-1, 0, 5, 9, 100))), random.choice(NUMBERS)))
    return f"{random.choice(NUMBERS)} {op} {right}"


def equality(random: Random) -> str:
    left = random.choice(TEXTS)
    right = random.choice((f'"{random.choice(WORDS)}"', random.choice(TEXTS)))
    return guarded(f"{left} {random.choice(('==', '!='))} {right}")


def membership(random: Random) -> str:
    left, right = random.choice(SETS), random.choice(SETS)
    return guarded(
        random.choice(
            (
                f'{left}.contains("{random.choice(WORDS)}")',
                f"{left}.contains({random.choice(TEXTS)})",
                f"{left}.containsAll({right})",
                f"{left}.containsAny({right})",
                f"{left}.isEmpty()",
                f"{left} == {right}",
            )
        )
    )


def pattern(random: Random) -> str:
    text = random.choice(
        ("*", "US*", "*a*b*", "ch_?", "ch_*1", "ch_*_1", "\\*", "a\\*b", "*é*", "")
    )
    return guarded(f'{random.choice(TEXTS)} like "{text}"')


def entity(random: Random) -> str:
    return random.choice(
        (
            'principal == Agent::"ops"',
            'principal in [Agent::"ops", Agent::"mailer"]',
            'principal != Agent::"mailer"',
            'resource == Charge::"ch_1"',
            'resource in [Charge::"ch_1", Charge::"ch_2"]',
            "resource is Charge",
            'action == Action::"payments.refund"',
            'action in Action::"money"',
            'action in [Action::"outbound"]',
            'Agent::"ops" == principal',
        )
    )


def presence(random: Random) -> str:
    return random.choice(
        (
            "context.input has reason",
            "context.input has address",
            "context.input has address.country",
            "context.facts has new_payee && context.facts.new_payee",
            "context.facts has destinations",
            "context.facts.over_budget",
            "principal has owner",
        )
    )


def other(random: Random) -> str:
    return random.choice(
        (
            "true",
            "false",
            'decimal("1.0").lessThan(decimal("2.0"))',
            'ip("10.0.0.1").isInRange(ip("10.0.0.0/8"))',
            "ip(context.run.id).isLoopback()",
            'context.subject == {id: "alice"}',
            "{a: context.facts.over_budget}.a",
            'datetime("2026-01-01") < datetime("2026-02-01")',
        )
    )


def guarded(expression: str) -> str:
    guards = [guard for path, guard in GUARDS.items() if path in expression]
    return " && ".join([*guards, expression])


def rules(random: Random, count: int, schema: cedarpy.Schema) -> list[str]:
    """As many rules, with the ids r0, r1, …, that type-check."""
    found: list[str] = []
    while len(found) < count:
        text = rule(random, f"r{len(found)}")
        if cedarpy.validate_policies(text, schema).validation_passed:
            found.append(text)
    return found


def question(random: Random) -> dict[str, Any]:
    """A request, for the sample project's questions; one in twenty does not fit."""
    tool = random.choice(("payments.refund", "payments.void", "mail.send", "payments.show"))
    entry: dict[str, Any] = {
        "agent": random.choice(AGENTS),
        "tool": tool,
        "resource": ("Mailbox:" if tool == "mail.send" else "Charge:")
        + random.choice(("ch_1", "ch_2", "ch_3", 'ch"\n')),
        "tenant": random.choice(("acme", "initech")),
        "subject": random.choice(("alice", "bob", *WORDS)),
        "run": random.choice(("run_1", "127.0.0.1", *WORDS)),
        "sources": some(random),
        "mode": random.choice(MODES),
        "over": random.sample(("tenant", "agent:ops", "USD"), random.choice((0, 0, 0, 1, 2))),
        "now_us": random.randrange(0, 2 * 10**15),
        "evidence": [f"r{random.randrange(20)}" for _ in range(random.randrange(4))],
        "facts": facts(random, tool),
        "input": arguments(random, tool),
    }
    if random.random() < 0.05:
        spoil(random, entry)
    return entry


def some(random: Random) -> list[str]:
    return random.sample(WORDS, random.randrange(3))


def number(random: Random) -> int:
    return random.choice((random.randrange(-2, 12), random.choice((99, 100, 101, 2, 2**62))))


def facts(random: Random, tool: str) -> dict[str, Any]:
    if tool == "mail.send":
        return {"recipients": number(random), "destinations": some(random)}
    if tool == "payments.show":
        return {}
    money = {"value": number(random), "currency": random.choice(WORDS)}
    return {**money, "new_payee": random.random() < 0.5} if tool == "payments.refund" else money


def arguments(random: Random, tool: str) -> dict[str, Any]:
    if tool == "mail.send":
        return {"to": some(random), "subject": random.choice(WORDS)}
    given: dict[str, Any] = {"charge": random.choice(WORDS)}
    if tool == "payments.refund":
        given |= {"amount_minor": number(random), "rate": 1.5}
        if random.random() < 0.5:
            given["reason"] = random.choice(("fraud", "requested"))
        if random.random() < 0.5:
            given["tags"] = some(random)
        if random.random() < 0.5:
            given["address"] = random.choice(({}, {"country": "NO"}, {"country": "USD"}))
    return given


def spoil(random: Random, entry: dict[str, Any]) -> None:
    """Make a request that does not fit the schema."""
    group = entry[random.choice(("facts", "input"))]
    if group:
        name = random.choice(sorted(group))
        group[name] = random.choice((None, 1.5, True, "text", 2**63, ["a", 1], {"a": 1}))
    else:
        entry["resource"] = "Customer:c1"
