"""What a request gives, as the struct of its row; everything wrong with it has a code and a place.

A body is JSON, parsed strictly once (no duplicate names, no NaN, bounded depth); a query has each
name once, but lists. Both and the path become one struct.
"""

import re
from collections.abc import Mapping
from typing import Any, get_origin

import msgspec
from starlette.requests import ClientDisconnect, Request

from bailiwick.errors import BadInput
from bailiwick.server.problems import BadRequest
from bailiwick.server.rest.given import Given
from bailiwick.server.rest.rows import RestRow
from bailiwick.values import JSON, parse, shown

_PLACE = re.compile(r"\s*- at `\$(?:\.([A-Za-z0-9_]+))?[^`]*`\Z")
_NAMED = re.compile(r"field `([A-Za-z0-9_]+)`")


async def read(row: RestRow, request: Request) -> Given:
    """What is given with a request. Raises `BadRequest` (400, 413, 415, 422)."""
    told: dict[str, JSON] = {}
    if row.has_body:
        told |= await body_of(request, row.body_bytes)
    elif request.method in ("GET", "HEAD", "DELETE"):
        told |= _query(row, request)
    for name, value in request.path_params.items():
        if name in told:
            raise BadRequest(
                422, f"`{name}` stands in the path", code="parameter_invalid", param=name
            )
        told[name] = value
    return converted(told, row.given, strict=row.has_body)


async def body_of(request: Request, max_bytes: int) -> dict[str, JSON]:
    """The JSON object of a body; empty if there is none. Raises `BadRequest` (400, 413, 415)."""
    raw = await bytes_of(request, max_bytes)
    if not raw:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(
            415,
            "the body is not `application/json`",
            code="media_type_unsupported",
            help="send JSON, and say so in `Content-Type`",
        )
    try:
        return dict(parse(raw, max_bytes=max_bytes))
    except BadInput as fault:
        raise BadRequest(400, fault.message, code=fault.code, help=fault.help) from fault


async def bytes_of(request: Request, max_bytes: int) -> bytes:
    """The bytes of a body. Raises `BadRequest` (400, 413)."""
    length = request.headers.get("content-length", "0")
    found = bytearray()
    if length.isdecimal() and len(length) < 16 and int(length) <= max_bytes:
        try:
            async for chunk in request.stream():
                found += chunk
                if len(found) > max_bytes:
                    break
            else:
                return bytes(found)
        except ClientDisconnect:
            raise BadRequest(400, "the body broke off", code="body_malformed") from None
    raise BadRequest(
        413,
        f"the body has more than {max_bytes} bytes",
        code="body_too_large",
        help="send less, or in parts",
    )


def _query(row: RestRow, request: Request) -> dict[str, JSON]:
    hints = {field.name: field.type for field in msgspec.structs.fields(row.given)}
    told: dict[str, JSON] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        if name not in hints or name in row.in_path:
            raise BadRequest(
                422,
                f"there is no parameter `{shown(name)}` here",
                code="parameter_unknown",
                help=f"known are {', '.join(each for each in hints if each not in row.in_path)}",
                param=shown(name),
            )
        if is_list(hints[name]):
            told[name] = tuple(values)
        elif len(values) > 1:
            raise BadRequest(422, f"`{name}` is given twice", code="parameter_invalid", param=name)
        else:
            told[name] = values[0]
    return told


def is_list(hint: Any) -> bool:
    """Whether a parameter may be given more than once."""
    bare = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    return get_origin(bare) is tuple


def converted(told: Mapping[str, JSON], shape: type[Given], *, strict: bool) -> Given:
    """A struct of what was told. Raises `BadRequest` 422 with the member it is about in `param`."""
    try:
        return msgspec.convert(parse(dict(told), max_bytes=2**26), shape, strict=strict)
    except BadInput as fault:
        raise BadRequest(422, fault.message, code=fault.code, help=fault.help) from fault
    except msgspec.ValidationError as fault:
        said = str(fault)
        place, named = _PLACE.search(said), _NAMED.search(said)
        param = (place[1] if place else None) or (named[1] if named else "")
        said = shown(_PLACE.sub("", said), 300)
        raise BadRequest(
            422,
            f"`{param}`: {said}" if param else said,
            code="parameter_invalid",
            help="see /v1/openapi.json for what is taken",
            param=param,
        ) from None
