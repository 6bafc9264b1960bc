"""What a person writes about one tool, and its completion to a `Tool`.

The decorator and the YAML files fill the same form, so that a tool means the same wherever it is
declared. Members that were not written are None: the write-tool law asks for some of them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from bailiwick.catalog.data_classes import argument_classes, class_problems
from bailiwick.catalog.facts import fact_problems
from bailiwick.catalog.input_types import input_attributes
from bailiwick.catalog.money import micro_usd
from bailiwick.catalog.problems import problem
from bailiwick.catalog.schemas import ArgumentSchema
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import HttpBinding, McpBinding, PythonBinding, Reader, Tool, Trait
from bailiwick.values import JSON, MAX_INTEGER, canonical, shown
from bailiwick.vocabulary import STANDARD_FACTS, DestinationKind, FactType

# An expression. YAML reads `7` and `true` as what they are; they are literals of the language too.
Text = str | int | bool

_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
_RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z0-9_]{0,63}")
_MAX_NAME = 128


class ReaderForm(Struct, frozen=True, kw_only=True):
    """A read that another tool makes: which tool, with which expressions as its arguments."""

    tool: str
    arguments: Mapping[str, Text] = {}
    authoritative: bool = False


class ResourceForm(Struct, frozen=True, kw_only=True):
    """What a tool touches: a type and the expression that gives the id."""

    type: str
    id: Text


class ToolForm(Struct, frozen=True, kw_only=True):
    """The members of a tool's declaration; see `nouns.Tool` for what they mean.

    `cost_usd` is US dollars as text or number. `key_retention_s` is seconds, or `none` for a
    provider that honours no idempotency key; None means that nothing was said.
    """

    name: str
    description: str = ""
    effect: str = ""
    traits: tuple[Trait, ...] = ()
    owner: str | None = None
    resource: ResourceForm | None = None
    facts: Mapping[str, Text] = {}
    fact_types: Mapping[str, FactType] = {}
    before: Mapping[str, ReaderForm] = {}
    reader: ReaderForm | None = None
    expect: Text | None = None
    find: ReaderForm | None = None
    found: Text | None = None
    reverser: str | None = None
    reverser_arguments: Mapping[str, Text] = {}
    gated: bool = False
    cost_usd: str | int | float | None = None
    cost_micro_usd: int | None = None
    timeout_s: float | None = None
    retries: int | None = None
    settles_within_s: float | None = None
    key_retention_s: float | Literal["none"] | None = None
    effect_key: Text | None = None
    destination: Text | None = None
    destination_kind: DestinationKind | None = None
    data_classes: tuple[str, ...] = ()


class Declaration(Struct, frozen=True, kw_only=True):
    """A tool as declared: where, the form, its compiled schema and how it is reached."""

    where: str
    form: ToolForm
    schema: ArgumentSchema
    binding: HttpBinding | PythonBinding | McpBinding
    function: Callable[..., object] | None = None
    upstream: str | None = None
    credential: str | None = None
    read_credential: str | None = None
    title: str = ""
    output_schema: Mapping[str, JSON] | None = None
    wire_name: str = ""


def form_problems(declared: Declaration) -> Iterator[CatalogError]:
    """Say what is wrong with a form by itself; without problems it can be completed."""
    form, where = declared.form, declared.where
    if not _NAME.fullmatch(form.name) or len(form.name) > _MAX_NAME:
        yield problem(
            "tool_name_invalid",
            where,
            f"`{shown(form.name, 60)}` is not a tool's name",
            "write lower-case parts with dots between them, such as `payments.refund`",
        )
    if form.effect not in ("read", "write"):
        yield problem(
            "tool_unclassified",
            where,
            f"`{shown(form.name, 60)}` does not say whether it reads or writes",
            "add `effect: read` or `effect: write`; what is not classified does not run",
        )
    if form.resource is not None and not _RESOURCE_TYPE.fullmatch(form.resource.type):
        yield problem(
            "resource_type_invalid",
            where,
            f"`{shown(form.resource.type, 60)}` is not a resource type",
            "write a capitalised word such as `Charge`",
        )
    if form.resource is not None and form.resource.type == "Action":
        yield problem("resource_type_invalid", where, "`Action` is Cedar's own type")
    yield from fact_problems(form.facts.keys(), form.fact_types, f"{where}, facts")
    if form.destination_kind is not None and "destinations" not in form.facts:
        yield problem(
            "fact_unknown",
            where,
            "`destination_kind` says what its `destinations` are, and there is no such fact",
            "add `destinations` to its facts",
        )
    if "endpoints" in form.facts:
        yield problem(
            "fact_name_invalid",
            where,
            "`endpoints` is computed from `destinations`",
            "remove it, and say what the destinations are with `destination_kind`",
        )
    yield from class_problems(form.data_classes, declared.schema.schema, where)
    yield from _number_problems(form, where)


def complete(declared: Declaration) -> Tool:
    """Make the `Tool` of a form without problems, with the digest of its whole definition.

    The digest is the SHA-256 of the canonical JSON of every member that is not its default, a
    Python tool's source among them: a changed definition is another version.
    """
    form = declared.form
    resource = form.resource
    facts = dict(expression_texts(form.facts))
    if form.destination_kind is not None:
        facts["endpoints"] = facts["destinations"]
    tool = Tool(
        name=form.name,
        description=form.description,
        effect="write" if form.effect == "write" else "read",
        traits=form.traits,
        owner=form.owner or "",
        schema=declared.schema.schema,
        binding=declared.binding,
        digest="",
        resource_type=resource.type if resource else "Tool",
        resource_id=expression_text(resource.id) if resource else None,
        facts=facts,
        fact_types={name: form.fact_types.get(name) or STANDARD_FACTS[name] for name in facts},
        input_type=input_attributes(declared.schema.schema),
        before={name: _reader(reader) for name, reader in form.before.items()},
        reader=_reader(form.reader) if form.reader else None,
        expect=expression_text(form.expect),
        find=_reader(form.find) if form.find else None,
        found=expression_text(form.found),
        reverser=form.reverser,
        reverser_arguments=expression_texts(form.reverser_arguments),
        gated=form.gated,
        cost_micro_usd=_cost_micro_usd(form),
        timeout_s=10.0 if form.timeout_s is None else form.timeout_s,
        settles_within_s=form.settles_within_s or 0.0,
        key_retention_s=None if form.key_retention_s == "none" else form.key_retention_s,
        retries=2 if form.retries is None else form.retries,
        effect_key=expression_text(form.effect_key),
        destination=expression_text(form.destination),
        credential=declared.credential if form.effect == "write" else None,
        read_credential=declared.read_credential,
        upstream=declared.upstream,
        destination_kind=form.destination_kind,
        data_classes=tuple(sorted(set(form.data_classes))),
        argument_classes=argument_classes(declared.schema.schema),
        title=declared.title,
        output_schema=declared.output_schema,
        own_wire_name=declared.wire_name,
    )
    content = hashlib.sha256(canonical(_content(tool))).hexdigest()
    return msgspec.structs.replace(tool, digest=content)


def expression_text(written: Text | None) -> str | None:
    """Give an expression as text; a YAML number or boolean becomes its literal."""
    if written is None or isinstance(written, str):
        return written
    return str(written).lower()


def expression_texts(written: Mapping[str, Text]) -> Mapping[str, str]:
    """Give several expressions as text."""
    return {name: expression_text(each) or "" for name, each in written.items()}


def _reader(form: ReaderForm) -> Reader:
    return Reader(
        tool=form.tool,
        arguments=expression_texts(form.arguments),
        authoritative=form.authoritative,
    )


def _cost_micro_usd(form: ToolForm) -> int:
    return form.cost_micro_usd or (0 if form.cost_usd is None else micro_usd(form.cost_usd))


def _content(value: object) -> object:
    """Turn a Struct into what differs from its defaults, so that a new member changes nothing."""
    if not isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    content: dict[str, object] = {}
    for field in msgspec.structs.fields(value):
        member = getattr(value, field.name)
        factory = field.default_factory
        default = field.default if factory is msgspec.NODEFAULT else factory()
        if member != default:
            content[field.name] = _content(member)
    return content


def _number_problems(form: ToolForm, where: str) -> Iterator[CatalogError]:
    retention = 1.0 if form.key_retention_s in (None, "none") else form.key_retention_s
    ranges = (
        ("timeout_s", form.timeout_s, 0.001, 3600.0),
        ("retries", form.retries, 0, 10),
        ("settles_within_s", form.settles_within_s, 0, 30 * 86400),
        ("key_retention_s", retention, 0.001, 400 * 86400),
        ("cost_micro_usd", form.cost_micro_usd, 0, MAX_INTEGER),
    )
    for name, given, least, most in ranges:
        if isinstance(given, (int, float)) and not least <= given <= most:
            yield problem("member_invalid", where, f"`{name}` is not from {least} to {most}")
    if form.cost_usd is not None and form.cost_micro_usd is not None:
        yield problem("member_invalid", where, "the cost is given twice", "keep `cost_usd`")
    try:
        _cost_micro_usd(form)
    except BadInput as error:
        yield problem("member_invalid", where, f"`cost_usd`: {error.message}", error.help)
