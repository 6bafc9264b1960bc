"""What is wrong with the files of a project, said all at once.

Loading never stops at the first problem: each becomes a `CatalogError` with its place (`where`),
and one `CatalogError` that lists them all is raised at the end.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar, get_args, get_origin

import msgspec

from bailiwick.errors import CatalogError
from bailiwick.values import did_you_mean, shown

S = TypeVar("S", bound=msgspec.Struct)


def problem(code: str, where: str, message: str, help: str = "") -> CatalogError:
    """Make one problem; `where` is the file and the path in it, or the tool's name."""
    return CatalogError(f"{where}: {message}", code=code, help=help, where=where)


def refuse(problems: Sequence[CatalogError]) -> None:
    """Raise one `CatalogError` for all problems, if there are any.

    Its code is theirs if they share one, else `tool_invalid`; `details["problems"]` lists them as
    code, where, message and help.
    """
    if not problems:
        return
    codes = {each.code for each in problems}
    raise CatalogError(
        "; ".join(each.message for each in problems),
        code=codes.pop() if len(codes) == 1 else CatalogError.code,
        help="; ".join(dict.fromkeys(each.help for each in problems if each.help)),
        problems=[
            {
                "code": each.code,
                "where": each.details.get("where", ""),
                "message": each.message,
                "help": each.help,
            }
            for each in problems
        ],
    )


def unknown_members(value: object, kind: object, where: str) -> list[CatalogError]:
    """List the members that no field of `kind` takes, at every level; `kind` is a type hint."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _of_struct(value, kind, where)
    arms = get_args(kind)
    found: list[CatalogError] = []
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found += unknown_members(item, arms[0], f"{where}[{index}]")
    elif isinstance(value, Mapping) and _is_mapping(kind):
        for name, item in value.items():
            found += unknown_members(item, arms[1], f"{where}.{name}")
    elif get_origin(kind) is not tuple and not _is_mapping(kind):
        for arm in arms:
            found += unknown_members(value, arm, where)
    return found


def read_as(value: object, kind: type[S], where: str) -> S:
    """Read plain data as a Struct. Raises `CatalogError` for the first member of a wrong type."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        raise problem(
            "member_missing" if "missing required field" in text else "member_invalid",
            where,
            text[0].lower() + text[1:],
        ) from None


def _of_struct(value: object, kind: type[msgspec.Struct], where: str) -> list[CatalogError]:
    if not isinstance(value, Mapping):
        return []
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    found = [_unknown(str(name), fields, where) for name in value if name not in fields]
    for name, hint in fields.items():
        if name in value:
            found += unknown_members(value[name], hint, f"{where}.{name}")
    return found


def _unknown(name: str, known: Collection[str], where: str) -> CatalogError:
    return problem(
        "member_unknown",
        where,
        f"there is no member `{shown(name)}`",
        did_you_mean(name, known, f"known are {', '.join(sorted(known))}"),
    )


def _is_mapping(kind: object) -> bool:
    origin = get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)
