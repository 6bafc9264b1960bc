"""CEL, compiled once and evaluated over plain JSON (Common Expression Language).

The only names are those of `NAMES`. An undefined name, a missing member, an overflow, a division by
zero, a mix of types: each is a `CatalogError` with the code `expression_failed`, never a value and
never null. Source: the CEL specification, cel-spec `doc/langdef.md`.
"""

import re
from collections.abc import Mapping

import cel

from bailiwick.errors import BadInput, CatalogError
from bailiwick.ports import Expression
from bailiwick.values import JSON, parse, shown

NAMES = frozenset({"args", "action", "before", "after", "result"})

# The name that a macro binds: `data.exists(r, r.id == action.id)` binds `r`. The library lists it
# among the variables. A name bound in one place and free in another still fails when evaluated.
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*([A-Za-z_]\w*)\s*,")

# What evaluation raises: KeyError and IndexError for a missing member, ZeroDivisionError and
# OverflowError for arithmetic, TypeError for mixed types, ValueError for a value that is not JSON,
# RuntimeError for everything else, an undefined variable among it.
_FAULTS = (LookupError, ArithmeticError, TypeError, ValueError, RuntimeError)


def compile_cel(text: str) -> Expression:
    """Compile a CEL expression. Raises `CatalogError` for a syntax error or a foreign name."""
    try:
        program = cel.compile(text)
    except ValueError as error:
        raise CatalogError(
            f"the expression `{shown(text)}` is malformed: {shown(str(error))}",
            code="expression_malformed",
            help="see the language definition of CEL",
        ) from None
    used = set(program.variables())
    if foreign := sorted(used - NAMES - set(_BOUND.findall(text))):
        raise CatalogError(
            f"the expression `{shown(text)}` names `{foreign[0]}`",
            code="expression_foreign_name",
            help=f"an expression may name {', '.join(sorted(NAMES))} and nothing else",
        )
    reads = tuple(used & NAMES)

    def evaluate(names: Mapping[str, JSON]) -> JSON:
        # Only the names that it reads are handed over: each is copied into the engine's own values.
        given = {name: names[name] for name in reads if name in names}
        try:
            value = program.execute(given)
        except _FAULTS as error:
            reason = f"{type(error).__name__}: {error}"
            raise _failed(text, reason) from None
        return _as_json(value, text)

    return evaluate


def _as_json(value: object, text: str) -> JSON:
    """Hold the result to the rules of the one value: no NaN, no bytes, no integer over 2^53."""
    if value is True or value is False or value is None:
        return value
    try:
        return parse({"value": value})["value"]
    except BadInput as error:
        raise _failed(text, error.message) from None


def _failed(text: str, reason: str) -> CatalogError:
    return CatalogError(
        f"the expression `{shown(text)}` failed: {shown(reason)}",
        code="expression_failed",
        help="a missing member is an error: test with `has(...)` before it is read",
    )
