"""Every expression of a tool, checked against the names that are there and compiled at load."""

import re
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from bailiwick.catalog.facts import amount_expression
from bailiwick.catalog.paths import NAMES, Path, compile_path
from bailiwick.catalog.problems import problem
from bailiwick.catalog.schemas import certain_arguments, parameters
from bailiwick.errors import CatalogError
from bailiwick.nouns import HttpBinding, McpBinding, Tool
from bailiwick.ports import Expression
from bailiwick.values import did_you_mean, shown

ACTION_MEMBERS = ("id", "run", "agent", "subject", "provider_key")

# A path in form, but from no name that is there. `null` is CEL's.
_STRAY_PATH = re.compile(rf"\s*(?!({'|'.join(NAMES)}|null)\b)[A-Za-z_]\w*(\.\w+)*\s*", re.ASCII)

_STEP_4 = frozenset({"args", "before"})
_READS = frozenset({"args", "action"})
_SENDING = frozenset({"args", "action", "before"})
_AFTER = frozenset(NAMES)


class Place(Struct, frozen=True):
    """Where an expression stands, and which names it may use.

    `certain` says that it must not depend on an argument that a caller may leave out; `reads` are
    the reads of `before` that have been made by then.
    """

    member: str
    text: str
    names: frozenset[str]
    reads: tuple[str, ...]
    certain: bool = False


def places(tool: Tool) -> Iterator[Place]:
    """Give every expression of a tool with its place."""
    step_4 = {"effect_key": tool.effect_key, "destination": tool.destination}
    for name, text in tool.facts.items():
        step_4[f"facts.{name}"] = amount_expression(name, text)[0]
    reads = tuple(tool.before)
    if tool.resource_id is not None:
        yield Place("resource", tool.resource_id, frozenset({"args"}), (), certain=True)
    for member, written in step_4.items():
        if written is not None:
            yield Place(member, written, _STEP_4, reads, certain=True)
    for index, (name, reader) in enumerate(tool.before.items()):
        yield from _several(f"before.{name}", reader.arguments, _SENDING, reads[:index])
    if tool.reader is not None:
        yield from _several("reader", tool.reader.arguments, _AFTER - {"after"}, reads)
    if tool.find is not None:
        yield from _several("find", tool.find.arguments, _SENDING, reads)
    for member, written in (("expect", tool.expect), ("found", tool.found)):
        if written is not None:
            yield Place(member, written, _AFTER, reads)
    yield from _several("reverser_arguments", tool.reverser_arguments, _AFTER, reads)
    if isinstance(tool.binding, HttpBinding):
        names = _SENDING if tool.effect == "write" else _READS
        yield from _several("query", tool.binding.query, names, reads)
        yield from _several("headers", tool.binding.headers, names, reads)
        yield from _several("body", tool.binding.body or {}, names, reads)
    if isinstance(tool.binding, McpBinding):
        names = _SENDING if tool.effect == "write" else _READS
        yield from _several("arguments", tool.binding.arguments or {}, names, reads)


def compile_expressions(
    tool: Tool, where: str, compile: Callable[[str], Expression]
) -> tuple[dict[str, Expression], list[CatalogError]]:
    """Compile a tool's expressions, by their text, and say which of them do not hold.

    A plain path is compiled here and checked against the tool's arguments and reads; whatever else
    an expression says goes to `compile`.
    """
    compiled: dict[str, Expression] = {}
    problems: list[CatalogError] = []
    for place in places(tool):
        path = compile_path(place.text)
        try:
            if isinstance(path, Path):
                _check_path(tool, place, path, where)
            elif path is None and _STRAY_PATH.fullmatch(place.text):
                raise _invalid(
                    where,
                    place,
                    "begins with no known name",
                    f"names are {', '.join(NAMES)}; put literal text in quotes of its own",
                )
            compiled[place.text] = path or _compiled(place, where, compile)
        except CatalogError as error:
            problems.append(error)
    return compiled, problems


def _several(
    member: str, texts: Mapping[str, str], names: frozenset[str], reads: tuple[str, ...]
) -> Iterator[Place]:
    for name, text in texts.items():
        yield Place(f"{member}.{name}", text, names, reads)


def _compiled(place: Place, where: str, compile: Callable[[str], Expression]) -> Expression:
    try:
        return compile(place.text)
    except CatalogError as error:
        raise _invalid(where, place, f"does not compile: {error.message}", error.help) from None


def _check_path(tool: Tool, place: Place, path: Path, where: str) -> None:
    if path.root not in place.names:
        usable = ", ".join(sorted(place.names))
        raise _invalid(where, place, f"uses `{path.root}` too early", f"known here are {usable}")
    first = path.steps[0] if path.steps else None
    takes, _ = parameters(tool.schema)
    members = {"args": takes, "before": place.reads, "action": ACTION_MEMBERS}
    if first is None or path.root not in members:
        return
    known = sorted(members[path.root])
    if first not in known:
        hint = did_you_mean(str(first), known, f"known here are {', '.join(known) or 'none'}")
        raise _invalid(where, place, f"names no member of `{path.root}`", hint)
    if path.root == "args" and place.certain and first not in certain_arguments(tool.schema):
        raise _invalid(
            where,
            place,
            f"depends on `{first}`, which may be left out",
            "require the argument, or give it a default",
        )


def _invalid(where: str, place: Place, message: str, help: str) -> CatalogError:
    return problem(
        "expression_invalid", f"{where}, {place.member}", f"`{shown(place.text)}` {message}", help
    )
