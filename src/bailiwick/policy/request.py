"""The question as Cedar's request: fitted to the schema, or the reasons why it does not fit.

Requests are checked here as Cedar's schema would check them, because reading a context by schema
costs more than everything else in a decision. A test compares the two on fitting and misfitting
requests.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from bailiwick.policy.conditions import MAX_LONG, MIN_LONG
from bailiwick.policy.schema import BOOL, LONG, STRING, STRINGS, Field, Fields
from bailiwick.ports import Question
from bailiwick.values import JSON, shown

_HOUR_US = 3_600_000_000
_DAYS_TO_THURSDAY = 3  # 1970-01-01 was a Thursday, which ISO 8601 counts as 4
_ABSENT = object()


class Slot(Struct, frozen=True):
    """One attribute to be taken over: whether a value fits, or the members if it is a record."""

    name: str
    kind: str
    fits: Callable[[object], bool]
    required: bool
    members: "tuple[Slot, ...] | None" = None


def slots_of(fields: Fields) -> tuple[Slot, ...]:
    """Make the attributes of a record ready to be checked."""
    return tuple(_slot(name, field) for name, field in fields.items())


def context_of(
    question: Question, facts: tuple[Slot, ...], input: tuple[Slot, ...], gates: frozenset[str]
) -> tuple[dict[str, Any], list[str]]:
    """Give the context of a question, and in what it does not fit; it must not be used then.

    Facts are exactly those that the tool declares; of the arguments those that have a Cedar type
    are taken. Evidence for a rule that people cannot satisfy is no evidence.
    """
    situation, now_us = question.situation, question.now_us
    misfits: list[str] = []
    given = _take(facts, situation.facts, "facts", misfits)
    if len(given) != len(situation.facts):
        declared = {slot.name for slot in facts}
        misfits += [
            f"the tool declares no fact `{shown(name)}`"
            for name in sorted(situation.facts)
            if name not in declared
        ]
    given["over_budget"] = bool(question.over)
    given["over_budget_nodes"] = [cap.node for cap in question.over]
    given["data_classes"] = list(question.data_classes)
    sources = list(question.sources)
    context: dict[str, Any] = {
        "facts": given,
        "input": _take(input, situation.input, "input", misfits),
        "run": {"id": question.caller.capability.run},
        "subject": {"id": question.caller.subject},
        "provenance": {"sources": sources},
        "time": {
            "now_us": now_us,
            "hour": now_us // _HOUR_US % 24,
            "weekday": (now_us // (24 * _HOUR_US) + _DAYS_TO_THURSDAY) % 7 + 1,
        },
        "mode": question.mode,
        "approvals": {rule: True for rule in question.evidence if rule in gates},
    }
    if not (
        _is_string(question.caller.tenant)
        and _is_string(question.caller.subject)
        and _is_string(question.caller.capability.run)
        and _is_string(situation.resource.id)
        and _is_strings(sources)
        and _is_strings(given["over_budget_nodes"])
        and _is_strings(given["data_classes"])
        and _is_long(now_us)
    ):
        misfits.append("the tenant, the run, the subject, a source or the resource's id is no text")
    return context, misfits


def _slot(name: str, field: Field) -> Slot:
    if isinstance(field.type, str):
        return Slot(name, field.type, _CHECKS[field.type], field.required)
    return Slot(name, "record", _is_record, field.required, slots_of(field.type))


def _take(
    slots: tuple[Slot, ...], source: Mapping[str, JSON], where: str, misfits: list[str]
) -> dict[str, JSON]:
    taken: dict[str, JSON] = {}
    for slot in slots:
        value = source.get(slot.name, _ABSENT)
        if value is _ABSENT:
            if slot.required:
                misfits.append(f"`{where}.{slot.name}` is missing")
        elif not slot.fits(value):
            misfits.append(f"`{where}.{slot.name}` is no {slot.kind}")
        elif slot.members is not None:
            assert isinstance(value, Mapping)
            taken[slot.name] = _take(slot.members, value, f"{where}.{slot.name}", misfits)
        else:
            taken[slot.name] = value  # type: ignore[assignment]
    return taken


def _is_long(value: object) -> bool:
    return type(value) is int and MIN_LONG <= value <= MAX_LONG


def _is_string(value: object) -> bool:
    return type(value) is str and (
        value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    )


def _is_bool(value: object) -> bool:
    return value is True or value is False


def _is_strings(value: object) -> bool:
    return type(value) in (list, tuple) and all(map(_is_string, value))  # type: ignore[call-overload]


def _is_record(value: object) -> bool:
    return isinstance(value, Mapping)


_CHECKS: Mapping[str, Callable[[object], bool]] = {
    LONG: _is_long,
    STRING: _is_string,
    BOOL: _is_bool,
    STRINGS: _is_strings,
}
