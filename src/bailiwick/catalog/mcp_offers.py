"""What an MCP server offers beside its tools, as tools of the catalogue that read.

    offers: [resources, prompts]
    offers: {resources: {type: Note, data_classes: [customer]}, completion: {}}

gives the tools `<upstream>.resources` (`resources/read`), `<upstream>.prompts` (`prompts/get`) and
`<upstream>.completion` (`completion/complete`), which a manifest grants, rules judge and the ledger
records like any other. What they touch is the resource's URI, or the prompt's name.

None of them is pinned. A pin holds a schema by which arguments are checked and a description by
which a model decides to act; here the schema is ours, the act is a read, and what comes back may
change at any time without its listing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bailiwick.catalog.forms import Declaration, ResourceForm, ToolForm
from bailiwick.catalog.problems import problem
from bailiwick.catalog.schemas import compile_schema
from bailiwick.errors import CatalogError
from bailiwick.nouns import McpBinding, McpUpstream
from bailiwick.values import JSON

Kind = Literal["resources", "prompts", "completion"]


class OfferForm(Struct, frozen=True, kw_only=True):
    """How a kind is read: the type of what it touches, and the classes of the data it shows."""

    type: str | None = None
    data_classes: tuple[str, ...] = ()


Offers = tuple[Kind, ...] | Mapping[Kind, OfferForm]

# A path that leads upwards, encoded or not, would slip through a rule about what it begins with.
_PLAIN_URI: JSON = {
    "type": "string",
    "minLength": 1,
    "maxLength": 512,
    "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s\\]*$",
    "not": {"pattern": r"(^|[:/])\.{1,2}([/?#]|$)|%2[eEfF]|%5[cC]"},
}
_NAMED: JSON = {"type": "string", "minLength": 1, "maxLength": 512}
_TEXTS: JSON = {
    "type": "object",
    "maxProperties": 100,
    "additionalProperties": {"type": "string"},
}


class _Offered(Struct, frozen=True):
    """A kind's method, what it touches, its words and the schema of its arguments."""

    method: Literal["resources/read", "prompts/get", "completion/complete"]
    type: str
    id: str
    says: str
    properties: Mapping[str, JSON]
    required: tuple[str, ...]


_KINDS: Mapping[Kind, _Offered] = {
    "resources": _Offered(
        "resources/read",
        "Resource",
        "args.uri",
        "Reads a resource of `{}` by its URI.",
        {"uri": _PLAIN_URI},
        ("uri",),
    ),
    "prompts": _Offered(
        "prompts/get",
        "Prompt",
        "args.name",
        "Gets a prompt of `{}` by its name, filled with arguments.",
        {"name": _NAMED, "arguments": _TEXTS},
        ("name",),
    ),
    "completion": _Offered(
        "completion/complete",
        "Completion",
        'args.ref.type == "ref/prompt" ? args.ref.name : args.ref.uri',
        "Completes an argument of a prompt or of a resource template of `{}`.",
        {
            "ref": {
                "type": "object",
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["ref/prompt", "ref/resource"]},
                    "name": _NAMED,
                    "title": {"type": "string"},
                    "uri": _NAMED,
                },
            },
            "argument": {
                "type": "object",
                "required": ["name", "value"],
                "properties": {"name": _NAMED, "value": {"type": "string"}},
            },
            "context": {"type": "object", "properties": {"arguments": _TEXTS}},
        },
        ("ref", "argument"),
    ),
}


def offered_names(upstream: str, offers: Offers) -> dict[Kind, str]:
    """The names of the tools by which an upstream's offers are read."""
    return {kind: f"{upstream.replace('-', '_')}.{kind}" for kind in offers}


def offer_declarations(
    offers: Offers,
    upstream: McpUpstream,
    shared: Mapping[str, Any],
    credential: str | None,
    where: str,
) -> Iterator[Declaration]:
    """The tools of an upstream's offers; `shared` are members that its tools take over."""
    forms = offers if isinstance(offers, Mapping) else {kind: OfferForm() for kind in offers}
    for kind, name in offered_names(upstream.name, offers).items():
        offered, form = _KINDS[kind], forms[kind]
        taken = {each: shared[each] for each in ("owner", "timeout_s", "retries") if each in shared}
        schema = {
            "type": "object",
            "properties": offered.properties,
            "required": list(offered.required),
        }
        yield Declaration(
            where=f"{where}.offers.{kind}",
            form=ToolForm(
                name=name,
                description=offered.says.format(upstream.name),
                effect="read",
                resource=ResourceForm(type=form.type or offered.type, id=offered.id),
                data_classes=form.data_classes,
                **taken,
            ),
            schema=compile_schema(msgspec.to_builtins(schema), where),
            binding=McpBinding(upstream=upstream, tool="", pin="", method=offered.method),
            upstream=upstream.name,
            read_credential=credential,
        )


def offer_problems(offers: Offers, where: str) -> Iterator[CatalogError]:
    """Say what is wrong with an upstream's offers by themselves."""
    if not isinstance(offers, Mapping) and len(set(offers)) < len(offers):
        yield problem("member_invalid", where, "`offers` names a kind twice", "name it once")
