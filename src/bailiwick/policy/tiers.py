"""Tiers: up to which amount an agent acts by itself, and who is asked above it."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Struct

from bailiwick.nouns import Manifest, Tool
from bailiwick.policy.rules import parse_queue
from bailiwick.policy.schema import LONG, Shape
from bailiwick.vocabulary import decimals_of, is_currency

_MAX_AMOUNT = 2**53 - 1


class BadManifest(Exception):
    """A member of a manifest that cannot be meant: which, why, and what to write."""

    def __init__(self, member: str, reason: str, help: str) -> None:
        self.member, self.reason, self.help = member, reason, help
        super().__init__(reason)


class StepForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is asked up to an amount, or above the last one; as written."""

    approval: str
    up_to: int | str | None = None


class TierForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tier as written: a tool, `prefix.*` or group; a currency or a Long fact; amounts."""

    on: str
    unit: str
    auto_up_to: int | str = 0
    then: tuple[StepForm, ...] = ()


class Tier(Struct, frozen=True, kw_only=True):
    """A ceiling for what is automatic, and who is asked above it, in minor units or a fact's.

    `steps` are (above, up to, queue), up to None being without end. Above `limit` all is refused.
    """

    on: str
    unit: str
    tools: tuple[Tool, ...]
    steps: tuple[tuple[int, int | None, str], ...]
    limit: int | None

    @property
    def is_money(self) -> bool:
        """Whether the unit is a currency."""
        return is_currency(self.unit)

    @property
    def names(self) -> set[str]:
        """The tools' names."""
        return {tool.name for tool in self.tools}


def read_tiers(
    manifest: Manifest, granted: Sequence[Tool], shapes: Mapping[str, Shape]
) -> list[Tier]:
    """Read a manifest's tiers over the tools it grants. Raises `BadManifest`."""
    try:
        forms = msgspec.convert(manifest.source.get("tiers") or [], list[TierForm])
    except msgspec.ValidationError as error:
        help = "write each as {on, unit, auto_up_to, then: [{up_to, approval}]}"
        raise BadManifest("tiers", f"cannot be read: {error}", help) from None
    tiers: list[Tier] = []
    for form in forms:
        tier = _tier(form, granted, shapes)
        for other in tiers:
            same_kind = tier.is_money and other.is_money and tier.on != other.on
            both = tier.names & other.names
            if both and (same_kind or tier.unit == other.unit):
                raise BadManifest(
                    "tiers",
                    f"`{min(both)}` stands in two tiers",
                    "let each tool stand in one tier for a unit, and by one name",
                )
        tiers.append(tier)
    return tiers


NEVER = "never"


def queue_at(tier: Tier, amount: int) -> str | None:
    """Who is asked for an amount: nobody (None), a queue, or `NEVER` where it is refused."""
    if tier.limit is not None and amount > tier.limit:
        return NEVER
    for above, up_to, queue in tier.steps:
        if amount > above and (up_to is None or amount <= up_to):
            return queue
    return None


def is_named(entry: str, tool: str) -> bool:
    """Whether an entry of a list, a name or `prefix.*`, names a tool."""
    return entry == tool or (entry.endswith(".*") and tool.startswith(entry[:-1]))


def selects(entry: str, tool: Tool) -> bool:
    """Whether an entry names a tool or one of its groups."""
    return entry in (tool.effect, *tool.traits) or is_named(entry, tool.name)


def _tier(form: TierForm, granted: Sequence[Tool], shapes: Mapping[str, Shape]) -> Tier:
    unit, tools = form.unit, tuple(tool for tool in granted if selects(form.on, tool))
    if unit == "value":
        raise BadManifest("tiers", "an amount has a currency", "write the currency as the unit")
    needed = ("value", "currency") if is_currency(unit) else (unit,)
    facts = [shapes[tool.name].facts for tool in tools]
    if not tools or any(
        name not in declared or declared[needed[0]].type != LONG
        for declared in facts
        for name in needed
    ):
        raise BadManifest(
            "tiers",
            f"`{form.on}` does not select tools of the agent that all have `{needed[0]}` as a Long",
            "name tools that declare the fact; the unit is a currency or a Long fact",
        )
    steps: list[tuple[int, int | None, str]] = []
    end: int | None = _amount(form.auto_up_to, unit)
    for step in form.then:
        if end is None:
            raise BadManifest("tiers", "a step follows one without `up_to`", "put that one last")
        if parse_queue(step.approval) is None:
            reason = f"`{step.approval}` names no queue and quorum"
            raise BadManifest("tiers", reason, 'write "finance:2", say')
        up_to = None if step.up_to is None else _amount(step.up_to, unit)
        if up_to is not None and up_to <= end:
            raise BadManifest("tiers", f"{up_to} does not rise above {end}", "let the steps rise")
        steps.append((end, up_to, step.approval))
        end = up_to
    return Tier(on=form.on, unit=unit, tools=tools, steps=tuple(steps), limit=end)


def _amount(written: int | str, unit: str) -> int:
    """Read an amount: an integer in minor units, or a decimal text in the major unit."""
    try:
        amount = Decimal(written)
        if isinstance(written, str):
            amount = amount.scaleb(decimals_of(unit) if is_currency(unit) else 0)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_finite() and amount == amount.to_integral_value() and 0 <= amount <= _MAX_AMOUNT:
        return int(amount)
    raise BadManifest(
        "tiers",
        f"`{written}` is no amount of {unit}",
        'write an integer in minor units, or a decimal text in the major unit such as "50.00"',
    )
