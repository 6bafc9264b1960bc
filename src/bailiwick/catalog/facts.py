"""Facts: typed values with one name and meaning for every tool, computed in step 4.

The standard ones are in `vocabulary`. A tool may declare further facts with their types; a name has
one type in the whole catalogue. A fact that cannot be computed refuses the action: it is never null
and never guessed.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from bailiwick.catalog.domains import destination, endpoint
from bailiwick.catalog.money import currency_code, minor_units
from bailiwick.catalog.problems import problem
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import Refusal
from bailiwick.ports import Expression
from bailiwick.values import JSON, MAX_INTEGER, did_you_mean, identifier, shown
from bailiwick.vocabulary import RUNTIME_FACTS, STANDARD_FACTS, DestinationKind

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DECIMAL = re.compile(r"\s*decimal\((?P<amount>.*)\)\s*")


class FactPlan(Struct, frozen=True):
    """How one fact is computed: evaluate, then check. A decimal amount needs the currency first."""

    name: str
    expression: Expression
    check: Callable[[JSON], JSON]
    decimal: bool = False


def fact_problems(
    facts: Collection[str], own_types: Mapping[str, str], where: str
) -> Iterator[CatalogError]:
    """Say which of a tool's facts have no type, or another one than everywhere else."""
    for name in facts:
        if name not in own_types and name not in STANDARD_FACTS:
            yield problem(
                "fact_unknown",
                where,
                f"there is no fact `{shown(name)}`",
                did_you_mean(name, STANDARD_FACTS, "give its type under `fact_types`"),
            )
    for name, kind in own_types.items():
        if STANDARD_FACTS.get(name, kind) != kind:
            yield problem(
                "fact_type_conflict", where, f"`{name}` is {STANDARD_FACTS[name]} for every tool"
            )
        elif not _NAME.fullmatch(name) or name in RUNTIME_FACTS or name not in facts:
            yield problem(
                "fact_name_invalid",
                where,
                f"`fact_types` names `{shown(name)}`, which is no fact of this tool",
                "write lower-case names of its `facts`; some are the runtime's own",
            )


def amount_expression(fact: str, text: str) -> tuple[str, bool]:
    """Take `decimal(…)` off the expression of `value`: what is inside, and whether it was there."""
    wrapped = _DECIMAL.fullmatch(text) if fact == "value" else None
    return (wrapped["amount"], True) if wrapped else (text, False)


def fact_plans(
    facts: Mapping[str, str],
    types: Mapping[str, str],
    compiled: Mapping[str, Expression],
    kind: DestinationKind,
) -> tuple[FactPlan, ...]:
    """Plan the computation of a tool's facts; `compiled` holds its expressions by their text.

    `kind` is that of its destinations.
    """
    plans = []
    checks = {
        **_CHECKS,
        "destinations": _places(destination, kind),
        "endpoints": _places(endpoint, kind),
    }
    for name in sorted(facts):  # currency comes before value
        text, decimal = amount_expression(name, facts[name])
        check = _given if decimal else checks.get(name) or _TYPE_CHECKS[types[name]]
        plans.append(FactPlan(name, compiled[text], check, decimal))
    return tuple(plans)


def compute(plans: Iterable[FactPlan], names: Mapping[str, JSON]) -> dict[str, JSON] | Refusal:
    """Compute the facts from `args` and `before`, or refuse (`fact_invalid`) naming the fact."""
    facts: dict[str, JSON] = {}
    for plan in plans:
        try:
            given = plan.check(plan.expression(names))
            facts[plan.name] = minor_units(given, str(facts["currency"])) if plan.decimal else given
        except (CatalogError, BadInput) as error:
            return Refusal(
                step=4,
                code="fact_invalid",
                message=f"the fact `{plan.name}` cannot be computed: {error.message}",
                help=error.help,
            )
    return facts


def _wrong(value: JSON, wanted: str) -> BadInput:
    return BadInput(
        f"`{shown(str(value), 60)}` is not {wanted}",
        code="fact_invalid",
        help="correct the argument, or the tool's expression for the fact",
    )


def _given(value: JSON) -> JSON:
    return value


def _long(value: JSON) -> JSON:
    if type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER:
        return value
    raise _wrong(value, "an integer")


def _amount(value: JSON) -> JSON:
    if type(value) is int and 0 <= value <= MAX_INTEGER:
        return value
    raise _wrong(value, "an integer amount in minor units")


def _bool(value: JSON) -> JSON:
    if value is True or value is False:
        return value
    raise _wrong(value, "true or false")


def _string(value: JSON) -> JSON:
    if isinstance(value, str):
        return identifier(value, "the fact")
    raise _wrong(value, "text")


def _items(value: JSON) -> Sequence[JSON]:
    if isinstance(value, (list, tuple)):
        return value
    raise _wrong(value, "a list")


def _strings(value: JSON) -> JSON:
    return sorted({str(_string(item)) for item in _items(value)})


def _currency(value: JSON) -> JSON:
    return currency_code(value)


def _recipients(value: JSON) -> JSON:
    return len(value) if isinstance(value, (list, tuple)) else _amount(value)


def _places(
    read: Callable[[DestinationKind, str], str], kind: DestinationKind
) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        given = [value] if isinstance(value, str) else _items(value)
        return sorted({read(kind, str(_string(item))) for item in given})

    return check


_TYPE_CHECKS: Mapping[str, Callable[[JSON], JSON]] = {
    "Long": _long,
    "Bool": _bool,
    "String": _string,
    "Set<String>": _strings,
}
_CHECKS: Mapping[str, Callable[[JSON], JSON]] = {
    "value": _amount,
    "currency": _currency,
    "recipients": _recipients,
}
