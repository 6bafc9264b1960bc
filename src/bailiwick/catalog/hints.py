"""The JSON Schema of a Python function's parameters, from its type hints.

Hints may be str, int, float, bool, None, Literal, Enum, list, dict with text keys, unions,
TypedDict, msgspec.Struct, dataclass, Any, and Annotated with `msgspec.Meta` for constraints and
descriptions. A default that the schema cannot state is refused, because people would approve
arguments without it.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect as types

from bailiwick.catalog.problems import problem
from bailiwick.errors import CatalogError, NotDone
from bailiwick.nouns import ToolContext
from bailiwick.values import shown

CONTEXT = "context"

_SIMPLE = (types.AnyType, types.NoneType, types.BoolType, types.IntType, types.FloatType)
_FIELDED = (types.StructType, types.DataclassType, types.TypedDictType)


class Signature(msgspec.Struct, frozen=True):
    """A function's parameters: their schema, their hints, and whether it takes a `ToolContext`."""

    schema: Mapping[str, Any]
    hints: Mapping[str, Any]
    takes_context: bool


def signature_of(function: Callable[..., object], where: str) -> Signature:
    """Read a function's parameters. Raises `CatalogError` (`hint_unsupported`)."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _unsupported(where, "a tool returns one value, it does not yield")
    hints = _resolved(function, where)
    parameters = dict(inspect.signature(function).parameters)
    takes_context = parameters.get(CONTEXT) is not None and hints.get(CONTEXT) is ToolContext
    if takes_context:
        del parameters[CONTEXT]
    for name, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise _unsupported(where, f"`{name}` cannot be passed by its name")
        if name not in hints:
            raise _unsupported(where, f"`{name}` has no type hint")
        if hints[name] is ToolContext:
            raise _unsupported(where, f"the parameter that takes a ToolContext is `{CONTEXT}`")
    taken = {name: hints[name] for name in parameters}
    return Signature(_schema(parameters, taken, where), taken, takes_context)


def with_json(function: Callable[..., object], hints: Mapping[str, Any]) -> Callable[..., object]:
    """Wrap a function so that it takes JSON by keyword and returns JSON; async stays async.

    Arguments that a hint's own checks refuse raise `NotDone`: the function has not begun.
    """

    # The others are what they are in JSON, and the schema has been met.
    changed = {name: hint for name, hint in hints.items() if hint not in (str, int, bool)}

    def converted(arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {
                **arguments,
                **{
                    name: msgspec.convert(arguments[name], hint)
                    for name, hint in changed.items()
                    if name in arguments
                },
            }
        except msgspec.ValidationError as error:
            raise NotDone(f"the arguments do not fit the function: {error}") from error

    @functools.wraps(function)
    def call(**arguments: Any) -> object:
        return msgspec.to_builtins(function(**converted(arguments)))

    @functools.wraps(function)
    async def call_async(**arguments: Any) -> object:
        result: Any = function(**converted(arguments))
        return msgspec.to_builtins(await result)

    return call_async if inspect.iscoroutinefunction(function) else call


def _resolved(function: Callable[..., object], where: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise _unsupported(where, f"a type hint cannot be resolved: {error}") from None


def _schema(
    parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, Any], where: str
) -> dict[str, Any]:
    try:
        infos = types.multi_type_info(hints.values())
        for name, info in zip(hints, infos, strict=True):
            for reason in _reasons(info, set()):
                raise _unsupported(where, f"`{name}`: {reason}")
        described, components = msgspec.json.schema_components(
            hints.values(), ref_template="#/$defs/{name}"
        )
        properties = {
            name: _with_default(schema, parameters[name])
            for name, schema in zip(hints, described, strict=True)
        }
    except TypeError as error:
        raise _unsupported(where, str(error).splitlines()[0]) from None
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["required"] = [
        name for name, each in parameters.items() if each.default is inspect.Parameter.empty
    ]
    if components:
        schema["$defs"] = components
    opened: dict[str, Any] = _opened(schema)
    return opened


def _with_default(schema: dict[str, Any], parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is inspect.Parameter.empty:
        return schema
    return {**schema, "default": msgspec.to_builtins(parameter.default)}


def _opened(schema: Any) -> Any:
    """Say of `dict` without a type for its values that it takes any; it would be closed else."""
    if isinstance(schema, list):
        return [_opened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: _opened(each) for name, each in schema.items()}
    if result.get("type") == "object" and "properties" not in result:
        result.setdefault("additionalProperties", True)
    return result


def _reasons(info: types.Type, seen: set[type]) -> Iterator[str]:
    """Say why a tool cannot take this type."""
    match info:
        case types.Metadata(type=inner) | types.ListType(item_type=inner):
            yield from _reasons(inner, seen)
        case types.StrType() | types.LiteralType() | types.EnumType():
            pass
        case types.DictType(key_type=key, value_type=inner):
            if not isinstance(key, types.StrType | types.AnyType):
                yield "the keys of a dict are text"
            yield from _reasons(inner, seen)
        case types.UnionType(types=arms):
            if sum(isinstance(arm, _FIELDED) for arm in arms) > 1:
                yield "a union of several objects is not supported; use one with optional members"
            for arm in arms:
                yield from _reasons(arm, seen)
        case types.StructType() | types.DataclassType() | types.TypedDictType():
            if info.cls not in seen:
                seen.add(info.cls)
                yield from _hidden_defaults(info)
                for field in info.fields:
                    yield from _reasons(field.type, seen)
        case _ if not isinstance(info, _SIMPLE):
            yield f"`{type(info).__name__.removesuffix('Type').lower()}` has no one form in JSON"


def _hidden_defaults(
    info: types.StructType | types.DataclassType | types.TypedDictType,
) -> Iterator[str]:
    if isinstance(info, types.TypedDictType):
        return  # an absent member stays absent
    if isinstance(info, types.StructType) and info.array_like:
        yield f"`{info.cls.__name__}` is sent as an array; use an object"
        return
    (reference,), components = msgspec.json.schema_components([info.cls], ref_template="{name}")
    described = components[reference["$ref"]]
    for name, member in described["properties"].items():
        if name not in described["required"] and "default" not in member:
            yield f"the default of `{info.cls.__name__}.{name}` is made at run time; give a value"


def _unsupported(where: str, message: str) -> CatalogError:
    return problem(
        "hint_unsupported",
        where,
        shown(message, 300),
        "use text, numbers, booleans, lists, dicts, Literal, Enum, TypedDict or msgspec.Struct",
    )
