"""Ceilings as people write them: budgets and rates of a manifest, and the project's `limits.yaml`.

    budgets:
      - {unit: "value:USD", period: day, limit: "2000.00"}   # text is dollars, 200000 is cents
      - {node: customer, unit: micro_usd, period: day, limit: "5"}
    rates:
      - {tool: payments.refund, per: minute, limit: 10}
      - {upstream: payments, per: minute, limit: 600}

A node without a name stands for each: `run` is every run by itself.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from msgspec import Struct

from bailiwick.catalog.money import currency_code, micro_usd, minor_units
from bailiwick.catalog.problems import problem, read_as, refuse, unknown_members
from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import Cap, Manifest
from bailiwick.nouns.notices import ServiceLevel
from bailiwick.ports import Catalogue
from bailiwick.values import MAX_INTEGER, did_you_mean, shown

LIMITS_FILE = "limits.yaml"

_QUEUE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}").fullmatch
_MAX_WAIT_S = 366 * 86_400


class BudgetForm(Struct, frozen=True, kw_only=True):
    """A ceiling: `unit` is micro_usd, calls, tokens or `value:<currency>`.

    `limit` is an integer in that unit, or decimal text in US dollars or the currency itself.
    Without a `node` it is the agent's in a manifest, and the tenant's in `limits.yaml`.
    """

    unit: str
    limit: int | str
    period: Literal["all", "day", "hour", "minute"] = "all"
    node: Literal["tenant", "agent", "run", "tool", "upstream", "customer"] | None = None


class RateForm(Struct, frozen=True, kw_only=True):
    """At most `limit` calls in each period: of one tool, agent or upstream, or of all it bounds."""

    limit: int
    per: Literal["minute", "hour", "day"]
    tool: str | None = None
    agent: str | None = None
    upstream: str | None = None


class QueueForm(Struct, frozen=True, kw_only=True):
    """Within how many seconds a queue answers: reminded, escalated to another queue, expired."""

    remind_after_s: int | None = None
    escalate_after_s: int | None = None
    escalate_to: str = ""
    expire_after_s: int | None = None


class LimitsForm(Struct, frozen=True, kw_only=True):
    """The members of `limits.yaml`."""

    budgets: tuple[BudgetForm, ...] = ()
    rates: tuple[RateForm, ...] = ()
    queues: Mapping[str, QueueForm] = {}


def load_queues(files: Mapping[str, str]) -> Mapping[str, ServiceLevel]:
    """Load within what time each queue answers, from `limits.yaml`. Raises `CatalogError`."""
    if LIMITS_FILE not in files:
        return {}
    form = read_as(load_yaml(files[LIMITS_FILE], LIMITS_FILE), LimitsForm, LIMITS_FILE)
    problems: list[CatalogError] = []
    levels: dict[str, ServiceLevel] = {}
    for queue, each in form.queues.items():
        where = f"{LIMITS_FILE}, queues.{shown(queue)}"
        times = (each.remind_after_s, each.escalate_after_s, each.expire_after_s)
        if not _QUEUE(queue) or (each.escalate_to and not _QUEUE(each.escalate_to)):
            problems.append(problem("member_invalid", where, "a queue is named by a-z, 0-9, _, -"))
        if any(time is not None and not 1 <= time <= _MAX_WAIT_S for time in times):
            problems.append(problem("member_invalid", where, f"a time is 1 to {_MAX_WAIT_S} s"))
        if (each.escalate_after_s is None) is bool(each.escalate_to) or each.escalate_to == queue:
            reason = "escalation needs a time and another queue to go to"
            problems.append(problem("member_invalid", where, reason))
        levels[queue] = ServiceLevel(
            queue=queue,
            remind_after_us=_micro(each.remind_after_s),
            escalate_after_us=_micro(each.escalate_after_s),
            escalate_to=each.escalate_to,
            expire_after_us=_micro(each.expire_after_s),
        )
    refuse(problems)
    return levels


def _micro(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1_000_000


def load_limits(
    files: Mapping[str, str], catalogue: Catalogue, manifests: Mapping[str, Manifest]
) -> tuple[tuple[Cap, ...], tuple[Cap, ...]]:
    """Load the project's budgets and rates; without `limits.yaml` there are none.

    Raises one `CatalogError` that lists everything that is wrong.
    """
    if LIMITS_FILE not in files:
        return (), ()
    content = load_yaml(files[LIMITS_FILE], LIMITS_FILE)
    problems = unknown_members(content, LimitsForm, LIMITS_FILE)
    try:
        form = read_as(content, LimitsForm, LIMITS_FILE)
    except CatalogError as error:
        refuse([*problems, error])
        raise
    caps, found = ceilings(form.budgets, "tenant", LIMITS_FILE)
    problems += found
    rates: list[Cap] = []
    for index, rate in enumerate(form.rates):
        where = f"{LIMITS_FILE}, rates[{index}]"
        node = "rate:tenant"
        for kind, name, known in (
            ("tool", rate.tool, catalogue.tools.keys()),
            ("agent", rate.agent, manifests.keys()),
            ("upstream", rate.upstream, upstreams_of(catalogue)),
        ):
            if name is not None:
                problems += unknown_name(kind, name, known, where)
                node = f"rate:{kind}:{name}"
        if sum(name is not None for name in (rate.tool, rate.agent, rate.upstream)) > 1:
            problems.append(
                problem("member_invalid", where, "a rate names one: tool, agent or upstream")
            )
        problems += limit_problems(rate.limit, where)
        rates.append(Cap(node=node, unit="calls", limit=rate.limit, period=rate.per))
    refuse(problems)
    return caps, tuple(rates)


def ceilings(
    budgets: Collection[BudgetForm], node: str, where: str
) -> tuple[tuple[Cap, ...], list[CatalogError]]:
    """Turn budgets into caps, those without a node at `node`, and say what is wrong with them."""
    caps: list[Cap] = []
    problems: list[CatalogError] = []
    for index, budget in enumerate(budgets):
        at = f"{where}, budgets[{index}]"
        try:
            limit = _amount(budget.limit, budget.unit, at)
        except CatalogError as error:
            problems.append(error)
            continue
        problems += limit_problems(limit, at)
        caps.append(
            Cap(node=budget.node or node, unit=budget.unit, limit=limit, period=budget.period)
        )
    return tuple(caps), problems


def limit_problems(limit: int, where: str) -> Iterator[CatalogError]:
    """Say whether a number can bound anything; 0 forbids."""
    if not 0 <= limit <= MAX_INTEGER:
        yield problem("member_invalid", where, "the limit is negative or too big")


def dollars(amount: str | int | float, where: str) -> int:
    """Give US dollars in micro-USD. Raises `CatalogError`."""
    try:
        return micro_usd(amount)
    except BadInput as error:
        raise problem("member_invalid", where, error.message, error.help) from None


def _amount(limit: int | str, unit: str, where: str) -> int:
    """Give a limit in its unit: an integer is in it already, text is a decimal amount."""
    try:
        if unit.startswith("value:"):
            currency = currency_code(unit.removeprefix("value:"))
            return minor_units(limit, currency) if isinstance(limit, str) else limit
    except BadInput as error:
        raise problem("member_invalid", where, error.message, error.help) from None
    if unit == "micro_usd" and isinstance(limit, str):
        return dollars(limit, where)
    if unit in ("micro_usd", "calls", "tokens") and isinstance(limit, int):
        return limit
    raise problem(
        "member_invalid",
        where,
        f"`{shown(str(limit), 40)}` of `{shown(unit, 40)}` is no ceiling",
        "units are micro_usd, calls, tokens and value:<currency>; counts are integers",
    )


def upstreams_of(catalogue: Catalogue) -> frozenset[str]:
    """Name the upstreams of a catalogue's tools."""
    return frozenset(tool.upstream for tool in catalogue.tools.values() if tool.upstream)


def unknown_name(
    kind: str, name: str, known: Collection[str], where: str
) -> Iterator[CatalogError]:
    """Say that nothing of a kind has this name, if so."""
    if name not in known:
        yield problem(
            f"limit_{kind}_unknown",
            where,
            f"there is no {kind} `{shown(name, 80)}`",
            did_you_mean(name, known),
        )
