"""Whatever is sent: no fault of ours, and no answer that the document does not tell of.

`make fuzz` tries for longer (`FUZZ_EXAMPLES`).
"""

import json
import os
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.transport import Response

from tests.gateway.served import CAPABILITIES
from tests.rest.asking import Asking

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "1"))
# Beside the table: what would end the sessions and keys that the others ask with.
SPARED = {
    "people add",
    "people disable",
    "people password",
    "kill",
    "agents disable",
    "agents rotate",
}
TRIED = settings(
    max_examples=EXAMPLES * 2,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def spared(operation_id: str) -> bool:
    """Whether a route is left out of random requests: it would end the tester, not the server."""
    return any(each.replace(" ", "_") in operation_id for each in SPARED)


def send_random(url: str, operation: Any, headers: dict[str, str], checks: list[Any]) -> None:
    """Send random requests of one operation, and hold each answer to what the document says."""
    acts = (operation.method.upper(), operation.path) == ("POST", "/v1/actions")

    @TRIED
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        answer: Response = case.call_and_validate(
            base_url=url, headers=headers, checks=checks, timeout=20
        )
        assert answer.status_code < 500 or (acts and answer.status_code in (502, 504))

    ask()


@pytest.mark.timeout(3600)
@pytest.mark.claim("rest.no-fault-on-any-input")
def test_every_route_answers_as_the_document_says(asking: Asking) -> None:
    document = asking.http.get("/v1/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    key = asking.access_key()
    checks = schemathesis.checks
    told_of = [
        checks.CHECKS.get_one(name)
        for name in (
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        )
    ]
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        raw = operation.definition.raw
        if spared(raw["operationId"]):
            continue
        who = next((name for scheme in raw["security"] for name in scheme), "nobody")
        bearer = {"person": asking.sessions["ada"], "agent": key, "nobody": ""}[who]
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}

        send_random(asking.up.url, operation, headers, told_of)
        tried += 1
    assert tried > 60
    assert asking.http.get("/health/ready").status_code == 200


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
METHODS = st.sampled_from(
    ["tools/call", "tools/list", "initialize", "server/discover", "tasks/get", "ping", "x/y"]
) | st.text(max_size=20)
CALLS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0"), "id": st.integers() | st.text(max_size=5), "method": METHODS},
    optional={
        "params": ANY_JSON
        | st.fixed_dictionaries(
            {"_meta": st.just(CAPABILITIES)},
            optional={"name": st.just("notes_add") | ANY_JSON, "arguments": ANY_JSON},
        )
    },
)


@pytest.mark.timeout(3600)
@pytest.mark.claim("gateway.no-fault-on-any-input")
def test_whatever_is_sent_to_mcp_is_answered(asking: Asking) -> None:
    key = asking.access_key()
    http = httpx2.Client(base_url=asking.up.url, timeout=10)
    usual = {"authorization": f"Bearer {key}", "accept": "application/json, text/event-stream"}

    @settings(TRIED, max_examples=EXAMPLES * 40)
    @given(
        body=CALLS | ANY_JSON,
        raw=st.none() | st.binary(max_size=60),
        version=st.sampled_from(["2026-07-28", "2025-11-25", "", "1999-01-01"]),
    )
    def ask(body: Any, raw: bytes | None, version: str) -> None:
        headers = {**usual, "content-type": "application/json"}
        if version:
            headers["mcp-protocol-version"] = version
        if isinstance(body, dict) and isinstance(method := body.get("method"), str):
            if method.isascii() and method.isprintable():
                headers["mcp-method"] = method
            if isinstance(params := body.get("params"), dict) and params.get("name") == "notes_add":
                headers["mcp-name"] = "notes_add"
        content = raw if raw is not None else json.dumps(body).encode()
        answer = http.post("/mcp", content=content, headers=headers)
        assert answer.status_code < 500, (content, answer.text)

    ask()
    http.close()
    assert asking.up.process.poll() is None
