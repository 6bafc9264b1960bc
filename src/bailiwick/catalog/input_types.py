"""Which arguments a rule can read: those whose JSON Schema has a Cedar type.

Text is `String`, an integer is `Long`, a boolean is `Bool`, an array of text is `Set<String>`, an
object with named members is a record of those that have a type. One that may also be null is an
optional attribute, absent when null. Everything else (other numbers and arrays, unions, free
objects) has no Cedar type and is left out by name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bailiwick.catalog.schemas import Schema, json_kind, plain
from bailiwick.nouns import Tool
from bailiwick.values import JSON

# What is nested deeper is left out; a recursive schema has no Cedar type.
_MAX_DEPTH = 8

Attributes = Mapping[str, Any]
Plan = tuple[tuple[str, "Plan | None"], ...]


def input_attributes(schema: Schema) -> Attributes:
    """Give the Cedar JSON schema attributes of the arguments that have a Cedar type, by name."""
    return _attributes(schema, schema, _MAX_DEPTH)


def left_out(tool: Tool) -> tuple[str, ...]:
    """Name the tool's arguments that no rule can read, nested ones as `outer.inner`, sorted."""
    return tuple(sorted(_untyped(tool.schema, tool.input_type, tool.schema)))


def projection(attributes: Attributes) -> Plan:
    """Turn attributes into the plan by which `project` picks them out of arguments."""
    return tuple(
        (name, projection(each["attributes"]) if each["type"] == "Record" else None)
        for name, each in attributes.items()
    )


def project(picks: Plan, value: Mapping[str, JSON]) -> dict[str, JSON]:
    """Pick the members that have a Cedar type; what is absent or null is left out."""
    picked: dict[str, JSON] = {}
    for name, inner in picks:
        member: Any = value.get(name)
        if member is not None:
            picked[name] = member if inner is None else project(inner, member)
    return picked


def _attributes(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, member in schema.get("properties", {}).items():
        described, nullable = plain(member, root)
        typed = _type(described, root, depth)
        if typed is not None:
            given = name in schema.get("required", ()) or "default" in member
            found[name] = {**typed, "required": given and not nullable}
    return found


def _type(schema: Schema, root: Schema, depth: int) -> dict[str, Any] | None:
    match json_kind(schema):
        case "string":
            return {"type": "String"}
        case "integer":
            return {"type": "Long"}
        case "boolean":
            return {"type": "Bool"}
        case "array" if "prefixItems" not in schema:
            items, nullable = plain(schema.get("items", {}), root)
            if json_kind(items) == "string" and not nullable:
                return {"type": "Set", "element": {"type": "String"}}
        case "object" if depth > 1 and "properties" in schema:
            return {"type": "Record", "attributes": _attributes(schema, root, depth - 1)}
    return None


def _untyped(schema: Schema, attributes: Attributes, root: Schema) -> Iterator[str]:
    for name, member in schema.get("properties", {}).items():
        if name not in attributes:
            yield name
        elif "attributes" in attributes[name]:
            inner = plain(member, root)[0]
            below = _untyped(inner, attributes[name]["attributes"], root)
            yield from (f"{name}.{each}" for each in below)
    if schema.get("additionalProperties", False) is not False:
        yield "*"
