"""Tools of MCP servers from YAML: upstreams, and beside them what each of their tools is.

upstreams:
  - name: files
    command: [node, servers/files.js, ./shared]
  - name: crm
    url: https://crm.example/mcp
    credentials: {read: crm-read, write: crm-write}
tools:
  - name: files.write
    upstream: files
    tool: write_file
    effect: write
    …

What a server says of its tools is not believed, it is pinned: the schema and the description are
those of the accepted definition, unless the file has its own, and a hint of the server may
contradict a classification but never loosen it. A tool that is not classified is never called.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from bailiwick.catalog.forms import Declaration, Text, ToolForm, expression_texts
from bailiwick.catalog.http_tools import BASE_URL, CredentialNames, upstream_name_problems
from bailiwick.catalog.mcp_offers import (
    Offers,
    offer_declarations,
    offer_problems,
    offered_names,
)
from bailiwick.catalog.pins import SUFFIX, Pin, Pins, outside_references
from bailiwick.catalog.problems import problem, read_as, refuse, unknown_members
from bailiwick.catalog.schemas import compile_schema, parameters
from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import CatalogError
from bailiwick.nouns import Asking, McpBinding, McpUpstream
from bailiwick.values import JSON, did_you_mean, legible, shown

_TOOL = re.compile(r"[A-Za-z0-9._-]{1,128}")  # SEP-986
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Many servers still write the older name; where the dialects differ, the schema does not compile.
_OLDER_DIALECT = re.compile(r"https?://json-schema\.org/draft-07/schema#?")
# What of a definition a model reads, and no more than a pin has room for.
_READ = ("title", "description")
_MAX_WORDS = 256 * 1024
# What a tool takes over from its upstream unless it says otherwise.
_SHARED = ("owner", "timeout_s", "retries", "settles_within_s", "key_retention_s", "on_error")


class McpUpstreamForm(Struct, frozen=True, kw_only=True):
    """An MCP server, by its command or its URL, and what its tools share.

    With `keeps_names` our own clients know its tools by the server's names, without a prefix.
    `offers` are what of it is read beside its tools (see `mcp_offers`), `may_ask` what it may ask
    its client for during a call.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: Mapping[str, str] = {}
    protocol: Literal["auto", "2025-11-25", "2026-07-28"] = "auto"
    credentials: CredentialNames = CredentialNames()
    credential_env: str | None = None
    calls_at_once: Annotated[int, Meta(ge=1)] | None = None
    owner: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    settles_within_s: float | None = None
    key_retention_s: Text | float | None = None
    on_error: Literal["unknown", "not_done"] = "unknown"
    keeps_names: bool = False
    offers: Offers = ()
    may_ask: tuple[Asking, ...] = ()


class McpForm(ToolForm, frozen=True, kw_only=True):
    """A tool's form with which tool of which upstream it is.

    `parameters` may be narrower than the server's schema, which counts without it; `arguments` maps
    the server's arguments to expressions and sends them instead of the tool's own.
    """

    upstream: str
    tool: str
    parameters: JSON = None
    arguments: Mapping[str, Text] | None = None
    on_error: Literal["unknown", "not_done"] = "unknown"


class McpFile(Struct, frozen=True, kw_only=True):
    """One file: upstreams, and tools as written; each is read as an `McpForm`."""

    upstreams: tuple[McpUpstreamForm, ...]
    tools: tuple[Mapping[str, JSON], ...] = ()


class DeclaredUpstream(Struct, frozen=True, kw_only=True):
    """An upstream of a project, and which of its tools are classified, under which names.

    `reading` names those that read; `reversers` those that write, with what undoes them, if any;
    `offered` the tools that read what it offers beside its own, by kind.
    """

    upstream: McpUpstream
    credentials: CredentialNames
    classified: Mapping[str, tuple[str, ...]]
    reading: tuple[str, ...] = ()
    reversers: Mapping[str, str | None] = {}
    offered: Mapping[str, str] = {}


def is_mcp_file(text: str, path: str) -> bool:
    """Tell whether a file declares MCP upstreams. Raises `CatalogError` if it is not YAML."""
    return "upstreams" in load_yaml(text, path)


def declared_upstreams(files: Mapping[str, str]) -> dict[str, DeclaredUpstream]:
    """Give a project's MCP upstreams by name, whether or not their tools are pinned.

    Raises one `CatalogError` that lists everything that is wrong with them.
    """
    problems: list[CatalogError] = []
    found: dict[str, DeclaredUpstream] = {}
    for path in sorted(files):
        if not (path.startswith("tools/") and path.endswith((".yaml", ".yml"))):
            continue
        if path.endswith(SUFFIX) or not is_mcp_file(files[path], path):
            continue
        file, wrong = _read(files[path], path)
        problems += wrong
        if file is None:
            continue
        whole = [form for form, _ in _forms(file, path, problems)]
        for upstream in file.upstreams:
            forms = [form for form in whole if form.upstream == upstream.name]
            found[upstream.name] = DeclaredUpstream(
                upstream=_upstream(upstream),
                credentials=upstream.credentials,
                classified={
                    each.tool: tuple(form.name for form in forms if form.tool == each.tool)
                    for each in forms
                },
                reading=tuple(form.name for form in forms if form.effect == "read"),
                reversers={form.name: form.reverser for form in forms if form.effect == "write"},
                offered={
                    str(kind): name
                    for kind, name in offered_names(upstream.name, upstream.offers).items()
                },
            )
    refuse(problems)
    return found


def mcp_declarations(
    text: str, path: str, pins: Pins
) -> tuple[list[Declaration], list[CatalogError]]:
    """Read the tools of one YAML file, and everything that is wrong with it."""
    file, problems = _read(text, path)
    declarations: list[Declaration] = []
    if file is None:
        return declarations, problems
    upstreams = {each.name: each for each in file.upstreams}
    for index, each in enumerate(file.upstreams):
        declarations += offer_declarations(
            each.offers,
            _upstream(each),
            _shared(each),
            each.credentials.read,
            f"{path}, upstreams[{index}]",
        )
    for form, where in _forms(file, path, problems):
        upstream = upstreams.get(form.upstream)
        if upstream is None:
            message = f"`{shown(form.upstream, 60)}` is no upstream of this file"
            problems.append(
                problem("upstream_unknown", where, message, did_you_mean(form.upstream, upstreams))
            )
            continue
        pin = pins.get(upstream.name, {}).get(form.tool)
        if pin is None:
            problems.append(_unpinned(form, where))
            continue
        try:
            declared = _declaration(form, upstream, pin, where)
        except CatalogError as error:
            problems.append(error)
        else:
            declarations.append(declared)
            problems += _tool_problems(form, pin, declared, where)
    return declarations, problems


def _read(text: str, path: str) -> tuple[McpFile | None, list[CatalogError]]:
    problems: list[CatalogError] = []
    try:
        content = load_yaml(text, path)
        problems += unknown_members(content, McpFile, path)
        file = read_as(content, McpFile, path)
    except CatalogError as error:
        return None, [*problems, error]
    names: set[str] = set()
    for index, upstream in enumerate(file.upstreams):
        where = f"{path}, upstreams[{index}]"
        problems += _upstream_problems(upstream, where)
        if upstream.name in names:
            problems.append(problem("upstream_duplicate", where, "two upstreams have this name"))
        names.add(upstream.name)
    return file, problems


def _forms(file: McpFile, path: str, problems: list[CatalogError]) -> Iterator[tuple[McpForm, str]]:
    shared = {each.name: _shared(each) for each in file.upstreams}
    for index, tool in enumerate(file.tools):
        where = f"{path}, tools[{index}]"
        problems += unknown_members(tool, McpForm, where)
        try:
            own = shared.get(str(tool.get("upstream")), {})
            yield read_as({**own, **tool}, McpForm, where), where
        except CatalogError as error:
            problems.append(error)


def _shared(upstream: McpUpstreamForm) -> dict[str, Any]:
    members = {name: getattr(upstream, name) for name in _SHARED}
    return {name: each for name, each in members.items() if each is not None}


def _upstream(form: McpUpstreamForm) -> McpUpstream:
    return McpUpstream(
        name=form.name,
        command=form.command,
        url=form.url,
        env=tuple(sorted(form.env.items())),
        credential_env=form.credential_env,
        protocol=form.protocol,
        calls_at_once=form.calls_at_once or 0,
        may_ask=tuple(sorted(form.may_ask)),
        keeps_names=form.keeps_names,
    )


def _declaration(form: McpForm, upstream: McpUpstreamForm, pin: Pin, where: str) -> Declaration:
    # Who accepted it was shown it so; a model is shown nothing that a person was not.
    accepted = cast("Mapping[str, JSON]", legible(pin.definition, _READ, _MAX_WORDS))
    written = form.parameters
    if written is None:
        written = accepted.get("inputSchema")
        if isinstance(written, Mapping) and _OLDER_DIALECT.fullmatch(str(written.get("$schema"))):
            written = {name: each for name, each in written.items() if name != "$schema"}
    binding = McpBinding(
        upstream=_upstream(upstream),
        tool=form.tool,
        pin=pin.sha256,
        beside=pin.beside,
        arguments=None if form.arguments is None else expression_texts(form.arguments),
        on_error=form.on_error,
    )
    title, output = accepted.get("title"), accepted.get("outputSchema")
    if not form.description:
        form = msgspec.structs.replace(form, description=str(accepted.get("description", "")))
    return Declaration(
        where=where,
        form=form,
        schema=compile_schema(written, f"{where}.parameters"),
        binding=binding,
        upstream=upstream.name,
        credential=upstream.credentials.write,
        read_credential=upstream.credentials.read,
        title=title if isinstance(title, str) else "",
        output_schema=output if isinstance(output, Mapping) else None,
        wire_name=form.tool if upstream.keeps_names else "",
    )


def _upstream_problems(upstream: McpUpstreamForm, where: str) -> Iterator[CatalogError]:
    yield from upstream_name_problems(upstream.name, where)
    if bool(upstream.command) == (upstream.url is not None):
        yield problem("upstream_way_invalid", where, "it has not one of `command` and `url`")
    if upstream.url is not None and not BASE_URL.fullmatch(upstream.url):
        yield problem(
            "upstream_url_invalid",
            where,
            f"`{shown(upstream.url)}` is not a server's URL",
            "write scheme, host and perhaps a path: no user, query, fragment or parameters",
        )
    if upstream.url is not None and (upstream.env or upstream.credential_env):
        yield problem("upstream_env_invalid", where, "only a command has an environment")
    for name in (*upstream.env, *filter(None, (upstream.credential_env,))):
        if not _VARIABLE.fullmatch(name):
            yield problem("upstream_env_invalid", where, f"`{shown(name, 60)}` names no variable")
    yield from offer_problems(upstream.offers, where)
    if len(set(upstream.may_ask)) < len(upstream.may_ask):
        yield problem("member_invalid", where, "`may_ask` names a kind twice", "name it once")
    named = upstream.credentials.read or upstream.credentials.write
    if upstream.command and bool(named) != (upstream.credential_env is not None):
        yield problem(
            "upstream_env_invalid",
            where,
            "`credentials` and `credential_env` need each other",
            "name the variable in which the command expects its secret",
        )


def _tool_problems(
    form: McpForm, pin: Pin, declared: Declaration, where: str
) -> Iterator[CatalogError]:
    if not _TOOL.fullmatch(form.tool):
        yield problem("upstream_tool_invalid", where, f"`{shown(form.tool, 60)}` names no MCP tool")
    hints = pin.definition.get("annotations")
    if isinstance(hints, Mapping) and hints.get("readOnlyHint") is False and form.effect == "read":
        yield problem(
            "effect_contradicted",
            where,
            "it is classified as a read, and its server says that it is not one",
            "write `effect: write`",
        )
    for outside in outside_references(pin.definition):
        yield problem(
            "schema_remote_reference",
            where,
            f"the accepted definition refers to `{shown(outside)}`",
            "a server's schema must be whole; nothing is fetched",
        )
    takes, _ = parameters(declared.schema.schema)
    sent = None if form.arguments is None else " ".join(expression_texts(form.arguments).values())
    for name in sorted(takes):
        if sent is not None and not re.search(rf"\bargs(\.{re.escape(name)}\b|\[|(?![.\w]))", sent):
            yield problem(
                "argument_not_sent",
                where,
                f"the argument `{shown(name)}` is taken but never sent",
                "name it in `arguments`",
            )


def _unpinned(form: McpForm, where: str) -> CatalogError:
    return problem(
        "tool_unpinned",
        where,
        f"nobody has accepted the definition of `{shown(form.upstream)}/{shown(form.tool)}`",
        "look with `bailiwick tools list`, then run `bailiwick tools accept`",
    )
