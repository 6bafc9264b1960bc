"""A project with something to decide on: refunds, with a pre-state, an amount and a credential."""

import asyncio
from pathlib import Path

from bailiwick.operations import Newcomer, found
from tests.cli.desk import AGENT, PASSWORD, write_project
from tests.cli.desk import PEOPLE as EVERYBODY

NASTY = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>"
BIDI = "paid to \u202egro.live\u202c \x1b[31mnow\u200b"

PEOPLE = (
    *EVERYBODY,
    Newcomer("di", ("approver", "operator"), ("support", "finance"), PASSWORD),
    Newcomer("ed", ("approver",), (), PASSWORD),
)
SHOP = f'''\
"""A shop's orders, which lie in a file."""

import json
from pathlib import Path

from bailiwick import ToolContext, tool

PAID = Path("state/refunds.json")
OURS = {{"tool": "shop.refunds", "arguments": {{"order": "args.order"}}, "authoritative": True}}
FOUND = "after.actions.exists(id, id == action.id)"


def refunds() -> dict[str, list[str]]:
    known: dict[str, list[str]] = json.loads(PAID.read_text()) if PAID.exists() else {{}}
    return known


@tool(name="shop.order", effect="read", owner="support", resource=("Order", "args.order"))
def order(order: str) -> dict[str, object]:
    """Shows an order."""
    times = len(refunds().get(order, []))
    return {{"order": order, "status": "paid", "refunded_times": times, "customer": "Mia Hart"}}


@tool(name="shop.refunds", effect="read", owner="support", resource=("Order", "args.order"))
def refunds_of(order: str) -> dict[str, object]:
    """Lists the actions that refunded an order."""
    return {{"actions": refunds().get(order, [])}}


@tool(
    name="shop.refund", effect="write", owner="support",
    resource=("Order", "args.order"),
    facts={{"value": "args.amount_minor", "currency": "args.currency"}},
    before={{"order": {{"tool": "shop.order", "arguments": {{"order": "args.order"}}}}}},
    effect_key="args.order", destination="args.account",
    reader=OURS, expect=FOUND, find=OURS, found=FOUND,
    key_retention_s=86400, settles_within_s=0, timeout_s=5,
)
def refund(
    order: str, amount_minor: int, account: str, status: str, context: ToolContext,
    currency: str = "USD", memo: str = "",
) -> dict[str, object]:
    """Pays an order back. {NASTY}"""
    known = refunds()
    known.setdefault(order, [])
    if context.action not in known[order]:
        known[order].append(context.action)
    PAID.write_text(json.dumps(known))
    return {{"refund": context.action}}


FLAGS = Path("state/flags.json")
SEEN = {{"tool": "shop.flags", "arguments": {{"order": "args.order"}}}}
LAW = {{"effect": "write", "owner": "support", "resource": ("Order", "args.order"),
       "reader": SEEN, "key_retention_s": "none", "settles_within_s": 0}}


def flags() -> dict[str, str]:
    known: dict[str, str] = json.loads(FLAGS.read_text()) if FLAGS.exists() else {{}}
    return known


@tool(name="shop.flags", effect="read", owner="support", resource=("Order", "args.order"))
def flags_of(order: str) -> dict[str, object]:
    """Shows what an order is marked with."""
    return {{"word": flags().get(order, "")}}


@tool(name="shop.flag", reverser="shop.unflag", reverser_arguments={{"order": "args.order"}},
      expect="after.word == args.word", **LAW)
def flag(order: str, word: str) -> str:
    """Marks an order with a word."""
    FLAGS.write_text(json.dumps({{**flags(), order: word}}))
    return word


@tool(name="shop.unflag", expect="after.word == ''", **LAW)
def unflag(order: str) -> str:
    """Takes an order's mark away."""
    FLAGS.write_text(json.dumps({{each: word for each, word in flags().items() if each != order}}))
    return order
'''
RULES = """\
// A refund of 100.00 or more is two people's to decide, whatever the agent says about it.
@id("shop.large")
@approval("support:2")
forbid (principal, action == Action::"shop.refund", resource)
when { context.input.amount_minor >= 10000 }
unless { context.approvals has "shop.large" && context.approvals["shop.large"] };

// Every refund is looked at by one person.
@id("shop.any")
@approval("support:1")
forbid (principal, action == Action::"shop.refund", resource)
when { context.input.amount_minor < 10000 }
unless { context.approvals has "shop.any" && context.approvals["shop.any"] };

// Nobody answers for it, and not for long.
@id("shop.brief")
@approval("brief:1")
forbid (principal, action == Action::"shop.refund", resource)
when { context.input.memo == "brief" }
unless { context.approvals has "shop.brief" && context.approvals["shop.brief"] };

@id("shop.never")
forbid (principal, action == Action::"shop.refund", resource)
when { context.input.amount_minor > 90000 };
"""
LIMITS = """\
budgets:
  - {unit: calls, limit: 500, period: day}
queues:
  brief: {expire_after_s: 3}
"""
MORE = {
    "limits.yaml": LIMITS,
    "agents/note-taker.yaml": AGENT.replace('"faults.*"', '"faults.*", "shop.*"'),
    "tools/shop.py": SHOP,
    "policies/shop.cedar": RULES,
}


def found_shop(folder: Path) -> Path:
    """Found the project in a folder that is not there yet."""
    write_project(folder, MORE)
    asyncio.run(found(folder, PEOPLE))
    return folder
