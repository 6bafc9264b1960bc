"""The load that everything is measured with: a refund, 100 typed rules of which 40 match.

The project is the sample of `bailiwick.testing` with one agent, whose budgets (tenant, agent, run)
all callers share; its tool has a reader, so that every write is read back.
"""

from collections.abc import Mapping

from bailiwick.testing import FILES

MATCHING, OTHERS = 40, 60

ARGUMENTS_SCHEMA = {
    "type": "object",
    "properties": {
        "charge": {"type": "string"},
        "amount_minor": {"type": "integer", "minimum": 1},
        "currency": {"type": "string"},
        "purpose": {"type": "string", "default": "refund"},
    },
    "required": ["charge", "amount_minor", "currency"],
    "additionalProperties": False,
}


def arguments(number: str) -> bytes:
    """One refund's arguments, each of another charge."""
    return b'{"charge":"ch_%s","amount_minor":4200,"currency":"USD"}' % number.encode()


def cedar_rules(*, matching: bool) -> list[str]:
    """The hand-written rules: 40 whose scope matches the refund, or the 60 for other tools."""
    if matching:
        permits = [
            f'@id("bench.permit-{i}")\n'
            'permit(principal == Agent::"bench", action in Action::"money", resource)\n'
            f'when {{ context.facts.currency == "USD" && context.facts.value < {5000 + i} }};'
            for i in range(10)
        ]
        forbids = [
            f'@id("bench.forbid-{i}")\n'
            'forbid(principal, action in Action::"money", resource)\n'
            f"when {{ context.facts.value > {100_000 + i} }};"
            for i in range(MATCHING - 10)
        ]
        return permits + forbids
    return [
        f'@id("bench.other-{i}")\n'
        'forbid(principal, action == Action::"till.charge", resource)\n'
        f'when {{ context.input.charge == "blocked-{i}" }};'
        for i in range(OTHERS)
    ]


def cedar_schema() -> str:
    """The schema of the bare pipeline's request: the same typed facts."""
    return """
entity Agent;
entity Charge;
action "money";
action "till.refund" in [Action::"money"] appliesTo {
  principal: Agent, resource: Charge,
  context: { facts: { value: Long, currency: String } }
};
"""


AGENT = """\
name: bench
owner: bench
tools_allowlist: ["till.*"]
max_tool_calls: 1000000000
budgets:
  - {unit: "value:USD", period: day, limit: "90000000.00"}
approvals: {money: "finance:1"}
tiers:
  - on: money
    unit: USD
    auto_up_to: "50.00"
    then: [{approval: "finance:1"}]
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: "90000000.00"}
"""


def project(telemetry: str | None = None) -> Mapping[str, str]:
    """The files of the measured project."""
    settings = FILES["bailiwick.yaml"]
    if telemetry is not None:
        settings += f"telemetry_endpoint: {telemetry}\n"
    return {
        "bailiwick.yaml": settings,
        "limits.yaml": LIMITS,
        "agents/bench.yaml": AGENT,
        "tools/till.py": FILES["tools/till.py"],
        "policies/bench.cedar": "\n".join(cedar_rules(matching=True) + cedar_rules(matching=False)),
    }
