"""Step 5: what an action draws on, and whether that fits. A fact for the policy, not a verdict."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from bailiwick.errors import ConfigError
from bailiwick.nouns import PERIOD_US, Balance, Caller, Cap, Grant, Hold, Price, Situation, Tool
from bailiwick.ports import Bundle, World
from bailiwick.values import JSON, MAX_INTEGER

# Budget rows are locked in this order by everyone: what most actions share comes last.
_HEAT = ("capability", "run", "agent", "customer", "tool", "upstream", "tenant")
_VALUE = re.compile(r"value:([A-Z]{3})", re.ASCII).fullmatch


async def price(
    world: World,
    bundle: Bundle,
    caller: Caller,
    tool: Tool,
    situation: Situation,
    *,
    grants: Sequence[Grant],
) -> Price:
    """Give what the action would hold, and in `over` the caps that it does not fit now.

    `grants` are those that cover the call. A cap that cannot bound the action is in `over` without
    a hold: whoever decides has to deny on it. Raises `ConfigError` for a cap that means nothing.
    """
    holds, unbounded = _draw(bundle, caller, tool, situation, grants)
    balances = await world.shelf.balances(caller.tenant, [hold.cap for hold in holds])
    return Price(holds=holds, over=(*unbounded, *misfits(holds, balances)))


def holds_for(
    bundle: Bundle, caller: Caller, tool: Tool, situation: Situation, grants: Sequence[Grant]
) -> tuple[Hold, ...]:
    """Give the action's holds, one for each node, unit and period it draws on, hottest last.

    Amounts are at least one. Of several caps on the same the lowest limit counts. An action in one
    currency draws nothing on a cap in another, if the same node has a cap in its own.
    """
    return _draw(bundle, caller, tool, situation, grants)[0]


def reopens_after_s(price: Price, now_us: int) -> float | None:
    """Say in how many seconds the caps that an action does not fit begin anew, and it would fit.

    None if that is not a question of time: a cap of the whole run, or one smaller than the action.
    """
    amounts = {hold.cap: hold.amount for hold in price.holds}
    waits_us = []
    for cap in price.over:
        length_us = PERIOD_US.get(cap.period)
        if length_us is None or cap not in amounts or amounts[cap] > cap.limit:
            return None
        waits_us.append(length_us - now_us % length_us)
    return max(waits_us) / 1_000_000 if waits_us else None


def misfits(holds: Sequence[Hold], balances: Sequence[Balance]) -> tuple[Cap, ...]:
    """Give the caps whose node has not enough left; `balances` stand in the order of `holds`."""
    return tuple(
        hold.cap
        for hold, balance in zip(holds, balances, strict=True)
        if balance.spent + balance.held + hold.amount > min(hold.cap.limit, MAX_INTEGER)
    )


def _draw(
    bundle: Bundle, caller: Caller, tool: Tool, situation: Situation, grants: Sequence[Grant]
) -> tuple[tuple[Hold, ...], tuple[Cap, ...]]:
    """Give the holds, and the caps on which the action cannot be counted."""
    customer = situation.facts.get("customer")
    # What is no text (nor absent) is refused by whoever would have to count for it.
    placed = _all_placed if isinstance(customer, str | None) else _all_placed.__wrapped__
    caps = placed(
        _caps(bundle, caller, grants),
        caller.tenant,
        caller.agent,
        (caller.capability.run, tool.name, tool.upstream),
        customer,
    )
    own = f"value:{situation.facts.get('currency')}"
    bounded = {(cap.node, cap.period) for cap in caps if cap.unit == own}
    holds: list[Hold] = []
    unbounded: list[Cap] = []
    for cap in caps:
        amount = _amount(cap.unit, tool, situation.facts)
        foreign = cap.unit.startswith("value:") and cap.unit != own
        if amount:
            holds.append(Hold(cap=cap, amount=amount))
        elif amount is None and not (foreign and (cap.node, cap.period) in bounded):
            unbounded.append(cap)
    return tuple(holds), tuple(unbounded)


def _caps(bundle: Bundle, caller: Caller, grants: Sequence[Grant]) -> tuple[Cap, ...]:
    manifest = bundle.manifests[caller.agent]
    granted = (cap for grant in grants for cap in grant.caps)
    return (*bundle.caps, *bundle.rates, *manifest.caps, *manifest.rates, *granted)


@lru_cache(maxsize=1024)
def _all_placed(
    caps: tuple[Cap, ...],
    tenant: str,
    agent: str,
    run_and_tool: tuple[str, str, str | None],
    customer: JSON,
) -> tuple[Cap, ...]:
    """Give the caps at the nodes of an action: of several on the same the lowest, hottest last.

    Most actions of a run draw on the same nodes, so what was placed once is remembered.
    """
    run, tool, upstream = run_and_tool
    own = {
        "tenant": tenant,
        "agent": agent,
        "run": run,
        "tool": tool,
        "upstream": upstream,
        "customer": customer,
    }
    lowest: dict[tuple[str, str, str], Cap] = {}
    for template in caps:
        cap = _placed(template, own)
        if cap is not None:
            key = (cap.node, cap.unit, cap.period)
            if key not in lowest or cap.limit < lowest[key].limit:
                lowest[key] = cap
    return tuple(sorted(lowest.values(), key=_order))


def _placed(cap: Cap, own: Mapping[str, JSON]) -> Cap | None:
    """Give the cap at the node of this action, or None if it is about another one.

    A node is `capability:<id>`, `tenant`, or one of agent, run, tool, upstream and customer: with
    a name it is that one alone, without a name each has its own. All but the first may follow
    `rate:`.
    """
    rate = "rate:" if cap.node.startswith("rate:") else ""
    kind, _, name = cap.node.removeprefix(rate).partition(":")
    if kind == "capability" and name and not rate:
        return cap
    mine = own.get(kind)
    if kind not in own or not isinstance(mine, str | None):
        raise ConfigError(
            f"a cap on `{cap.node}` cannot be told where to count",
            code="cap_invalid",
            help="a node is capability:<id>, tenant, agent, run, tool, upstream or a customer",
        )
    if mine is None or (name and name != mine):
        return None
    return replace(cap, node=f"{rate}{kind}" if kind == "tenant" else f"{rate}{kind}:{mine}")


def _amount(unit: str, tool: Tool, facts: Mapping[str, JSON]) -> int | None:
    """Give what the action draws in a unit, or None if that cannot be said in this unit."""
    if unit == "calls":
        return 1
    if unit == "tokens":
        return 0
    if unit == "micro_usd":
        return _bounded(tool.cost_micro_usd)
    currency = _VALUE(unit)
    if currency is None:
        raise ConfigError(
            f"a cap counts in `{unit}`, which is not a unit",
            code="cap_invalid",
            help="a unit is micro_usd, calls, tokens or value:<ISO 4217 currency>",
        )
    if "value" not in facts and "money" not in tool.traits:
        return 0
    return _bounded(facts.get("value")) if facts.get("currency") == currency[1] else None


def _bounded(amount: JSON) -> int | None:
    """Give an amount that can be held: an integer from 0 to 2^53 - 1."""
    return amount if type(amount) is int and 0 <= amount <= MAX_INTEGER else None


def _order(cap: Cap) -> tuple[int, str, str, str]:
    kind = cap.node.removeprefix("rate:").partition(":")[0]
    return _HEAT.index(kind), cap.node, cap.unit, cap.period
