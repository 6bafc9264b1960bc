"""The load that everything is measured with: a refund, and 100 typed rules of which 40 match.

The project has one agent whose budgets (tenant, agent, run) all callers share. Its till lives in
the process, so that what is measured is the runtime and no provider; each refund is read back
through the tool's reader. The till remembers only its newest refunds, or it would be the till's
memory that is measured.

40 rules match a refund in their scope, so that their conditions must be looked at for each: 10
permits for bands of amounts, of which one holds, and 30 forbids that do not hold. The other 60 are
about another tool. What a refund is about differs from one to the next.
"""

import json
from collections.abc import Mapping

from bench.timing import amount_minor

AGENT_NAME, TOOL_NAME = "bench", "till.refund"
PERMITS, FORBIDS, OTHERS = 10, 30, 60

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

TILL = '''\
"""A till in the process, which remembers the newest refunds."""

from typing import Annotated

from msgspec import Meta

from bailiwick import ToolContext, tool

REMEMBERED = 1000
REFUNDS: dict[str, dict[str, object]] = {}

MINE = {"charge": "args.charge", "action": "action.id"}


@tool(name="till.charge", effect="read", owner="payments", resource=("Charge", "args.charge"))
async def read_charge(charge: str) -> dict[str, object]:
    """Shows a charge."""
    return {"id": charge, "amount_minor": 100_000, "currency": "USD"}


@tool(name="till.refund_of", effect="read", owner="payments", resource=("Charge", "args.charge"))
async def refund_of(charge: str, action: str) -> dict[str, object] | None:
    """Finds the refund that an action made."""
    return REFUNDS.get(action)


@tool(
    name="till.refund",
    effect="write",
    traits=("money",),
    owner="payments",
    resource=("Charge", "args.charge"),
    facts={"value": "args.amount_minor", "currency": "args.currency"},
    effect_key='args.charge + ":" + args.purpose',
    reader={"tool": "till.refund_of", "arguments": MINE},
    expect="after.amount_minor == args.amount_minor",
    find={"tool": "till.refund_of", "arguments": MINE},
    found="result.action == action.id",
    key_retention_s=86400,
    settles_within_s=0,
    timeout_s=10,
)
async def refund(
    charge: str,
    amount_minor: Annotated[int, Meta(ge=1)],
    currency: str,
    context: ToolContext,
    purpose: str = "refund",
) -> dict[str, object]:
    """Pays money back."""
    made: dict[str, object] = {
        "id": f"re_{context.provider_key}",
        "charge": charge,
        "amount_minor": amount_minor,
        "action": context.action,
    }
    REFUNDS[context.action] = made
    if len(REFUNDS) > REMEMBERED:
        del REFUNDS[next(iter(REFUNDS))]
    return made
'''

AGENT = f"""\
name: {AGENT_NAME}
owner: bench
tools_allowlist: ["till.*"]
max_tool_calls: 1000000000
budgets:
  - {{unit: "value:USD", period: day, limit: "90000000.00"}}
approvals: {{money: "finance:1"}}
tiers:
  - on: money
    unit: USD
    auto_up_to: "50.00"
    then: [{{approval: "finance:1"}}]
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: "90000000.00"}
"""


def arguments(number: str) -> bytes:
    """One refund's arguments, each of another charge."""
    return b'{"charge":"ch_%s","amount_minor":%d,"currency":"USD"}' % (
        number.encode(),
        amount_minor(number),
    )


def cedar_rules(*, matching: bool) -> list[str]:
    """The hand-written rules: the 40 whose scope is the refund's, or the 60 for another tool."""
    if not matching:
        return [
            f'@id("bench.other-{i}")\n'
            'forbid(principal, action == Action::"till.charge", resource)\n'
            f'when {{ context.input.charge == "blocked-{i}" }};'
            for i in range(OTHERS)
        ]
    permits = [
        f'@id("bench.permit-{i}")\n'
        f'permit(principal == Agent::"{AGENT_NAME}", action in Action::"money", resource)\n'
        f'when {{ context.facts.currency == "USD" && context.facts.value >= {500 * i}'
        f" && context.facts.value < {500 * (i + 1)} }};"
        for i in range(PERMITS)
    ]
    forbids = [
        f'@id("bench.forbid-{i}")\n'
        'forbid(principal, action in Action::"money", resource)\n'
        f"when {{ context.facts.value > {100_000 + i} }};"
        for i in range(FORBIDS)
    ]
    return permits + forbids


def cedar_schema() -> str:
    """The schema of the bare pipeline's request: the same typed facts."""
    return f"""
entity Agent;
entity Charge;
action "money";
action "{TOOL_NAME}" in [Action::"money"] appliesTo {{
  principal: Agent, resource: Charge,
  context: {{ facts: {{ value: Long, currency: String }} }}
}};
"""


def project(telemetry: str | None = None, store: str | None = None) -> Mapping[str, str]:
    """The files of the measured project, with the settings as they are by default."""
    given = {"telemetry_endpoint": telemetry, "store": store}
    return {
        "bailiwick.yaml": json.dumps({name: each for name, each in given.items() if each}),
        "limits.yaml": LIMITS,
        "agents/bench.yaml": AGENT,
        "tools/till.py": TILL,
        "policies/bench.cedar": "\n".join(cedar_rules(matching=True) + cedar_rules(matching=False)),
    }
