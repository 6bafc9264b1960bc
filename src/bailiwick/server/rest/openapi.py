"""The OpenAPI 3.1 document, made of the table: it cannot say anything else than what is served."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from bailiwick.server.problems import MEDIA_TYPE
from bailiwick.server.rest.reading import is_list
from bailiwick.server.rest.rows import VOTES, RestRow
from bailiwick.server.rest.told import ChangeWaits

Document = dict[str, Any]

# Beside the votes, what looks at a password.
_OPENING = ("people password",)

_REFS = "#/components/schemas/{name}"
_PROBLEM: Document = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and where."},
        "code": {"type": "string", "description": "Stable: what a program goes by."},
        "param": {"type": "string", "description": "The member that is wrong."},
        "decision_id": {"type": "string", "description": "The action that was decided on."},
        "outcome": {"description": "Of a proposed action: its outcome."},
        "next_action": {"type": "string", "description": "What to do next."},
        "request_id": {"type": "string"},
    },
}
_REASONS: Mapping[int, str] = {
    304: "Not modified: it is what `If-None-Match` names.",
    400: "The request cannot be read.",
    401: "The credential does not hold, or there is none.",
    403: "Who asks may not do this.",
    404: "There is nothing of this name.",
    409: "It cannot be done as things stand.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Something that is given is wrong; `param` names it.",
    429: "Too often: `Retry-After` says when it may be tried again.",
    500: "A fault here.",
    502: "It was tried, and failed.",
    503: "It cannot be served now: `Retry-After` says when it may be tried again.",
    504: "It was tried, and nobody knows what became of it.",
}


_KEY: tuple[Document, ...] = (
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "The call's own name: the same key always gives the same action's answer.",
        "schema": {"type": "string", "pattern": '^"?[A-Za-z0-9_][A-Za-z0-9_.:/+*#-]{0,127}"?$'},
        "example": '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    },
)


def statuses(row: RestRow) -> tuple[int, ...]:
    """Every status that a row may be answered with."""
    found = {row.status, 422, 500, 503, *row.more}
    found |= {202} if row.waits else set()
    found |= {304} if row.method == "GET" else set()
    found |= {400, 413, 415} if row.has_body else set()
    if row.who == "nobody":
        return tuple(sorted(found | {401, 403, 429}))
    found |= {401}
    if row.who == "person":
        # A vote may open a signing key, and tries of a password are counted.
        found |= {403, 404, 409} | ({429} if row in VOTES or row.command in _OPENING else set())
    return tuple(sorted(found))


def document(rows: Sequence[RestRow], summaries: Mapping[str, str], url: str) -> Document:
    """The document of a table. `summaries` are the commands' own sentences."""
    kinds = [row.told for row in rows if row.form == "json"]
    kinds += [row.given for row in rows] + [ChangeWaits]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REFS)
    paths: Document = {}
    for row in rows:
        path = row.path.replace(":path}", "}")
        paths.setdefault(path, {})[row.method.lower()] = _operation(row, components, summaries)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Bailiwick",
            "version": version("bailiwick"),
            "description": "Any model may propose, the rules decide, every outcome is on record.",
        },
        "servers": [{"url": url}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM},
            "securitySchemes": {
                "person": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The statement of POST /v1/session.",
                },
                "agent": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access key, or a token of POST /v1/token for `/v1`.",
                },
            },
        },
    }


def _operation(row: RestRow, components: Document, summaries: Mapping[str, str]) -> Document:
    names = _name(row)
    operation: Document = {
        "operationId": names,
        "summary": summaries.get(row.command, row.command),
        "tags": [row.path.split("/")[2]],
        "responses": {str(status): _response(row, status) for status in statuses(row)},
        "security": [] if row.who == "nobody" else [{row.who: []}],
    }
    schema = components[row.given.__name__]
    fields = {each.name: each for each in msgspec.structs.fields(row.given)}
    members: Document = schema.get("properties", {})
    operation["parameters"] = [*(_KEY if row.command == "act" else ())] + [
        {
            "name": name,
            "in": "path" if name in row.in_path else "query",
            "required": name in row.in_path or name in schema.get("required", ()),
            "schema": _not_null(member),
            **({"style": "form", "explode": True} if is_list(fields[name].type) else {}),
        }
        for name, member in members.items()
        if name in row.in_path or not row.has_body
    ]
    if row.has_body:
        operation["requestBody"] = {
            "required": any(each not in row.in_path for each in schema.get("required", ())),
            "content": {"application/json": {"schema": _body(row, schema)}},
        }
    return operation


def _not_null(schema: Document) -> Document:
    """Without null, which a path or a query cannot say: it is left out instead."""
    kinds: list[Document] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1:
        return kinds[0]
    return {name: value for name, value in schema.items() if name != "default" or value is not None}


def _body(row: RestRow, schema: Document) -> Document:
    """What of the struct stands in the body: all that is not in the path."""
    body = {
        **schema,
        "properties": {
            name: member for name, member in schema["properties"].items() if name not in row.in_path
        },
        "required": [name for name in schema.get("required", ()) if name not in row.in_path],
    }
    body.pop("title", None)
    return body


def _response(row: RestRow, status: int) -> Document:
    if status == 304:
        return {"description": _REASONS[status]}
    if status == 202 and row.waits:
        return {"description": "It waits for a second person.", **_json(ChangeWaits)}
    if status == 202:
        return {"description": "It waits, or is under way: ask at `Location`.", **_json(row.told)}
    if status < 300:
        return {"description": "What is told.", **_content(row)}
    schema = {"$ref": _REFS.format(name="Problem")}
    return {"description": _REASONS[status], "content": {MEDIA_TYPE: {"schema": schema}}}


def _content(row: RestRow) -> Document:
    if row.form == "text":
        return {"content": {"text/plain": {"schema": {"type": "string"}}}}
    if row.form == "bytes":
        return {"content": {"application/octet-stream": {}}}
    return _json(row.told)


def _json(kind: Any) -> Document:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REFS)
    return {"content": {"application/json": {"schema": schema}}}


def _name(row: RestRow) -> str:
    return f"{row.method.lower()} {row.command}".replace(" ", "_").replace("-", "_")
