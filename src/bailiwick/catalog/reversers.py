"""Part of the write-tool law: a way back must lead back.

A reverser's arguments are expressions over what is known once the write is done: `args`, `before`,
`after`, `result`, `action`. What can be known of them from the files is checked at load: their
names, their types, that a look they need is made, and that no tool undoes itself by doing the same
again. What they really give is checked against the reverser's schema when something is undone.
"""

import re
from collections.abc import Iterator, Mapping

from bailiwick.catalog.paths import Constant, Path, compile_path
from bailiwick.catalog.problems import problem
from bailiwick.catalog.schemas import (
    Schema,
    certain_arguments,
    fits,
    json_kind,
    parameters,
    plain,
)
from bailiwick.errors import CatalogError
from bailiwick.nouns import Tool
from bailiwick.values import JSON, shown

_AFTER = re.compile(r"(?<![\w.])after\b")


def reverser_problems(tool: Tool, tools: Mapping[str, Tool]) -> Iterator[CatalogError]:
    """Say in what a tool's way back cannot lead back; `tools` are all by name."""
    if tool.reverser is None:
        if tool.reverser_arguments:
            yield problem(
                "law_half_declared",
                tool.name,
                "`reverser_arguments` needs `reverser`",
                "add `reverser`: the tool that undoes this one",
            )
        return
    reverser = tools.get(tool.reverser)
    if reverser is None:
        return
    if tool.reader is None and any(map(_AFTER.search, tool.reverser_arguments.values())):
        yield problem(
            "law_reverser_blind",
            tool.name,
            "its `reverser_arguments` use `after`, but nothing is read after it was done",
            "add `reader` with `expect`, or take the value from `result`, `before` or `args`",
        )
    takes, _ = parameters(reverser.schema)
    for name, text in tool.reverser_arguments.items():
        reason = _misfit(tool, reverser, name, text) if name in takes else ""
        if reason:
            yield problem(
                "law_argument_mistyped",
                tool.name,
                f"its `reverser_arguments.{name}` {reason}",
                f"give what `{reverser.name}` takes as `{name}`",
            )
    if reverser.effect == "write" and _undoes_itself(tool, tools):
        yield problem(
            "law_reverser_circular",
            tool.name,
            "undoing it would do the same again, with the same arguments",
            "give its reverser what was there before, such as `before.<read>.<member>`, or name"
            " the tool that does the opposite",
        )


def _misfit(tool: Tool, reverser: Tool, name: str, text: str) -> str:
    """Why a plain expression cannot be an argument of the reverser; empty if it may be one."""
    path = compile_path(text)
    if isinstance(path, Constant):
        if not fits(reverser.schema, name, path.value):
            return f"is `{shown(text)}`, which `{reverser.name}` does not take"
        return ""
    if not isinstance(path, Path) or path.root != "args" or not path.steps:
        return ""
    given = path.steps[0]
    takes, _ = parameters(tool.schema)
    _, needs = parameters(reverser.schema)
    if given not in takes:
        return ""  # said already, as an expression that names nothing
    if name in needs and given not in certain_arguments(tool.schema):
        return f"is `{shown(text)}`, which may be left out, and `{reverser.name}` needs it"
    if len(path.steps) > 1:
        return ""
    member: Schema = tool.schema["properties"][given]  # type: ignore[index,call-overload,assignment]
    source, nullable = plain(member, tool.schema)
    target, may_be_null = plain(reverser.schema["properties"][name], reverser.schema)  # type: ignore[index,call-overload]
    kinds = json_kind(source), json_kind(target)
    if all(kinds) and kinds[0] != kinds[1] and kinds != ("integer", "number"):
        return f"is `{shown(text)}`, a value of type {kinds[0]}, not {kinds[1]}"
    if nullable and kinds[1] and not may_be_null:
        return f"is `{shown(text)}`, which may be null"
    values: JSON = source.get("enum", [source["const"]] if "const" in source else [])
    assert isinstance(values, (list, tuple))
    for value in values:
        if not fits(reverser.schema, name, value):
            return f"may be `{shown(str(value), 60)}`, which `{reverser.name}` does not take"
    return ""


def _undoes_itself(tool: Tool, tools: Mapping[str, Tool]) -> bool:
    """Whether an odd number of reversals comes back to the tool with its own arguments.

    Two of them do, in a pair that undoes each other: undone twice, it is done again. After an odd
    number, doing it would be its own undoing.
    """
    carried = {name: name for name in parameters(tool.schema)[0]}
    here, turns, seen = tool, 0, set[str]()
    while here.reverser is not None and here.reverser in tools and here.name not in seen:
        seen.add(here.name)
        following: dict[str, str] = {}
        for name, text in here.reverser_arguments.items():
            path = compile_path(text)
            if not isinstance(path, Path) or path.root != "args" or len(path.steps) != 1:
                return False
            if path.steps[0] not in carried:
                return False
            following[name] = carried[str(path.steps[0])]
        carried, here, turns = following, tools[here.reverser], turns + 1
        if here.name == tool.name:
            return turns % 2 == 1 and all(name == first for name, first in carried.items())
    return False
