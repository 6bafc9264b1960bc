"""The Cedar schema of a release: what a rule may name, generated from the catalogue.

Every tool becomes an action in the groups of its effect and traits; its facts and its typed
arguments become the action's context. What has no Cedar type is left out by name.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from bailiwick.nouns import Tool
from bailiwick.policy.findings import Finding
from bailiwick.values import JSON
from bailiwick.vocabulary import GROUPS, RUNTIME_FACTS, STANDARD_FACTS, TRAIT_FACTS

LONG, STRING, BOOL, STRINGS = "Long", "String", "Bool", "Set<String>"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = re.compile(
    "Action|Agent|ApprovalsByRule|Bool|Boolean|Entity|Extension|Long|Record|Set|String|datetime"
    "|decimal|duration|else|false|has|if|in|ipaddr|is|like|then|true|__.*"
)


class Field(Struct, frozen=True):
    """An attribute: its Cedar type, or its members where it is a record, and if it is always there.

    A request without a required attribute does not fit.
    """

    type: "str | Mapping[str, Field]"
    required: bool = True


Fields = Mapping[str, Field]

OWN_FACTS: Fields = {name: Field(kind) for name, kind in RUNTIME_FACTS.items()}
PRINCIPAL: Fields = {"owner": Field(STRING), "tenant": Field(STRING)}
_SURROUNDINGS: Fields = {
    "run": Field({"id": Field(STRING)}),
    "subject": Field({"id": Field(STRING)}),
    "provenance": Field({"sources": Field(STRINGS)}),
    # UTC; `weekday` is 1 for Monday to 7 for Sunday (ISO 8601).
    "time": Field({"now_us": Field(LONG), "hour": Field(LONG), "weekday": Field(LONG)}),
    "mode": Field(STRING),  # shadow, read-only, draft or live
}


class Shape(Struct, frozen=True, kw_only=True):
    """A tool as a rule sees it. `left_out` names its arguments that have no Cedar type."""

    tool: Tool
    groups: tuple[str, ...]
    facts: Fields
    input: Fields
    context: Fields
    left_out: tuple[str, ...]

    def lookup(self, path: tuple[str, ...]) -> Field | None:
        """The attribute of the context at a path; None if the action declares none there."""
        return lookup(self.context, path)


def lookup(fields: Fields, path: tuple[str, ...]) -> Field | None:
    """The attribute at a path, required only if it is always there; None if none is declared."""
    found = Field(fields)
    required = True
    for name in path:
        member = None if isinstance(found.type, str) else found.type.get(name)
        if member is None:
            return None
        found, required = member, required and member.required
    return Field(found.type, required)


def shape_of(tool: Tool, gates: Collection[str]) -> tuple[Shape, list[Finding]]:
    """Give a tool's shape and what is wrong with it. `gates` are the rules people may satisfy."""
    findings = [_finding(tool, *wrong) for wrong in _wrong_with(tool)]
    facts: dict[str, Field] = {}
    for name in tool.facts:
        declared = tool.fact_types.get(name) or STANDARD_FACTS.get(name)
        if declared in (LONG, STRING, BOOL, STRINGS):
            facts[name] = Field(declared)
    left_out: list[str] = []
    input_ = _fields(tool.input_type, "", left_out)
    left_out += _without_type(tool.schema, input_, "")
    context: Fields = {
        "facts": Field({**facts, **OWN_FACTS}),
        "input": Field(input_),
        **_SURROUNDINGS,
        "approvals": Field({gate: Field(BOOL, required=False) for gate in sorted(gates)}),
    }
    shape = Shape(
        tool=tool,
        groups=(tool.effect, *tool.traits),
        facts=facts,
        input=input_,
        context=context,
        left_out=tuple(sorted(set(left_out))),
    )
    return shape, findings


def schema_text(shapes: Iterable[Shape], gates: Collection[str]) -> str:
    """Write the Cedar schema, in the form people read."""
    shapes = list(shapes)
    resources = sorted({shape.tool.resource_type for shape in shapes})
    approvals = {gate: Field(BOOL, required=False) for gate in sorted(gates)}
    parts = [
        "// Generated from the catalogue.",
        f"type ApprovalsByRule = {_record(approvals, '')};",
        f"entity Agent = {_record(PRINCIPAL, '')};",
        *(f"entity {name};" for name in resources),
        f"action {', '.join(map(quoted, GROUPS))};",
        *(_action(shape) for shape in shapes),
    ]
    return "\n\n".join(parts) + "\n"


def quoted(text: str) -> str:
    r"""Write a text as a Cedar string literal; all but printable ASCII as `\u{…}`."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return char if char.isascii() and char.isprintable() else f"\\u{{{ord(char):x}}}"


def _action(shape: Shape) -> str:
    members = [
        f"    {name}: {_type(field, '    ')},"
        for name, field in shape.context.items()
        if name != "approvals"
    ]
    return "\n".join(
        [
            f"action {quoted(shape.tool.name)} in [{', '.join(map(quoted, shape.groups))}]"
            " appliesTo {",
            f"  principal: Agent, resource: {shape.tool.resource_type},",
            "  context: {",
            *members,
            "    approvals: ApprovalsByRule,",
            "  }",
            "};",
        ]
    )


def _type(field: Field, indent: str) -> str:
    return field.type if isinstance(field.type, str) else _record(field.type, indent)


def _record(fields: Fields, indent: str) -> str:
    members = [
        f"{quoted(name)}{'' if field.required else '?'}: {_type(field, indent + '  ')}"
        for name, field in fields.items()
    ]
    one_line = "{" + ", ".join(members) + "}"
    if len(indent) + len(one_line) <= 80:
        return one_line
    return "{\n" + "".join(f"{indent}  {member},\n" for member in members) + indent + "}"


def _wrong_with(tool: Tool) -> Iterable[tuple[str, str]]:
    if tool.name in GROUPS:
        yield "is named like a group of actions", f"rename it; {', '.join(GROUPS)} are groups"
    kind = tool.resource_type
    if not _NAME.fullmatch(kind) or _RESERVED.fullmatch(kind):
        yield (
            f"has the resource type `{kind}`, which cannot name a Cedar entity",
            "use letters, digits and underscores, and no word of Cedar or of the schema",
        )
    for trait in tool.traits:
        for name in TRAIT_FACTS.get(trait, ()):
            if name not in tool.facts:
                yield (
                    f"has the trait {trait} but not its fact `{name}`",
                    f"declare `{name}` under `facts`, so that rules over {trait} hold for it",
                )
    for name in tool.facts:
        yield from _wrong_with_fact(name, tool.fact_types.get(name), STANDARD_FACTS.get(name))


def _wrong_with_fact(
    name: str, declared: str | None, known: str | None
) -> Iterable[tuple[str, str]]:
    if name in OWN_FACTS:
        yield f"declares the fact `{name}`, which the runtime gives", "remove it"
    elif not _NAME.fullmatch(name):
        yield f"has a fact `{name}`, which is no name", "use letters, digits and underscores"
    elif declared is None and known is None:
        yield (
            f"has a fact `{name}` of unknown type",
            "declare its type: Long, String, Bool or Set<String>",
        )
    elif known is not None and declared not in (None, known):
        yield f"declares the fact `{name}` as {declared}", f"`{name}` is {known} for every tool"
    elif (declared or known) not in (LONG, STRING, BOOL, STRINGS):
        yield f"declares the fact `{name}` as {declared}", "use Long, String, Bool or Set<String>"


def _finding(tool: Tool, reason: str, help: str) -> Finding:
    return Finding(file="tools", rule=tool.name, reason=f"the tool {reason}", help=help)


def _fields(attributes: Mapping[str, JSON], where: str, left_out: list[str]) -> dict[str, Field]:
    """Read Cedar JSON schema attributes; what is none of our types goes to `left_out`."""
    fields: dict[str, Field] = {}
    for name, attribute in attributes.items():
        kind = None
        if isinstance(attribute, Mapping) and not name.startswith("__"):
            kind = _kind(attribute, f"{where}{name}.", left_out)
        if kind is None or not isinstance(attribute, Mapping):
            left_out.append(where + name)
        else:
            fields[name] = Field(kind, attribute.get("required", True) is not False)
    return fields


def _kind(
    attribute: Mapping[str, JSON], where: str, left_out: list[str]
) -> str | Mapping[str, Field] | None:
    match attribute:
        case {"type": "Long" | "String" | "Bool" as kind}:
            return str(kind)
        case {"type": "Boolean"}:
            return BOOL
        case {"type": "Set", "element": {"type": "String"}}:
            return STRINGS
        case {"type": "Record", "attributes": Mapping() as members}:
            return _fields(members, where, left_out)
        case _:
            return None


def _without_type(schema: Mapping[str, JSON], fields: Fields, where: str) -> list[str]:
    """The properties of a JSON Schema for which there is no field, by dotted name."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return []
    names: list[str] = []
    for name, inner in properties.items():
        field = fields.get(name)
        if field is None:
            names.append(where + name)
        elif not isinstance(field.type, str) and isinstance(inner, Mapping):
            names += _without_type(inner, field.type, f"{where}{name}.")
    return names
