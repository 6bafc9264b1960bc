"""Which classes of data an action handles: those of the arguments it is given and of what it shows.

A class is a name of the project's own, such as `customer` or `health`. A tool says with
`data_classes` what its answers hold, and its schema with `x-data-class` what an argument holds.
What is marked anywhere within an argument counts whenever that argument is given: rather too much
than too little.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bailiwick.catalog.problems import problem
from bailiwick.catalog.schemas import Schema, resolve
from bailiwick.errors import CatalogError
from bailiwick.nouns import Tool
from bailiwick.values import JSON, shown

KEYWORD = "x-data-class"

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def argument_classes(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Give the classes marked in a schema by argument; what stands outside them, by no name."""
    root = {name: each for name, each in schema.items() if name not in ("properties", "$defs")}
    places: dict[str, Any] = {"": root, **schema.get("properties", {})}
    found = {name: sorted(set(_marks(each, schema, set()))) for name, each in places.items()}
    return {name: tuple(marks) for name, marks in found.items() if marks}


def class_problems(declared: tuple[str, ...], schema: Schema, where: str) -> Iterator[CatalogError]:
    """Say which of a tool's and its schema's classes are no names."""
    marked = (name for names in argument_classes(schema).values() for name in names)
    for name in sorted({*declared, *marked}):
        if not _NAME.fullmatch(name):
            yield problem(
                "data_class_invalid",
                where,
                f"`{shown(name, 60)}` cannot name a class of data",
                f"write one lower-case name, or a list of them, such as `{KEYWORD}: customer`",
            )


def classes_of(tool: Tool, arguments: Mapping[str, JSON]) -> tuple[str, ...]:
    """Give the classes of the arguments given and, for a read, of what it shows, sorted."""
    found = set(tool.data_classes if tool.effect == "read" else ())
    for name, classes in tool.argument_classes.items():
        if not name or arguments.get(name) is not None:
            found.update(classes)
    return tuple(sorted(found))


def _marks(value: Any, root: Schema, seen: set[str]) -> Iterator[str]:
    """Every class named anywhere in a part of a schema, through its references."""
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _marks(each, root, seen)
    if not isinstance(value, Mapping):
        return
    for keyword, each in value.items():
        if keyword == KEYWORD:
            yield from map(str, each if isinstance(each, (list, tuple)) else [each])
        elif keyword == "$ref" and isinstance(each, str):
            if each not in seen:
                seen.add(each)
                yield from _marks(resolve(each, root), root, seen)
        else:
            yield from _marks(each, root, seen)
