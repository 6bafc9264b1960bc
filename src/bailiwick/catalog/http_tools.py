"""HTTP tools from YAML: one file for each upstream, with its tools.

upstream:
  name: payments
  base_url: https://payments.example
  credentials: {read: payments-read, write: payments-write}
  owner: payments-team            # and other defaults for the tools below
tools:
  - name: payments.charge
    effect: read
    method: GET
    path: /v1/charges/{charge}
    parameters:
      type: object
      properties: {charge: {type: string}}
      required: [charge]
    resource: {type: Charge, id: args.charge}
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from bailiwick.catalog.forms import Declaration, Text, ToolForm, expression_texts
from bailiwick.catalog.paths import argument_path
from bailiwick.catalog.problems import problem, read_as, unknown_members
from bailiwick.catalog.schemas import (
    Schema,
    certain_arguments,
    compile_schema,
    json_kind,
    parameters,
    plain,
)
from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import CatalogError
from bailiwick.nouns import HttpBinding
from bailiwick.values import JSON, shown

PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")

_READING = ("GET", "HEAD")
_METHODS = (*_READING, "POST", "PUT", "PATCH", "DELETE")
_REPLACING = ("PUT", "PATCH", "DELETE")
_NO_BODY = (*_READING, "DELETE")
_UPSTREAM_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # RFC 9110 token
BASE_URL = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[\w.~/-]*)?", re.A
)
_SEGMENT = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]*")  # RFC 3986 pchar, nothing escaped
# What a tool takes over from its upstream unless it says otherwise.
_SHARED = (
    "owner",
    "timeout_s",
    "retries",
    "settles_within_s",
    "key_retention_s",
    "idempotency_header",
    "action_id_header",
)
# Whoever sets these speaks for the broker or reframes the request.
_OWN_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
    }
)


class CredentialNames(Struct, frozen=True, kw_only=True):
    """Which credentials of the settings serve an upstream's reads and its writes."""

    read: str | None = None
    write: str | None = None


class UpstreamForm(Struct, frozen=True, kw_only=True):
    """Who answers the tools of a file, and what its tools share unless they say otherwise."""

    name: str
    base_url: str
    credentials: CredentialNames = CredentialNames()
    owner: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    settles_within_s: float | None = None
    key_retention_s: Text | float | None = None
    idempotency_header: str | None = None
    action_id_header: str | None = "Bailiwick-Action"


class HttpForm(ToolForm, frozen=True, kw_only=True):
    """A tool's form with how it is sent; `parameters` is its JSON Schema.

    `query`, `headers` and `body` map names to expressions. A GET or DELETE without `query` sends
    the arguments that its path does not take as the query.
    """

    method: str
    path: str
    parameters: JSON = None
    query: Mapping[str, Text] | None = None
    headers: Mapping[str, Text] = {}
    body: Mapping[str, Text] | None = None
    idempotency_header: str | None = None
    action_id_header: str | None = "Bailiwick-Action"


class HttpFile(Struct, frozen=True, kw_only=True):
    """One file: an upstream, and its tools as written; each is read as an `HttpForm`."""

    upstream: UpstreamForm
    tools: tuple[Mapping[str, JSON], ...]


def http_declarations(text: str, path: str) -> tuple[list[Declaration], list[CatalogError]]:
    """Read the tools of one YAML file, and everything that is wrong with it."""
    problems: list[CatalogError] = []
    try:
        content = load_yaml(text, path)
        problems += unknown_members(content, HttpFile, path)
        file = read_as(content, HttpFile, path)
    except CatalogError as error:
        return [], [*problems, error]
    problems += _upstream_problems(file.upstream, f"{path}, upstream")
    written: Any = content["upstream"]
    shared = {name: written[name] for name in _SHARED if name in written}
    declarations = []
    for index, tool in enumerate(file.tools):
        where = f"{path}, tools[{index}]"
        problems += unknown_members(tool, HttpForm, where)
        try:
            form = read_as({**shared, **tool}, HttpForm, where)
            declared, found = _declaration(form, file.upstream, where)
        except CatalogError as error:
            problems.append(error)
        else:
            declarations.append(declared)
            problems += found
    return declarations, problems


def _declaration(
    form: HttpForm, upstream: UpstreamForm, where: str
) -> tuple[Declaration, list[CatalogError]]:
    written = {"type": "object"} if form.parameters is None else form.parameters
    schema = compile_schema(written, f"{where}.parameters")
    takes, _ = parameters(schema.schema)
    in_path = PARAMETER.findall(form.path)
    query = form.query
    if query is None:
        loose = sorted(takes.difference(in_path)) if form.method in _NO_BODY else []
        query = {name: argument_path(name) for name in loose}
    binding = HttpBinding(
        method=form.method,
        base_url=upstream.base_url.rstrip("/"),
        path=form.path,
        query=expression_texts(query),
        headers=expression_texts(form.headers),
        body=None if form.body is None else expression_texts(form.body),
        idempotency_header=form.idempotency_header,
        action_id_header=form.action_id_header,
    )
    declared = Declaration(
        where=where,
        form=form,
        schema=schema,
        binding=binding,
        upstream=upstream.name,
        credential=upstream.credentials.write,
        read_credential=upstream.credentials.read,
    )
    found = [
        *_method_problems(form, where),
        *_path_problems(form.path, schema.schema, where),
        *_header_problems(binding, where),
        *_unsent(binding, takes.difference(in_path), where),
    ]
    return declared, found


def upstream_name_problems(name: str, where: str) -> Iterator[CatalogError]:
    """What is wrong with the name of an upstream, of whichever kind."""
    if not _UPSTREAM_NAME.fullmatch(name):
        yield problem(
            "upstream_name_invalid",
            where,
            f"`{shown(name, 60)}` is not an upstream's name",
            "write lower-case letters, digits, `-` and `_`",
        )


def _upstream_problems(upstream: UpstreamForm, where: str) -> Iterator[CatalogError]:
    yield from upstream_name_problems(upstream.name, where)
    if not BASE_URL.fullmatch(upstream.base_url) or _has_dots(upstream.base_url):
        yield problem(
            "upstream_url_invalid",
            where,
            f"`{shown(upstream.base_url)}` is not a base URL",
            "write scheme, host and perhaps a path: no user, query, fragment or parameters",
        )


def _method_problems(form: HttpForm, where: str) -> Iterator[CatalogError]:
    if form.method not in _METHODS:
        yield problem(
            "method_invalid",
            where,
            f"`{shown(form.method, 40)}` is not a method that a tool can use",
            f"write one of {', '.join(_METHODS)}",
        )
    # Proxies and clients repeat a GET as they please (RFC 9110, 9.2), so none may write.
    elif (form.method in _READING) if form.effect == "write" else form.method in _REPLACING:
        yield problem(
            "method_invalid",
            where,
            f"a tool with `effect: {form.effect}` cannot use {form.method}",
            "correct the method or the effect",
        )
    if form.body is not None and form.method in _NO_BODY:
        yield problem("method_invalid", where, f"{form.method} has no body", "use `query`")


def _path_problems(path: str, schema: Schema, where: str) -> Iterator[CatalogError]:
    segments = PARAMETER.sub("{}", path).split("/")
    if segments[0] or _has_dots(path) or "" in segments[1:-1]:
        yield problem("path_invalid", where, f"`{shown(path)}` is not a path from `/` down")
    for segment in segments:
        if segment.count("{}") > 1 or not _SEGMENT.fullmatch(segment.replace("{}", "")):
            yield problem(
                "path_invalid",
                where,
                f"the segment `{shown(segment)}` is not one name or parameter",
                "write plain characters and at most one `{parameter}` in each segment",
            )
    for name in PARAMETER.findall(path):
        described, nullable = plain(schema.get("properties", {}).get(name, {}), schema)
        certain = name in certain_arguments(schema)
        if not certain or nullable or json_kind(described) not in ("string", "integer"):
            yield problem(
                "path_parameter_invalid",
                where,
                f"the path takes `{name}`, which is not a required text or integer",
                f"describe `{name}` in `parameters` and require it",
            )


def _header_problems(binding: HttpBinding, where: str) -> Iterator[CatalogError]:
    own = (binding.idempotency_header, binding.action_id_header)
    for name in (*binding.headers, *filter(None, own)):
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            yield problem(
                "header_invalid",
                where,
                f"`{shown(name, 60)}` is not a header that a tool may set",
                "credentials come from the broker; framing and host are the client's",
            )


def _unsent(binding: HttpBinding, loose: Iterable[str], where: str) -> Iterator[CatalogError]:
    """Every argument must reach the upstream: people approve what they see."""
    if binding.body is None and binding.method not in _NO_BODY:
        return
    sent = " ".join([*binding.query.values(), *binding.headers.values()])
    sent += " ".join((binding.body or {}).values())
    for name in sorted(loose):
        if not re.search(rf"\bargs(\.{re.escape(name)}\b|\[|(?![.\w]))", sent):
            yield problem(
                "argument_not_sent",
                where,
                f"the argument `{shown(name)}` is taken but never sent",
                "name it in `path`, `query`, `headers` or `body`",
            )


def _has_dots(path: str) -> bool:
    return not {".", ".."}.isdisjoint(path.split("/"))
