"""JSON Schema 2020-12 of a tool's arguments: closed, bounded, local, and compiled once.

An object that does not say otherwise takes no members but its own. A keyword that is not known is
an error, since JSON Schema would ignore it in silence. Patterns run in linear time, formats are
asserted, and nothing is ever fetched.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal
from urllib.parse import unquote

import jsonschema_rs
from msgspec import Struct

from bailiwick.catalog.problems import problem
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import Refusal
from bailiwick.values import JSON, canonical, did_you_mean, parse, shown

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MAX_SCHEMA_BYTES = 64 * 1024
MAX_PROBLEMS = 5
_MAX_NAMED = 20

# How many subschemas may have to be tried for one value; references can multiply them.
_MAX_WEIGHT = 1000
# Above this a refusal names one problem: to name several, the validator first collects them all.
_MAX_LISTED_BYTES = 16 * 1024

_IN_PLACE = frozenset({"not", "if", "then", "else"})
_BRANCHES = frozenset({"allOf", "anyOf", "oneOf"})
_LISTED = _BRANCHES | {"prefixItems"}
_NAMED = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})
_SINGLE = _IN_PLACE | {
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "propertyNames",
}
_PLAIN = frozenset(
    """
    $ref $schema $anchor $comment title description default deprecated examples readOnly writeOnly
    type enum const format contentEncoding contentMediaType pattern minLength maxLength
    minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
    minItems maxItems uniqueItems minContains maxContains
    required dependentRequired minProperties maxProperties
    """.split()  # noqa: SIM905 - a list of thirty lines would be harder to read
)
_KEYWORDS = _PLAIN | _SINGLE | _LISTED | _NAMED
# With one of these beside it, `additionalProperties` would not see the members they describe.
_COMPOSED = _BRANCHES | {"$ref", "if", "dependentSchemas"}
# Subschemas of these describe an object only in part: its members are closed, itself is not.
_PARTIAL = _BRANCHES | {"then", "else", "$defs", "dependentSchemas"}
# And these only test it: closed, they would no longer apply where their author meant them to.
_TESTS = frozenset({"if", "not", "contains", "propertyNames"})

_META_SCHEMA = jsonschema_rs.Draft202012Validator({"$ref": DIALECT}, offline=True)

# A schema that the meta-schema has accepted, so that its keywords have the shapes they must have.
Schema = Mapping[str, Any]


class ArgumentSchema(Struct, frozen=True):
    """A compiled schema: `schema` as closed and checked, and what judges arguments by it.

    `defaults` are those of the arguments themselves; `deep` says that there are others within.
    """

    schema: Schema
    validator: jsonschema_rs.Draft202012Validator
    defaults: tuple[tuple[str, Any], ...]
    deep: bool


def compile_schema(schema: object, where: str) -> ArgumentSchema:
    """Close, check and compile the schema of a tool's arguments.

    Raises `CatalogError`: `schema_remote_reference` for a reference that leaves the document,
    `schema_keyword_unknown`, `schema_not_object`, `schema_too_large`, `schema_default_incomplete`
    or `schema_invalid`.
    """
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        raise problem(
            "schema_not_object",
            where,
            "the parameters are not an object schema",
            "write `type: object` with `properties`",
        )
    try:
        copied = parse(schema, max_bytes=MAX_SCHEMA_BYTES)
    except BadInput as error:
        too_large = error.code in ("arguments_too_large", "arguments_too_deep")
        code = "schema_too_large" if too_large else "schema_invalid"
        raise problem(code, where, f"the schema cannot be read: {error.message}") from None
    try:
        _META_SCHEMA.validate(copied)
    except jsonschema_rs.ValidationError as error:
        raise _invalid(error, where) from None
    closed = _closed(copied, where, "whole")
    weights: dict[str, int] = {}
    for each in _subschemas(closed):
        if _weight(each, closed, (where,), weights) > _MAX_WEIGHT:
            raise problem("schema_too_large", where, "the schema's alternatives multiply")
    validator = _compiled(closed, where)
    _check_defaults(closed, where)
    own = tuple(
        (name, member["default"])
        for name, member in closed.get("properties", {}).items()
        if isinstance(member, Mapping) and "default" in member
    )
    return ArgumentSchema(closed, validator, own, deep=len(list(_defaults(closed))) > len(own))


def parameters(schema: Schema) -> tuple[frozenset[str], frozenset[str]]:
    """Name the arguments a tool takes, and those of them that a caller must give."""
    takes = schema.get("properties", {})
    needs = frozenset(schema.get("required", ())) - _with_default(schema)
    return frozenset(takes), needs


def certain_arguments(schema: Schema) -> frozenset[str]:
    """Name the arguments that are always there once defaults are filled."""
    return _with_default(schema).union(schema.get("required", ()))


def fits(schema: Schema, name: str, value: JSON) -> bool:
    """Say whether a value may be the argument of this name, whatever the others are."""
    kept = {each: schema[each] for each in ("properties", "$defs") if each in schema}
    return _compiled(kept, name).is_valid({name: value})


def filled(schema: ArgumentSchema, arguments: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Give the arguments with absent members filled by their defaults, at every depth."""
    if schema.deep:
        result: Mapping[str, JSON] = _filled(arguments, schema.schema, schema.schema)
        return result
    absent = {name: value for name, value in schema.defaults if name not in arguments}
    return {**arguments, **absent} if absent else arguments


def judge(schema: ArgumentSchema, arguments: Mapping[str, JSON]) -> Refusal | None:
    """Say what is wrong with the arguments, if anything: at most five problems, by JSON Pointer."""
    if schema.validator.is_valid(arguments):
        return None
    found = _problems(schema, arguments)
    listed = [{"pointer": _pointer(error), "message": _message(error)} for error in found]
    hints = [hint for error in found if (hint := _hint(error, schema.schema))]
    return Refusal(
        step=4,
        code="arguments_invalid",
        message="; ".join(f"`{each['pointer'] or '/'}`: {each['message']}" for each in listed),
        help="; ".join(hints) or "compare the arguments with the tool's schema",
        details={"problems": listed},
    )


def resolve(reference: str, root: Schema) -> Any:
    """Follow a local reference (RFC 6901 in a fragment). Raises `KeyError` if it leads nowhere."""
    place: Any = root
    for token in reference.removeprefix("#").split("/")[1:]:
        name = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(place, list):
            place = {str(index): item for index, item in enumerate(place)}
        if not isinstance(place, dict):
            raise KeyError(name)
        place = place[name]
    return place


def plain(schema: Any, root: Schema) -> tuple[Schema, bool]:
    """Give the schema that says what a value is, behind references and beside null.

    The second part tells whether the value may also be null. What is a union of several types, or
    says nothing, comes back as it is.
    """
    nullable = False
    while isinstance(schema, Mapping) and "type" not in schema:
        if "$ref" in schema:
            schema = resolve(schema["$ref"], root)
            continue
        options = schema.get("anyOf", schema.get("oneOf", ()))
        others = [each for each in options if each != {"type": "null"}]
        if len(others) != 1:
            break
        nullable = nullable or len(others) < len(options)
        schema = others[0]
    if not isinstance(schema, Mapping):
        return {}, nullable
    return schema, nullable or "null" in schema.get("type", ()) or None in schema.get("enum", ())


def json_kind(schema: Schema) -> str:
    """Name the one JSON type beside null that a schema allows; empty if there are several."""
    listed = schema.get("type", ())
    kinds = {listed} if isinstance(listed, str) else set(listed)
    if not kinds:
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        names = {str: "string", int: "integer", bool: "boolean"}
        kinds = {names.get(type(value), "") for value in values if value is not None}
    kinds.discard("null")
    return kinds.pop() if len(kinds) == 1 else ""


def _with_default(schema: Schema) -> frozenset[str]:
    members = schema.get("properties", {})
    return frozenset(
        name for name, each in members.items() if isinstance(each, Mapping) and "default" in each
    )


def _closed(schema: Any, where: str, role: Literal["whole", "part", "test"]) -> Any:
    """Copy a schema with its objects closed; `role` is what it says of the value it meets."""
    if not isinstance(schema, Mapping):
        return schema
    _check_keywords(schema, where)
    result: dict[str, Any] = {}
    for keyword, value in schema.items():
        inner: Literal["whole", "part", "test"] = "part" if keyword in _PARTIAL else "whole"
        if role == "test" or keyword in _TESTS:
            inner = "test"
        if keyword in _NAMED:
            result[keyword] = {
                name: _closed(each, f"{where}.{keyword}.{name}", inner)
                for name, each in value.items()
            }
        elif keyword in _LISTED:
            result[keyword] = [
                _closed(each, f"{where}.{keyword}[{index}]", inner)
                for index, each in enumerate(value)
            ]
        elif keyword in _SINGLE:
            result[keyword] = _closed(value, f"{where}.{keyword}", inner)
        else:
            result[keyword] = value
    if role == "whole" and not result.keys() & {"additionalProperties", "unevaluatedProperties"}:
        if result.keys() & _COMPOSED:
            result["unevaluatedProperties"] = False
        elif "object" in result.get("type", ()) or "properties" in result:
            result["additionalProperties"] = False
    return result


def _check_keywords(schema: Schema, where: str) -> None:
    for keyword, value in schema.items():
        if keyword not in _KEYWORDS and not keyword.startswith("x-"):
            raise problem(
                "schema_keyword_unknown",
                where,
                f"`{shown(keyword)}` is not a keyword that a tool's schema may use",
                did_you_mean(keyword, _KEYWORDS, "write `x-` before a keyword of your own"),
            )
        if keyword == "$ref" and not re.match(r"#(/|$)", value):
            raise problem(
                "schema_remote_reference",
                where,
                f"`$ref` to `{shown(value)}` leaves the document",
                "copy what it refers to under `$defs` and refer to `#/$defs/…`",
            )
        if keyword == "$schema" and value.removesuffix("#") != DIALECT:
            raise problem("schema_invalid", where, "`$schema` is not JSON Schema 2020-12", DIALECT)


def _subschemas(schema: Any) -> Iterator[Schema]:
    """All schemas in a schema, itself first."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, value in schema.items():
        below: Iterable[Any] = ()
        if keyword in _NAMED:
            below = value.values()
        elif keyword in _LISTED:
            below = value
        elif keyword in _SINGLE:
            below = [value]
        for each in below:
            yield from _subschemas(each)


def _weight(schema: Any, root: Schema, trail: tuple[str, ...], weights: dict[str, int]) -> int:
    """Count the schemas that may be tried for one value.

    `trail` is the tool's place and the references on the way here, `weights` remembers theirs.
    """
    if not isinstance(schema, Mapping):
        return 1
    total = 1
    for keyword, value in schema.items():
        if keyword == "$ref":
            total += _weight_behind(value, root, trail, weights)
        elif keyword in _IN_PLACE:
            total += _weight(value, root, trail, weights)
        elif keyword in _BRANCHES or keyword == "dependentSchemas":
            several = value.values() if isinstance(value, Mapping) else value
            total += sum(_weight(each, root, trail, weights) for each in several)
    return total


def _weight_behind(
    reference: str, root: Schema, trail: tuple[str, ...], weights: dict[str, int]
) -> int:
    if reference in trail:
        raise problem("schema_invalid", trail[0], f"`{shown(reference)}` refers to itself")
    if reference not in weights:
        try:
            target = resolve(reference, root)
        except KeyError:
            message = f"`{shown(reference)}` leads nowhere"
            raise problem("schema_invalid", trail[0], message) from None
        weights[reference] = _weight(target, root, (*trail, reference), weights)
    return weights[reference]


def _compiled(schema: Schema, where: str) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema),
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
            ignore_unknown_formats=False,
            mask="the value",
        )
    except jsonschema_rs.ValidationError as error:
        raise _invalid(error, where) from None


def _invalid(error: jsonschema_rs.ValidationError, where: str) -> CatalogError:
    return problem(
        "schema_invalid",
        where,
        f"the schema does not hold: {_pointer(error)} {shown(error.message, 300)}",
        "patterns may not look around or refer back; formats are those of JSON Schema",
    )


def _defaults(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for each in _subschemas(schema):
        for name, member in each.get("properties", {}).items():
            if isinstance(member, Mapping) and "default" in member:
                yield name, member


def _check_defaults(schema: Schema, where: str) -> None:
    for name, member in _defaults(schema):
        if _filled(member["default"], member, schema) != member["default"]:
            raise problem(
                "schema_default_incomplete",
                where,
                f"the default of `{shown(name)}` has defaults of its own",
                "write the default whole",
            )


def _filled(value: Any, schema: Any, root: Schema) -> Any:
    if isinstance(value, Mapping):
        described, _ = plain(schema, root)
        properties, others = described.get("properties", {}), described.get("additionalProperties")
        result = {
            name: _filled(member, properties.get(name, others), root)
            for name, member in value.items()
        }
        for name, member in properties.items():
            if name not in result and isinstance(member, Mapping) and "default" in member:
                result[name] = member["default"]
        return result
    if isinstance(value, (list, tuple)):
        items = plain(schema, root)[0].get("items")
        return [_filled(item, items, root) for item in value]
    return value


def _problems(
    schema: ArgumentSchema, arguments: Mapping[str, JSON]
) -> list[jsonschema_rs.ValidationError]:
    if len(canonical(arguments)) <= _MAX_LISTED_BYTES:
        return list(islice(schema.validator.iter_errors(arguments), MAX_PROBLEMS))
    try:
        schema.validator.validate(arguments)
    except jsonschema_rs.ValidationError as error:
        return [error]
    return []


def _pointer(error: jsonschema_rs.ValidationError) -> str:
    path: Sequence[str | int] = error.instance_path
    return shown("".join(f"/{str(token).replace('~', '~0').replace('/', '~1')}" for token in path))


def _message(error: jsonschema_rs.ValidationError) -> str:
    text: str = error.message[0].lower() + error.message[1:]
    value = error.instance
    if not isinstance(value, (dict, list)):
        text += f": `{shown(value if isinstance(value, str) else repr(value), 60)}`"
    return shown(text, 300)


def _hint(error: jsonschema_rs.ValidationError, schema: Schema) -> str:
    kinds = jsonschema_rs.ValidationErrorKind
    if not isinstance(error.kind, (kinds.AdditionalProperties, kinds.UnevaluatedProperties)):
        return ""
    known = {name for each in _subschemas(schema) for name in each.get("properties", {})}
    takes = f"it takes {', '.join(sorted(known)[:_MAX_NAMED])}" if known else "it takes nothing"
    hints = (did_you_mean(name, known) for name in error.kind.unexpected[:MAX_PROBLEMS])
    return next(filter(None, hints), shown(takes, 500))
