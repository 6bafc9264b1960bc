"""The finitely many requests that stand for all: where the rules of a bucket can tell two apart.

A rule looks at variables (a fact, an argument, the hour …) only through comparisons with constants.
So a few values of each variable stand for all of them: every constant, a value in each gap between
two, and one that is none of them. A rule that looks otherwise (at two variables at once, at a
pattern, at an extension type) is *opaque*: it is named, and nothing is proved from it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations

from cedarpy import pst
from msgspec import Struct

from bailiwick.nouns import MODES
from bailiwick.policy.conditions import MAX_LONG, MIN_LONG
from bailiwick.policy.endpoints import DESTINATIONS, ENDPOINTS, OTHER, looked_at
from bailiwick.policy.rules import Path, Rule, path_of
from bailiwick.policy.schema import BOOL, LONG, STRING, STRINGS, Shape
from bailiwick.values import JSON, MAX_INTEGER

MODE, OVER, RESOURCE = ("mode",), ("over",), ("resource",)
HOUR, WEEKDAY, NOW = ("time", "hour"), ("time", "weekday"), ("time", "now_us")
ABSENT = object()

# JSON Schema keywords that leave the values of an argument exactly known here.
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_MODELLED = {"type", "enum", "const", "items", "uniqueItems", *_BOUNDS}
_SAY_NOTHING = {"title", "description", "default", "examples"}
_ROOT = {"$schema", "$id", "$defs", "type", "properties", "required", "additionalProperties"}
_ORDERED = frozenset(("eq", "not_eq", "less", "less_eq", "greater", "greater_eq"))
_OF_SETS = frozenset(("contains", "contains_all", "contains_any"))
_MAX_SET = 6

Comparison = tuple[Path, object]


class Looks(Struct):
    """What the rules compare each variable with, and which rules are opaque, with the reason."""

    constants: dict[Path, set[object]]
    opaque: dict[str, str]


class Variable(Struct, frozen=True, kw_only=True):
    """Something that rules look at, and the values that stand for all of its values.

    `sure` are those of them that requests certainly can have; the tool's schema may refuse others.
    """

    path: Path
    values: tuple[object, ...]
    sure: tuple[object, ...]


class _Opaque(Exception):
    """The expression looks at its variables in a way that constants do not tell."""


class TooMany(Exception):
    """More cases than are tried."""


def looks_of(rules: Sequence[Rule], shape: Shape) -> Looks:
    """Collect every comparison of the rules with a constant, as one action sees them."""
    looks = Looks({}, {})
    clocks = {WEEKDAY, HOUR} & {use.path for rule in rules for use in rule.uses}
    for rule in rules:
        found: list[Comparison] = [
            (RESOURCE, uid.id)
            for uid in pst.entity_uids(rule.tree.resource)
            if str(uid.type) == shape.tool.resource_type
        ]
        try:
            if clocks and any(use.path == NOW for use in rule.uses):
                raise _Opaque("an instant beside rules about the hour or the weekday")
            for clause in rule.tree.clauses:
                found += _comparisons(clause.expr, shape)
        except _Opaque as opaque:
            looks.opaque[rule.id] = str(opaque)
        for path, constant in found:
            for place, value in looked_at(path, constant, shape):
                looks.constants.setdefault(place, set()).add(value)
    return looks


def variable_of(path: Path, constants: set[object], shape: Shape) -> Variable:
    """Give the values that stand for all values of a variable. Raises `TooMany`."""
    texts = sorted(constant for constant in constants if isinstance(constant, str))
    if path == RESOURCE:
        return _free(path, (_other(texts), *texts))
    if path == MODE:
        return _free(path, MODES)
    if path == OVER:
        return _free(path, tuple(_subsets(texts)))
    if path == HOUR:
        return _free(path, _between(constants, 0, 23))
    if path == WEEKDAY:
        return _free(path, _between(constants, 1, 7))
    if path == NOW:
        return _free(path, _between(constants, 0, MAX_LONG))
    if path[0] == "input":
        return _argument(path, constants, shape)
    return _free(path, _values(path, constants, shape, (MIN_LONG, MAX_LONG)))


def alias_of(path: Path, shape: Shape) -> Path:
    """The argument that a fact is drawn from as it is (`args.amount`), else the path itself.

    Destinations and endpoints are not: the catalogue makes something else of what it is given.
    """
    if path[0] == "facts" and path not in (DESTINATIONS, ENDPOINTS):
        match = re.fullmatch(r"args\.(\w+)", shape.tool.facts.get(path[1], ""))
        field = shape.input.get(match[1]) if match else None
        if match and field is not None and field.type == shape.facts[path[1]].type:
            return ("input", match[1])
    return path


def excluded(value: object, path: Path, shape: Shape) -> bool:
    """Whether the tool's schema certainly refuses this value of an argument."""
    if path[0] != "input":
        return False
    schema = _schema_of(path, shape)
    enum = schema.get("enum")
    if isinstance(value, tuple):
        return False
    if isinstance(enum, Sequence) and value not in enum:
        return True
    if "const" in schema and value != schema["const"]:
        return True
    low, high = _range(schema)
    return isinstance(value, int) and not low <= value <= high


# --- what is compared ----------------------------------------------------------------------------


def _comparisons(expression: pst.Expr, shape: Shape) -> Iterator[Comparison]:
    match expression:
        case pst.BoolLit() | pst.Is(base=pst.Var(), in_expr=None):
            return
        case pst.BinaryOp(op="and" | "or", left=left, right=right):
            yield from _comparisons(left, shape)
            yield from _comparisons(right, shape)
        case pst.UnaryOp(op="not", arg=arg):
            yield from _comparisons(arg, shape)
        case pst.IfThenElse(cond=cond, then_expr=then, else_expr=other):
            for part in (cond, then, other):
                yield from _comparisons(part, shape)
        case pst.HasAttr(base=base, attrs=attrs):
            yield from _presence(base, attrs, shape)
        case pst.GetAttr() | pst.UnaryOp(op="is_empty", arg=pst.GetAttr()):
            read = expression.arg if isinstance(expression, pst.UnaryOp) else expression
            yield from ((place, None) for place in _places(read, shape))
        case pst.BinaryOp(op=op, left=left, right=right):
            yield from _comparison(op, left, right, shape)
        case _:
            raise _Opaque(f"`{type(expression).__name__.lower()}` is not modelled")


def _comparison(op: str, left: pst.Expr, right: pst.Expr, shape: Shape) -> Iterator[Comparison]:
    if isinstance(left, pst.Var) or isinstance(right, pst.Var):
        variable, other = (left, right) if isinstance(left, pst.Var) else (right, left)
        yield from _entities(variable, other)
        return
    if op not in _ORDERED and op not in _OF_SETS:
        raise _Opaque(f"`{op}` is not modelled")
    for side, constants in ((left, _literals(right)), (right, _literals(left))):
        if constants is None or path_of(side) is None:
            continue
        for place in _places(side, shape):
            if op in _ORDERED and _kind(place, shape) not in (LONG, STRING, BOOL):
                raise _Opaque("whole sets are compared")
            yield from ((place, constant) for constant in constants)
        return
    raise _Opaque("a computed value is compared")


def _entities(variable: object, other: pst.Expr) -> Iterator[Comparison]:
    """Agent and action are known; only the resource is a variable."""
    assert isinstance(variable, pst.Var)
    plain = isinstance(other, pst.EntityLit) or (
        isinstance(other, pst.Set) and all(isinstance(e, pst.EntityLit) for e in other.elements)
    )
    if not plain:
        raise _Opaque("two entities are compared")
    if variable.name == "resource":
        yield from ((RESOURCE, uid.id) for uid in pst.entity_uids(other))


def _literals(expression: pst.Expr) -> list[object] | None:
    match expression:
        case pst.BoolLit(value=value) | pst.LongLit(value=value) | pst.StringLit(value=value):
            return [value]
        case pst.Set(elements=elements):
            inner = [_literals(element) for element in elements]
            return None if None in inner else [value for values in inner for value in values or ()]
        case _:
            return None


def _presence(base: pst.Expr, attrs: tuple[str, ...], shape: Shape) -> Iterator[Comparison]:
    path = path_of(base)
    if path is None:
        raise _Opaque("`has` is asked of a computed value")
    if path[0] != "context":
        return
    whole = (*path[1], *attrs)
    field = shape.lookup(whole)
    if field is None or field.required or whole[0] == "approvals":
        return
    if len(whole) != 2 or not isinstance(field.type, str):
        raise _Opaque("a nested argument is looked at")
    yield whole, None


def _places(expression: pst.Expr, shape: Shape) -> tuple[Path, ...]:
    """The variable that a path reads; none for evidence, and for what is never reached.

    Evidence is given by people or not, and `decide` tries it. An attribute that this action does
    not declare stands behind a `has` that is false.
    """
    found = path_of(expression)
    if found is None or found[0] != "context":
        raise _Opaque(f"{found[0] if found else 'a computed value'} is looked into")
    path = found[1]
    field = shape.lookup(path)
    if path[0] == "approvals" or field is None:
        return ()
    if path in (("facts", "over_budget"), ("facts", "over_budget_nodes")):
        return (OVER,)
    if path != MODE and (len(path) != 2 or not isinstance(field.type, str)):
        raise _Opaque("a nested argument is looked at")
    return (path,)


def _kind(path: Path, shape: Shape) -> str:
    field = shape.lookup(path)
    return field.type if field is not None and isinstance(field.type, str) else BOOL


# --- the values that stand for all ---------------------------------------------------------------


def _free(path: Path, values: tuple[object, ...]) -> Variable:
    return Variable(path=path, values=values, sure=values)


def _values(
    path: Path, constants: set[object], shape: Shape, bounds: tuple[int, int]
) -> tuple[object, ...]:
    field = shape.lookup(path)
    assert field is not None
    texts = sorted(constant for constant in constants if isinstance(constant, str))
    values: Iterator[object] | Sequence[object]
    if field.type == LONG:
        values = _between(constants, *bounds)
    elif field.type == STRING:
        values = (_other(texts), *texts)
    elif field.type == STRINGS:
        values = _subsets(texts)
    else:
        values = (False, True)
    return (*values,) if field.required else (ABSENT, *values)


def _argument(path: Path, constants: set[object], shape: Shape) -> Variable:
    schema = _schema_of(path, shape)
    kind = _kind(path, shape)
    named = {value for value in _named(schema) if _is_a(kind, value)}
    values = tuple(
        value
        for value in _values(path, constants | named, shape, _range(schema))
        if value is ABSENT or not excluded(value, path, shape)
    )
    modelled = (
        not schema.keys() - _MODELLED - _SAY_NOTHING
        and not shape.tool.schema.keys() - _ROOT - _SAY_NOTHING
        and all(isinstance(schema.get(bound, 0), int) for bound in _BOUNDS)
        and (kind != STRINGS or _plain_items(schema))
    )
    sure = values if modelled else tuple(v for v in values if v is ABSENT or v in named)
    return Variable(path=path, values=values, sure=sure)


def _schema_of(path: Path, shape: Shape) -> Mapping[str, JSON]:
    properties = shape.tool.schema.get("properties")
    schema = properties.get(path[1]) if isinstance(properties, Mapping) else None
    # An argument without a schema of its own is nothing that we know to be possible.
    return schema if isinstance(schema, Mapping) else {"unknown": True}


def _named(schema: Mapping[str, JSON]) -> list[bool | int | str]:
    """The values that a schema itself names."""
    found: list[JSON] = [schema[name] for name in ("const", "default") if name in schema]
    for name in ("enum", "examples"):
        listed = schema.get(name)
        if isinstance(listed, Sequence) and not isinstance(listed, str):
            found += listed
    return [value for value in found if isinstance(value, bool | int | str)]


def _is_a(kind: str, value: bool | int | str) -> bool:
    if isinstance(value, bool):
        return kind == BOOL
    return kind == (LONG if isinstance(value, int) else STRING)


def _plain_items(schema: Mapping[str, JSON]) -> bool:
    items = schema.get("items")
    if "enum" in schema or "const" in schema:
        return False
    return isinstance(items, Mapping) and not items.keys() - {"type", "title", "description"}


def _range(schema: Mapping[str, JSON]) -> tuple[int, int]:
    low, high = -MAX_INTEGER, MAX_INTEGER
    for name, shift in (("minimum", 0), ("exclusiveMinimum", 1)):
        bound = schema.get(name)
        if isinstance(bound, int):
            low = max(low, bound + shift)
    for name, shift in (("maximum", 0), ("exclusiveMaximum", -1)):
        bound = schema.get(name)
        if isinstance(bound, int):
            high = min(high, bound + shift)
    return low, high


def _between(constants: set[object], low: int, high: int) -> tuple[int, ...]:
    """Each whole number of `constants`, and one of each gap, from `low` to `high`."""
    points = [c for c in constants if isinstance(c, int) and not isinstance(c, bool)]
    around = {value for point in points for value in (point - 1, point, point + 1)}
    within = sorted(value for value in around if low <= value <= high)
    if within:
        return tuple(within)
    return (min(max(0, low), high),) if low <= high else ()


def _other(texts: Sequence[str]) -> str:
    """A text that is none of these."""
    other = OTHER
    while other in texts:
        other += "-one"
    return other


def _subsets(texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if len(texts) > _MAX_SET:
        raise TooMany
    members = (*texts, _other(texts))
    return chain.from_iterable(combinations(members, size) for size in range(len(members) + 1))
