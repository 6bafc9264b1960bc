"""The HTTP request of a tool, built from the one value and from nothing that a caller sent.

Path parameters are one segment each, so no argument reaches another resource of the provider; the
body is written anew in canonical form (RFC 8785); the URL that leaves is compared with the URL that
was built, because a client that normalises it would reach somewhere else. Each effect carries the
action id and, where the tool names a header for it, the action's idempotency key
(draft-ietf-httpapi-idempotency-key-header, as a bare string).
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

import msgspec

from bailiwick.errors import BadInput
from bailiwick.nouns import HttpBinding, Tool
from bailiwick.ports import Bundle, Egress, Request
from bailiwick.values import JSON, canonical, segment, shown

_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")
_PLAIN_ARGUMENT = re.compile(r"args\.([A-Za-z_]\w*)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD = re.compile(r"[\x20-\x7e]*")
_WITH_BODY = ("POST", "PUT", "PATCH")

# These frame the message or belong to the broker and the egress door.
_RESERVED = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def http_request(
    bundle: Bundle,
    tool: Tool,
    binding: HttpBinding,
    names: Mapping[str, JSON],
    *,
    egress: Egress,
    max_bytes: int,
) -> Request:
    """Build the request, still without a secret; the answer may have `max_bytes` bytes.

    A query, header or body member whose expression is exactly `args.<name>` is left out when that
    optional argument was not given. A dotted name in `body` nests: `metadata.action_id`. Without
    `body`, a POST, PUT or PATCH sends the arguments that neither path nor query took. Raises
    `BadInput` for a value that cannot stand where it is put, `CatalogError` for an expression.
    """
    arguments, action = names["args"], names["action"]
    assert isinstance(arguments, Mapping)
    assert isinstance(action, Mapping)

    def evaluated(members: Mapping[str, str]) -> dict[str, JSON]:
        return placed(bundle, tool, members, names)

    # Names in lower case: two spellings of one header would leave the choice to the provider.
    headers = {"accept": "application/json", "user-agent": "bailiwick"}
    for name, value in evaluated(binding.headers).items():
        if name.lower() in _RESERVED:
            raise _misplaced(f"the header `{shown(name)}`", "may not be set by a tool")
        headers[name.lower()] = _text(value, f"the header `{shown(name)}`")
    if binding.action_id_header:
        headers[binding.action_id_header.lower()] = str(action["id"])
    if binding.idempotency_header and tool.effect == "write":
        headers[binding.idempotency_header.lower()] = str(action["provider_key"])
    _check_headers(headers)
    body = _body(binding, arguments, evaluated)
    if body is not None:
        headers["content-type"] = "application/json"
    return Request(
        method=binding.method.upper(),
        url=_url(binding, arguments, evaluated(binding.query), egress),
        headers=headers,
        body=body,
        timeout_s=tool.timeout_s,
        max_bytes=max_bytes,
    )


def placed(
    bundle: Bundle, tool: Tool, members: Mapping[str, str], names: Mapping[str, JSON]
) -> dict[str, JSON]:
    """Evaluate members by name; one that is just an argument which was not given is left out."""
    arguments = names["args"]
    assert isinstance(arguments, Mapping)
    return {
        name: bundle.catalogue.evaluate(tool, text, names)
        for name, text in members.items()
        if (plain := _PLAIN_ARGUMENT.fullmatch(text)) is None or plain[1] in arguments
    }


def key_goes_out(binding: HttpBinding) -> bool:
    """Tell whether the provider sees the action's idempotency key, in a header or in the body."""
    texts = (*binding.headers.values(), *binding.query.values(), *(binding.body or {}).values())
    return binding.idempotency_header is not None or any("provider_key" in text for text in texts)


def _body(
    binding: HttpBinding,
    arguments: Mapping[str, JSON],
    evaluated: Callable[[Mapping[str, str]], dict[str, JSON]],
) -> bytes | None:
    if binding.body is not None:
        return canonical(_nested(evaluated(binding.body)))
    if binding.method.upper() not in _WITH_BODY:
        return None
    plain = (_PLAIN_ARGUMENT.fullmatch(text) for text in binding.query.values())
    taken = {*_PARAMETER.findall(binding.path), *(match[1] for match in plain if match)}
    return canonical({name: each for name, each in arguments.items() if name not in taken})


def _nested(members: Mapping[str, JSON]) -> dict[str, JSON]:
    whole: dict[str, JSON] = {}
    for name, value in members.items():
        *parents, last = name.split(".")
        within = whole
        for parent in parents:
            inner = within.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise _misplaced(f"the body member `{shown(name)}`", "lies within a plain value")
            within = inner
        if last in within:
            raise _misplaced(f"the body member `{shown(name)}`", "is given twice")
        within[last] = value
    return whole


def _url(
    binding: HttpBinding,
    arguments: Mapping[str, JSON],
    query: Mapping[str, JSON],
    egress: Egress,
) -> str:
    def parameter(match: re.Match[str]) -> str:
        what = f"the path parameter `{match[1]}`"
        if match[1] not in arguments:
            raise _misplaced(what, "was not given")
        return quote(segment(_text(arguments[match[1]], what), what), safe="")

    base = egress.target(binding.base_url)
    if "?" in base.path:
        raise _misplaced(f"`{shown(binding.base_url)}`", "is a base and may not have a query")
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        for each in value if isinstance(value, (list, tuple)) else (value,):
            pairs.append((name, _text(each, f"the query parameter `{shown(name)}`")))
    path = base.path.rstrip("/") + _PARAMETER.sub(parameter, binding.path)
    target = f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path
    url = f"{base.scheme}://{base.authority}{target}"
    if egress.target(url) != msgspec.structs.replace(base, path=target):
        raise _misplaced(f"`{shown(url)}`", "would not be sent as it is written")
    return url


def _text(value: JSON, what: str) -> str:
    if isinstance(value, str):
        return value
    if value is None or not isinstance(value, (bool, int, float)):
        raise _misplaced(what, "must be a text, a number or a boolean")
    return canonical(value).decode()


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _TOKEN.fullmatch(name) is None or _FIELD.fullmatch(value) is None:
            raise _misplaced(
                f"the header `{shown(name)}`", "holds characters that no header may carry"
            )


def _misplaced(what: str, reason: str) -> BadInput:
    return BadInput(
        f"{what} {reason}",
        code="request_not_buildable",
        help="correct the argument, or the tool's binding",
    )
