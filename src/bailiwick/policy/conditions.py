"""Rules evaluated here, to leave out those that cannot matter; Cedar judges the others.

A rule may be left out of a decision if Cedar would find its condition false without an error. So a
condition is compiled to a function that answers False only then. It follows Cedar's order of
evaluation, and answers True wherever it reaches what it does not know: an error, an overflow, an
attribute that is not there, an operator outside the fragment below. A rule kept in vain costs time,
never an answer. The whole rule set and what is kept here are compared in a test.

Inside: paths of the context, literals, `== != < <= > >=`, `+ - *` and negation, `&& || !`, if,
`has`, `like`, `contains`, `containsAll`, `containsAny`, `isEmpty`, `in` and `is` on the three
entities. A rule is only ever compiled after it type-checks, so operands have the types they need.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from cedarpy import pst
from msgspec import Struct
from msgspec.structs import replace

from bailiwick.policy.rules import path_of
from bailiwick.policy.schema import BOOL, LONG, STRING, STRINGS, Shape
from bailiwick.values import JSON

# A condition looks at the context, the principal's id and the resource's id: `c, p, r`.
Context = Mapping[str, Any]
Look = Callable[[Context, str, str], Any]

MIN_LONG, MAX_LONG = -(2**63), 2**63 - 1
# Conjunctions of so many terms are calls within calls, longer ones a loop.
_NESTED = 8


class Undecided(Exception):
    """The expression fails, or lies outside the fragment."""


class Demand(Struct, frozen=True):
    """What an attribute of the context has to be; without a group, the id of the resource.

    The attribute `is` the value, `starts` with it, or is a set that `holds` it.
    """

    group: str
    name: str
    how: Literal["is", "starts", "holds"]
    value: bool | int | str


class Condition(NamedTuple):
    """The compiled condition of a rule: false if it demands something, and none of it is met."""

    look: Look
    demands: tuple[Demand, ...] = ()


class Term(Struct, frozen=True):
    """A compiled expression: its kind ("" if unknown), how to look it up, and if that can fail.

    `value` is set when it is the same for every request, `attribute` when it is one of the context.
    `demands`, if there are any, are such that it is false, without an error, if none is met.
    """

    kind: str
    look: Look
    certain: bool = True
    value: bool | int | str | tuple[str, ...] | None = None
    attribute: tuple[str, str] | None = None
    demands: tuple[Demand, ...] = ()


def _undecided(c: Context, p: str, r: str) -> Any:
    raise Undecided


_UNKNOWN = Term("", _undecided, certain=False)

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "not_eq": operator.ne,
    "less": operator.lt,
    "less_eq": operator.le,
    "greater": operator.gt,
    "greater_eq": operator.ge,
}
# The same for what most conditions are, an attribute against a constant, in one call.
_COMPARE_ATTRIBUTE: Mapping[str, Callable[[str, str, Any], Look]] = {
    "eq": lambda group, name, value: lambda c, p, r: c[group][name] == value,
    "not_eq": lambda group, name, value: lambda c, p, r: c[group][name] != value,
    "less": lambda group, name, value: lambda c, p, r: c[group][name] < value,
    "less_eq": lambda group, name, value: lambda c, p, r: c[group][name] <= value,
    "greater": lambda group, name, value: lambda c, p, r: c[group][name] > value,
    "greater_eq": lambda group, name, value: lambda c, p, r: c[group][name] >= value,
}
_ARITHMETIC: Mapping[str, Callable[[int, int], int]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
}


def compile_rule(rule: pst.Template, shape: Shape) -> Condition | None:
    """Compile a rule for one action: None if it certainly never matches.

    The principal of its scope is not looked at; rules are chosen by agent before.
    """
    terms = [_action_scope(rule.action, shape), _resource_scope(rule.resource, shape)]
    for clause in rule.clauses:
        term = _term(clause.expr, shape)
        terms.append(_not(term) if isinstance(clause, pst.Unless) else term)
    whole = _and(terms)
    if whole.value is False:
        return None
    if whole.value is True:
        return Condition(always)
    return Condition(whole.look if whole.certain else _guarded(whole.look), whole.demands)


def principal_of(rule: pst.Template) -> str | None:
    """The one agent that a rule's scope names; None if it is open to all."""
    match rule.principal:
        case (
            pst.ScopeEq(entity=pst.EntityUid(id=id))
            | pst.ScopeIn(entity=pst.EntityUid(id=id))
            | pst.ScopeIsIn(entity=pst.EntityUid(id=id))
        ):
            return id
        case _:
            return None


def covers(constraint: pst.ActionConstraint, shape: Shape) -> bool:
    """Whether the action part of a rule's scope holds for an action."""
    match constraint:
        case pst.ActionEq(entity=entity):
            return entity.id == shape.tool.name
        case pst.ActionIn(entities=entities):
            return any(entity.id in (shape.tool.name, *shape.groups) for entity in entities)
        case _:
            return True


def applies(rule: pst.Template, shape: Shape) -> bool:
    """Whether the action and the resource type of a rule's scope allow this action."""
    resource = _resource_scope(rule.resource, shape)
    return covers(rule.action, shape) and resource.value is not False


def pieces_of(pattern: Sequence[pst.PatternElem]) -> tuple[str, ...]:
    """The texts between the wildcards of a pattern; one text if it has no wildcard."""
    pieces = [""]
    for element in pattern:
        if isinstance(element, pst.Char):
            pieces[-1] += element.value
        else:
            pieces.append("")
    return tuple(pieces)


def glob(pieces: Sequence[str], text: str) -> bool:
    """Cedar's `like`: between the pieces stands any text. No pattern makes it slow."""
    if len(pieces) == 1:
        return text == pieces[0]
    first, *middle, last = pieces
    if not text.startswith(first):
        return False
    at = len(first)
    for piece in middle:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(text) - len(last) >= at and text.endswith(last)


def always(c: Context, p: str, r: str) -> bool:
    """The condition of a rule that matches whatever the request holds."""
    return True


def _guarded(look: Look) -> Look:
    def guarded(c: Context, p: str, r: str) -> Any:
        try:
            return look(c, p, r)
        except (Undecided, KeyError):
            return True

    return guarded


# --- scope and entities --------------------------------------------------------------------------


def _action_scope(constraint: pst.ActionConstraint, shape: Shape) -> Term:
    return _constant(covers(constraint, shape))


def _resource_scope(constraint: pst.PrincipalOrResourceConstraint, shape: Shape) -> Term:
    kind = shape.tool.resource_type
    match constraint:
        case pst.ScopeAny():
            return _constant(True)
        case pst.ScopeIs(entity_type=entity_type):
            return _constant(str(entity_type) == kind)
        # A resource has no parents here, so it is in itself alone.
        case (
            pst.ScopeEq(entity=pst.EntityUid() as entity)
            | pst.ScopeIn(entity=pst.EntityUid() as entity)
        ):
            return _is_entity("resource", (entity,), shape)
        case pst.ScopeIsIn(entity_type=entity_type, entity=pst.EntityUid() as entity):
            if str(entity_type) != kind:
                return _constant(False)
            return _is_entity("resource", (entity,), shape)
        case _:
            return _UNKNOWN


def _is_entity(variable: str, entities: tuple[pst.EntityUid, ...], shape: Shape) -> Term:
    """`principal == Agent::"a"` and `principal in [Agent::"a", …]`, for each of the three."""
    if variable == "action":
        own = (shape.tool.name, *shape.groups)
        return _constant(any(str(e.type) == "Action" and e.id in own for e in entities))
    kind = "Agent" if variable == "principal" else shape.tool.resource_type
    ids = frozenset(entity.id for entity in entities if str(entity.type) == kind)
    if not ids:
        return _constant(False)
    if variable == "principal":
        return Term(BOOL, lambda c, p, r: p in ids)
    demands = tuple(Demand("", "resource", "is", id) for id in sorted(ids))
    return Term(BOOL, lambda c, p, r: r in ids, demands=demands)


def _entities(left: pst.Expr, right: pst.Expr, op: str, shape: Shape) -> Term | None:
    """An equality or membership of entities, if it is of the plain kind; None if it is not."""
    if op != "in" and isinstance(left, pst.EntityLit):
        left, right = right, left
    if not isinstance(left, pst.Var) or left.name == "context":
        return None
    match right:
        case pst.EntityLit(value=entity):
            entities: tuple[pst.EntityUid, ...] = (entity,)
        case pst.Set(elements=elements) if op == "in":
            entities = tuple(e.value for e in elements if isinstance(e, pst.EntityLit))
            if len(entities) != len(elements):
                return None
        case _:
            return None
    if op != "in" and left.name == "action":
        same = str(entities[0].type) == "Action" and entities[0].id == shape.tool.name
        term = _constant(same)
    else:
        term = _is_entity(left.name, entities, shape)
    return _not(term) if op == "not_eq" else term


# --- expressions ---------------------------------------------------------------------------------


def _term(expression: pst.Expr, shape: Shape) -> Term:
    match expression:
        case pst.BoolLit(value=value) | pst.LongLit(value=value) | pst.StringLit(value=value):
            return _constant(value)
        case pst.GetAttr():
            return _path(expression, shape)
        case pst.HasAttr():
            return _has(expression, shape)
        case pst.UnaryOp(op="not", arg=arg):
            return _not(_term(arg, shape))
        case pst.UnaryOp(op="neg", arg=arg):
            return _arithmetic(operator.sub, _constant(0), _term(arg, shape))
        case pst.UnaryOp(op="is_empty", arg=arg):
            return _on_sets(lambda left, _: not left, _term(arg, shape), _set(()))
        case pst.BinaryOp():
            return _binary(expression, shape)
        case pst.Like(base=base, pattern=pattern):
            return _like(_term(base, shape), pattern)
        case pst.Is(base=pst.Var(name=name), entity_type=entity_type, in_expr=None):
            kinds = {"principal": "Agent", "action": "Action"}
            return _constant(kinds.get(name, shape.tool.resource_type) == str(entity_type))
        case pst.IfThenElse():
            return _if(expression, shape)
        case pst.Set(elements=elements):
            literals = [e.value for e in elements if isinstance(e, pst.StringLit)]
            return _set(tuple(literals)) if len(literals) == len(elements) else _UNKNOWN
        case _:
            return _UNKNOWN


def _binary(expression: pst.BinaryOp, shape: Shape) -> Term:
    op, left, right = expression.op, expression.left, expression.right
    if op in ("and", "or"):
        parts = [_term(part, shape) for part in _flat(expression, op)]
        return _and(parts) if op == "and" else _or(parts)
    if op in ("eq", "not_eq", "in"):
        entities = _entities(left, right, op, shape)
        if entities is not None:
            return entities
    first, second = _term(left, shape), _term(right, shape)
    if op in _ARITHMETIC:
        return _arithmetic(_ARITHMETIC[op], first, second)
    if op in _COMPARE:
        return _compare(op, first, second)
    if op == "contains":
        return _contains(first, second)
    if op == "contains_all":
        return _on_sets(lambda left, right: all(map(left.__contains__, right)), first, second)
    if op == "contains_any":
        return _on_sets(lambda left, right: any(map(left.__contains__, right)), first, second)
    return _UNKNOWN


def _flat(expression: pst.Expr, op: str) -> list[pst.Expr]:
    """`(a && b) && c` as [a, b, c]: the order in which they are evaluated."""
    if isinstance(expression, pst.BinaryOp) and expression.op == op:
        return [*_flat(expression.left, op), *_flat(expression.right, op)]
    return [expression]


def _constant(value: bool | int | str) -> Term:
    kind = BOOL if isinstance(value, bool) else LONG if isinstance(value, int) else STRING
    return Term(kind, lambda c, p, r: value, value=value)


def _set(values: tuple[str, ...]) -> Term:
    return Term(STRINGS, lambda c, p, r: values, value=values)


def _path(expression: pst.GetAttr, shape: Shape) -> Term:
    path = path_of(expression)
    if path is None or path[0] != "context" or not path[1]:
        return _UNKNOWN
    field = shape.lookup(path[1])
    if field is None or not isinstance(field.type, str):
        return _UNKNOWN
    if len(path[1]) == 1:
        only = path[1][0]
        return Term(field.type, lambda c, p, r: c[only], field.required)
    group, name, *deeper = path[1]
    if not deeper:
        term = Term(
            field.type, lambda c, p, r: c[group][name], field.required, attribute=(group, name)
        )
        return replace(term, demands=_demands(term, "is", True)) if term.kind == BOOL else term

    def look(c: Context, p: str, r: str) -> Any:
        value = c[group][name]
        for member in deeper:
            value = value[member]
        return value

    return Term(field.type, look, certain=field.required)


def _has(expression: pst.HasAttr, shape: Shape) -> Term:
    path = path_of(expression.base)
    if path is None or path[0] != "context":
        return _UNKNOWN
    base, names = path[1], expression.attrs
    above, field = shape.lookup(base), shape.lookup((*base, *names))
    if above is None or not above.required:
        return _UNKNOWN
    if field is None or field.required:
        return _constant(field is not None)

    def has(c: Context, p: str, r: str) -> bool:
        value: Any = c
        for name in base:
            value = value[name]
        for name in names:
            if name not in value:
                return False
            value = value[name]
        return True

    return Term(BOOL, has)


def _compare(op: str, left: Term, right: Term) -> Term:
    if left.kind != right.kind or left.kind not in (LONG, STRING, BOOL):
        return _UNKNOWN
    if op not in ("eq", "not_eq") and left.kind != LONG:
        return _UNKNOWN
    compare, first, second, value = _COMPARE[op], left.look, right.look, right.value
    certain = left.certain and right.certain
    if left.value is not None and value is not None:
        return _constant(compare(left.value, value))
    if value is None:
        return Term(BOOL, lambda c, p, r: compare(first(c, p, r), second(c, p, r)), certain)
    if left.attribute is not None:
        assert not isinstance(value, tuple)
        demands = _demands(left, "is", value) if op == "eq" else ()
        look = _COMPARE_ATTRIBUTE[op](*left.attribute, value)
        return Term(BOOL, look, certain, demands=demands)
    return Term(BOOL, lambda c, p, r: compare(first(c, p, r), value), certain)


def _arithmetic(compute: Callable[[int, int], int], left: Term, right: Term) -> Term:
    if left.kind != LONG or right.kind != LONG:
        return _UNKNOWN
    first, second = left.look, right.look

    def look(c: Context, p: str, r: str) -> int:
        result = compute(first(c, p, r), second(c, p, r))
        if not MIN_LONG <= result <= MAX_LONG:
            raise Undecided
        return result

    return Term(LONG, look, certain=False)


def _contains(left: Term, right: Term) -> Term:
    if left.kind != STRINGS or right.kind != STRING:
        return _UNKNOWN
    first, second = left.look, right.look
    return Term(
        BOOL,
        lambda c, p, r: second(c, p, r) in first(c, p, r),
        left.certain and right.certain,
        demands=_demands(left, "holds", right.value),
    )


def _on_sets(
    compare: Callable[[Sequence[str], Sequence[str]], bool], left: Term, right: Term
) -> Term:
    if left.kind != STRINGS or right.kind != STRINGS:
        return _UNKNOWN
    first, second = left.look, right.look
    return Term(
        BOOL,
        lambda c, p, r: compare(first(c, p, r), second(c, p, r)),
        left.certain and right.certain,
    )


def _like(base: Term, pattern: tuple[pst.PatternElem, ...]) -> Term:
    if base.kind != STRING:
        return _UNKNOWN
    look, pieces = base.look, pieces_of(pattern)
    return Term(
        BOOL,
        lambda c, p, r: glob(pieces, look(c, p, r)),
        base.certain,
        demands=_demands(base, "starts" if len(pieces) > 1 else "is", pieces[0] or None),
    )


def _if(expression: pst.IfThenElse, shape: Shape) -> Term:
    test = _term(expression.cond, shape)
    then = _term(expression.then_expr, shape)
    other = _term(expression.else_expr, shape)
    if test.value is not None:
        return then if test.value else other
    if test.kind != BOOL or then.kind != other.kind:
        return _UNKNOWN
    choose, first, second = test.look, then.look, other.look
    return Term(
        then.kind,
        lambda c, p, r: first(c, p, r) if choose(c, p, r) else second(c, p, r),
        test.certain and then.certain and other.certain,
    )


def _not(term: Term) -> Term:
    if term.value is not None:
        return _constant(not term.value)
    look = term.look
    return Term(
        BOOL,
        lambda c, p, r: not look(c, p, r),
        term.certain,
        demands=_demands(term, "is", False) if term.kind == BOOL else (),
    )


def _and(terms: Sequence[Term]) -> Term:
    return _chain(terms, stops=False)


def _or(terms: Sequence[Term]) -> Term:
    return _chain(terms, stops=True)


def _chain(terms: Sequence[Term], *, stops: bool) -> Term:
    """A conjunction (stops at False) or disjunction (stops at True), left to right."""
    kept: list[Term] = []
    for term in terms:
        if term.value is None:
            kept.append(term)
        elif term.value is stops:
            # What stands before may still fail, but if none of it can, the value is known.
            if all(earlier.certain for earlier in kept):
                return _constant(stops)
            kept.append(term)
            break
    if not kept:
        return _constant(not stops)
    looks = [term.look for term in kept]
    certain = all(term.certain for term in kept)
    demands = _of_any(kept) if stops else _of_all(kept)
    look = looks[0] if len(looks) == 1 else _any(looks) if stops else _all(looks)
    return Term(BOOL, look, certain, demands=demands)


def _demands(term: Term, how: Literal["is", "starts", "holds"], value: JSON) -> tuple[Demand, ...]:
    """That an attribute which is always there has a value that is always the same, if so it is."""
    if term.attribute is None or not term.certain or not isinstance(value, bool | int | str):
        return ()
    return (Demand(*term.attribute, how, value),)


def _of_all(terms: Sequence[Term]) -> tuple[Demand, ...]:
    """A conjunction is over with its first term that is false, if nothing failed before."""
    for term in terms:
        if term.demands:
            return term.demands
        if not term.certain:
            break
    return ()


def _of_any(terms: Sequence[Term]) -> tuple[Demand, ...]:
    """A disjunction is false once all of its terms are."""
    if not all(term.demands for term in terms):
        return ()
    return tuple(demand for term in terms for demand in term.demands)


def _all(looks: Sequence[Look]) -> Look:
    # Most conjunctions are over with their first term, so what comes after it may cost a call.
    if len(looks) > _NESTED:
        return lambda c, p, r: all(look(c, p, r) for look in looks)
    first, *others = looks
    rest = others[0] if len(others) == 1 else _all(others)
    return lambda c, p, r: first(c, p, r) and rest(c, p, r)


def _any(looks: Sequence[Look]) -> Look:
    return lambda c, p, r: any(look(c, p, r) for look in looks)
