"""Small projects of tools and agents, written as files, for the tests of step 4."""

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from bailiwick.catalog import compile_path, load_catalogue
from bailiwick.errors import CatalogError
from bailiwick.nouns import Refusal, Situation, Tool
from bailiwick.ports import Catalogue, Expression
from bailiwick.verification.expressions import compile_cel

Members = dict[str, Any]

ABSENT = object()

CHARGE: Members = {
    "name": "payments.charge",
    "description": "Shows a charge.",
    "effect": "read",
    "method": "GET",
    "path": "/v1/charges/{charge}",
    "parameters": {
        "type": "object",
        "properties": {"charge": {"type": "string"}},
        "required": ["charge"],
    },
    "resource": {"type": "Charge", "id": "args.charge"},
}
REFUND: Members = {
    "name": "payments.refund",
    "description": "Gives money back.",
    "effect": "write",
    "traits": ["money"],
    "method": "POST",
    "path": "/v1/refunds",
    "idempotency_header": "Idempotency-Key",
    "key_retention_s": 86400,
    "settles_within_s": 5,
    "parameters": {
        "type": "object",
        "properties": {
            "charge": {"type": "string"},
            "amount_minor": {"type": "integer", "minimum": 1},
            "currency": {"type": "string", "default": "USD"},
            "reason": {"type": "string"},
        },
        "required": ["charge", "amount_minor"],
    },
    "resource": {"type": "Charge", "id": "args.charge"},
    "before": {"charge": {"tool": "payments.charge", "arguments": {"charge": "args.charge"}}},
    "facts": {
        "value": "args.amount_minor",
        "currency": "args.currency",
        "new_payee": "before.charge.new_payee",
    },
    "effect_key": "args.charge",
    "reader": {"tool": "payments.charge", "arguments": {"charge": "args.charge"}},
    "expect": "after.refunded_minor >= args.amount_minor",
    "cost_usd": "0.001",
}
UPSTREAM: Members = {
    "name": "payments",
    "base_url": "https://payments.example",
    "credentials": {"read": "payments-read", "write": "payments-write"},
    "owner": "payments-team",
}


def changed(members: Members, **changes: object) -> Members:
    """The same members with some changed; `ABSENT` takes one away."""
    result = {**members, **changes}
    return {name: value for name, value in result.items() if value is not ABSENT}


def search(parameters: object, **changes: object) -> Members:
    """A reading tool with a schema of its own that sends its arguments as the body."""
    members = {
        "name": "crm.search",
        "effect": "read",
        "method": "POST",
        "path": "/search",
        "parameters": parameters,
    }
    return changed(members, **changes)


def mail(**changes: object) -> Members:
    """A gated tool that sends mail, with the facts of its trait."""
    members = {
        "name": "mail.send",
        "effect": "write",
        "traits": ["outbound"],
        "gated": True,
        "key_retention_s": "none",
        "settles_within_s": 0,
        "method": "POST",
        "path": "/send",
        "parameters": {"type": "object", "properties": {"to": {}}, "required": ["to"]},
        "facts": {"recipients": "args.to", "destinations": "args.to"},
    }
    return changed(members, **changes)


def tool_file(*tools: Members, **upstream: object) -> str:
    """A file of HTTP tools; JSON is YAML."""
    content = {"upstream": changed(UPSTREAM, **upstream), "tools": tools}
    return json.dumps(content, ensure_ascii=False)


def compile_expression(text: str) -> Expression:
    return compile_path(text) or compile_cel(text)


def load(files: Mapping[str, str], modules: Mapping[str, ModuleType] | None = None) -> Catalogue:
    """Load files with the real expression compiler."""
    return load_catalogue(files, modules or {}, compile_expression)


def catalogue_of(*tools: Members, **upstream: object) -> Catalogue:
    """The catalogue of one file of HTTP tools."""
    return load({"tools/payments.yaml": tool_file(*tools, **upstream)})


def problems_in(error: pytest.ExceptionInfo[CatalogError]) -> list[tuple[str, str]]:
    """What a load complained of: codes with the messages."""
    problems: Any = error.value.details["problems"]
    return [(each["code"], each["message"]) for each in problems]


def codes_of(*tools: Members, **upstream: object) -> list[str]:
    """The codes of everything that is wrong with a file of HTTP tools."""
    with pytest.raises(CatalogError) as error:
        catalogue_of(*tools, **upstream)
    return [code for code, _ in problems_in(error)]


def judged(
    catalogue: Catalogue,
    name: str,
    arguments: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> Situation | Refusal:
    """Take arguments through all of step 4."""
    tool: Tool = catalogue.tools[name]
    whole = catalogue.arguments(tool, arguments)
    if isinstance(whole, Refusal):
        return whole
    resource = catalogue.resource(tool, whole)
    if isinstance(resource, Refusal):
        return resource
    return catalogue.situation(tool, whole, resource, before or {})


def situation_of(
    catalogue: Catalogue,
    name: str,
    arguments: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> Situation:
    """The situation of arguments that nothing is wrong with."""
    found = judged(catalogue, name, arguments, before)
    assert isinstance(found, Situation), found
    return found


def refusal_of(
    catalogue: Catalogue,
    name: str,
    arguments: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> Refusal:
    """The refusal of arguments that something is wrong with."""
    found = judged(catalogue, name, arguments, before)
    assert isinstance(found, Refusal), found
    assert found.step == 4
    return found
