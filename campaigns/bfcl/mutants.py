"""Calls that are nearly right, and must all be refused."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from campaigns.bfcl.material import Call, Material, Task
from campaigns.bfcl.project import named

# For each type of a document, values that it does not take.
_WRONG: Mapping[str, tuple[Any, ...]] = {
    "string": (7, ["text"], None),
    "integer": ("7", 1.5, True, None),
    "float": ("1.5", True, None),
    "boolean": ("true", 1, None),
    "array": ("text", {"0": "text"}, None),
    "dict": ("text", ["text"], None),
}


class Mutant(NamedTuple):
    """A call that must be refused: in which way it is wrong, its tool and its arguments."""

    kind: str
    tool: str
    arguments: Mapping[str, Any]


def mutants(material: Material, task: Task, call: Call) -> Iterator[Mutant]:
    """Every mutant of a call of a task."""
    tool, given = named(call.api, call.method), call.arguments
    parameters = material.documents[call.api][call.method]["parameters"]
    takes, required = parameters["properties"], parameters["required"]
    for name in required:
        left = {each: value for each, value in given.items() if each != name}
        yield Mutant("missing", tool, left)
    for name in given:
        for kind, value in _wrong(takes[name], optional=name not in required):
            yield Mutant(kind, tool, {**given, name: value})
    yield Mutant("extra", tool, {**given, "surprise": "text"})
    yield Mutant("unknown_tool", f"{tool}_all", given)
    other = next(api for api in material.apis if api not in task.apis)
    yield Mutant("not_granted", named(other, min(material.documents[other])), {})


def _wrong(schema: Mapping[str, Any], *, optional: bool) -> Iterator[tuple[str, Any]]:
    kind = schema["type"]
    for value in _WRONG[kind]:
        if value is not None or not optional:
            yield "wrong_type", value
    if kind == "array":
        yield "wrong_member", [_WRONG[schema["items"]["type"]][0]]
    for name, within in schema.get("properties", {}).items():
        yield "wrong_member", {name: _WRONG[within["type"]][0]}
    if kind == "dict":
        yield "wrong_member", {"surprise": "text"}
