"""Joined paths in place: `args.charge + ":" + args.purpose`, `after.amount == args.amount`.

Sums of text, equalities of such sums, and their conjunction are what most effect keys and
expectations are made of, and the CEL engine copies every value it is shown. What is evaluated
here means what it means in CEL; wherever CEL has more to say (a missing member, numbers of two
kinds, a type that does not fit) its compiler is asked instead.
"""

import re
from collections.abc import Callable, Mapping

from bailiwick.catalog.paths import Constant, Path, compile_path
from bailiwick.errors import CatalogError
from bailiwick.ports import Expression
from bailiwick.values import JSON

_TOKEN = re.compile(
    r"""\s*(?:(&&|==|\+)|((?:"[^"\\\n\r]*"|'[^'\\\n\r]*'|[^\s"'&=+])+))\s*""", re.ASCII
)
_COMPARED = frozenset({str, int, bool})

_Sum = tuple[Path | Constant, ...]


class _Unsure(Exception):
    """CEL has to say what this is."""


def compile_plain(text: str, otherwise: Callable[[], Expression]) -> Expression | None:
    """Compile sums of text, equalities and conjunctions of them; None if it is anything else.

    `otherwise` compiles the same text as CEL; it is called at most once, when CEL is needed.
    """
    sides = _parsed(text)
    if sides is None:
        return None
    compiled: list[Expression] = []

    def evaluate(names: Mapping[str, JSON]) -> JSON:
        try:
            if len(sides) == 1 and sides[0][1] is None:
                return _sum(sides[0][0], names)
            return all(_equal(left, right or (), names) for left, right in sides)
        except (_Unsure, CatalogError):
            if not compiled:
                compiled.append(otherwise())
            return compiled[0](names)

    return evaluate


def _parsed(text: str) -> list[tuple[_Sum, _Sum | None]] | None:
    """The conjunction's equalities, each of two sums; or one sum alone."""
    sides: list[tuple[_Sum, _Sum | None]] = []
    for conjunct in _split(_tokens(text), "&&"):
        halves = [_terms(half) for half in _split(conjunct, "==")]
        if not 1 <= len(halves) <= 2 or any(half is None for half in halves):
            return None
        left, right = halves[0], halves[1] if len(halves) == 2 else None
        assert left is not None
        sides.append((left, right))
    alone = len(sides) == 1 and sides[0][1] is None and len(sides[0][0]) > 1
    return sides if alone or all(right is not None for _, right in sides) else None


def _tokens(text: str) -> list[str]:
    """Operators and terms, in order; one empty term where the text is neither."""
    tokens, at = [], 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return [""]
        tokens.append(token[1] or token[2])
        at = token.end()
    return tokens


def _split(tokens: list[str], operator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == operator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _terms(tokens: list[str]) -> _Sum | None:
    terms = [compile_path(part[0]) if len(part) == 1 else None for part in _split(tokens, "+")]
    found = tuple(term for term in terms if term is not None)
    return found if len(found) == len(terms) else None


def _sum(terms: _Sum, names: Mapping[str, JSON]) -> JSON:
    if len(terms) == 1:
        return terms[0](names)
    texts = [value for term in terms if isinstance(value := term(names), str)]
    if len(texts) != len(terms):
        raise _Unsure
    return "".join(texts)


def _equal(left: _Sum, right: _Sum, names: Mapping[str, JSON]) -> bool:
    one, other = _sum(left, names), _sum(right, names)
    if type(one) is not type(other) or type(one) not in _COMPARED:
        raise _Unsure
    return one == other
