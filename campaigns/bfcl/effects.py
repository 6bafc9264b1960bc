"""Which methods of a class only read, found in their code; every other one is taken for a write.

A method reads if neither it nor a method of its class that it calls does one of these: assign to
an attribute or a member of anything, delete one, call a method that changes a list, a mapping or a
set, or draw a random number. What only fills a mapping of its own is then called a write as well:
that costs a commit, and the other mistake would cost the record of an effect.
"""

import ast
import inspect
import textwrap

_CHANGING = frozenset(
    {
        *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
        *("reverse", "setdefault", "sort", "update"),
    }
)
_BY_NAME = frozenset({"delattr", "eval", "exec", "setattr"})
_DRAWING = frozenset({"choice", "choices", "randint", "random", "sample", "shuffle", "uniform"})


def reads(api: type, method: str) -> bool:
    """Whether a method of an API is certain to change nothing."""
    return _reads(api, method, set())


def _reads(api: type, method: str, seen: set[str]) -> bool:
    if method in seen:
        return True
    seen.add(method)
    code = ast.parse(textwrap.dedent(inspect.getsource(getattr(api, method))))
    return not any(_changes(api, node, seen) for node in ast.walk(code))


def _changes(api: type, node: ast.AST, seen: set[str]) -> bool:
    if isinstance(node, (ast.Attribute, ast.Subscript)):
        return not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in _BY_NAME
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    name, on = node.func.attr, node.func.value
    if isinstance(on, ast.Name) and on.id == "self":
        return not _reads(api, name, seen)
    # A private method of something else than this class: nobody looks into it here.
    return name in _CHANGING | _DRAWING or (name.startswith("_") and not name.startswith("__"))
