"""A small project that works: a till that pays refunds inside the process, and two agents.

The till is a fake provider with real behaviour: it remembers keys, finds refunds by the action's
id, and does what it is told to do wrong (`Till.faults`).
"""

from collections.abc import Mapping
from pathlib import Path

SETTINGS = """\
tick_seconds: 0.1
free_space_watermark_mb: 1
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: 10000000000}
"""

REFUND_DESK = """\
name: refund-desk
owner: payments-team
tools_allowlist: ["till.*"]
max_tool_calls: 1000000
budgets:
  - {unit: "value:USD", period: day, limit: 10000000000}
tiers:
  - on: money
    unit: USD
    auto_up_to: "50.00"
    then:
      - {up_to: "500.00", approval: "finance:1"}
      - {approval: "finance:2"}
"""

READER = """\
name: reader
owner: support
tools_allowlist: ["till.charge", "till.refund_of"]
"""

TILL = '''\
"""A till in the process: charges and refunds in dictionaries."""

from typing import Annotated

from msgspec import Meta

from bailiwick import NotDone, ToolContext, tool

CHARGES: dict[str, dict[str, object]] = {}
REFUNDS: list[dict[str, object]] = []
BY_KEY: dict[str, dict[str, object]] = {}

MINE = {"charge": "args.charge", "action": "action.id"}


def charge_of(charge: str) -> dict[str, object]:
    return CHARGES.setdefault(
        charge, {"id": charge, "amount_minor": 100_000, "currency": "USD", "refunded_minor": 0}
    )


@tool(name="till.charge", effect="read", owner="payments", resource=("Charge", "args.charge"))
async def read_charge(charge: str) -> dict[str, object]:
    """Shows a charge."""
    return dict(charge_of(charge))


@tool(name="till.refund_of", effect="read", owner="payments", resource=("Charge", "args.charge"))
async def refund_of(charge: str, action: str) -> dict[str, object] | None:
    """Finds the refund that an action made."""
    for refund in reversed(REFUNDS):
        if refund["action"] == action:
            return dict(refund)
    return None


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
    timeout_s=2,
)
async def refund(
    charge: str,
    amount_minor: Annotated[int, Meta(ge=1)],
    currency: str,
    context: ToolContext,
    purpose: str = "refund",
) -> dict[str, object]:
    """Pays money back."""
    known = BY_KEY.get(context.provider_key)
    if known is not None:
        return dict(known)
    found = charge_of(charge)
    if found["currency"] != currency:
        raise NotDone("another currency than the charge's")
    made = {
        "id": f"re_{len(REFUNDS) + 1}",
        "charge": charge,
        "amount_minor": amount_minor,
        "action": context.action,
    }
    REFUNDS.append(made)
    BY_KEY[context.provider_key] = made
    return dict(made)
'''

FILES: Mapping[str, str] = {
    "bailiwick.yaml": SETTINGS,
    "limits.yaml": LIMITS,
    "agents/refund-desk.yaml": REFUND_DESK,
    "agents/reader.yaml": READER,
    "tools/till.py": TILL,
}


def write_project(folder: Path, files: Mapping[str, str] = FILES) -> Path:
    """Write a project's files into a folder that may be new; give the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
