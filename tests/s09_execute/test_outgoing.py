"""What leaves for an HTTP tool: the one value, where the binding puts it, and nothing else."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bailiwick.config import CredentialSource
from bailiwick.errors import BadInput, CatalogError
from bailiwick.execution import action_names, execute, provider_key
from bailiwick.execution.egress import EgressDoor
from bailiwick.execution.outgoing import http_request
from bailiwick.nouns import HttpBinding, Tool
from bailiwick.ports import Bundle, Request
from bailiwick.values import JSON, parse, segment
from tests.s09_execute.bench import Bench, Tools, action, bench, http_tool, python_tool, settings
from tests.s09_execute.upstream import answer, upstream

ACTION = action_names(action(python_tool()))
CONTEXT = Bundle(
    release=None,  # type: ignore[arg-type]
    catalogue=Tools({}, {}),
    policies=None,  # type: ignore[arg-type]
    manifests={},
    caps=(),
    rates=(),
)


def built(tool: Tool, arguments: Mapping[str, JSON]) -> Request:
    assert isinstance(tool.binding, HttpBinding)
    names = {"args": arguments, "action": ACTION}
    door = EgressDoor()
    return http_request(CONTEXT, tool, tool.binding, names, egress=door, max_bytes=1024)


def test_arguments_go_to_the_path_the_query_and_the_body_that_name_them() -> None:
    tool = http_tool(
        "https://api.example.com/v1/",
        "/charges/{charge}/refunds",
        query={"expand": "args.expand", "page": "args.page"},
        headers={"X-Amount": "args.amount", "X-Run": "action.run"},
        key_header="Idempotency-Key",
    )
    request = built(
        tool,
        {
            "charge": "ch_1",
            "expand": ["a", "b c"],
            "page": 2,
            "amount": 1.5,
            "note": "r\u00e9",
            "z": {},
        },
    )
    assert request.url == (
        "https://api.example.com/v1/charges/ch_1/refunds?expand=a&expand=b%20c&page=2"
    )
    assert request.body == '{"amount":1.5,"note":"r\u00e9","z":{}}'.encode()
    assert request.headers == {
        "accept": "application/json",
        "bailiwick-action": "act-1",
        "content-type": "application/json",
        "idempotency-key": provider_key("acme", "act-1"),
        "user-agent": "bailiwick",
        "x-amount": "1.5",
        "x-run": "run-1",
    }


def test_a_body_of_expressions_may_carry_the_action_and_nest() -> None:
    tool = http_tool(
        "http://localhost",
        body={
            "amount": "args.amount",
            "metadata.action_id": "action.id",
            "metadata.key": "action.provider_key",
            "reason": "args.reason",
        },
    )
    body = built(tool, {"amount": 5, "unnamed": True}).body
    assert body is not None
    assert json.loads(body) == {
        "amount": 5,
        "metadata": {"action_id": "act-1", "key": provider_key("acme", "act-1")},
    }


def test_an_optional_argument_that_is_not_given_is_left_out_and_nothing_else_is() -> None:
    tool = http_tool("http://localhost", method="GET", query={"a": "args.a", "b": "args.b"})
    request = built(tool, {"b": False})
    assert (request.url, request.body) == ("http://localhost/refunds?b=false", None)
    strict = http_tool("http://localhost", method="GET", query={"a": "args.a.b"})
    with pytest.raises(CatalogError):
        built(strict, {})


def test_no_argument_takes_the_place_of_the_key_or_the_action_id() -> None:
    tool = http_tool(
        "http://localhost",
        headers={"IDEMPOTENCY-KEY": "args.a", "bailiwick-action": "args.a", "accept": "args.a"},
        key_header="Idempotency-Key",
    )
    headers = built(tool, {"a": "mine"}).headers
    assert headers["idempotency-key"] == provider_key("acme", "act-1")
    assert headers["bailiwick-action"] == "act-1"
    assert [name for name, value in headers.items() if value == "mine"] == ["accept"]


def test_a_base_url_may_have_a_path_with_escapes() -> None:
    tool = http_tool("http://localhost/a%20b/", "/{x}")
    assert built(tool, {"x": "c d"}).url == "http://localhost/a%20b/c%20d"


def test_the_same_value_leaves_as_the_same_bytes() -> None:
    tool = http_tool("http://localhost")
    first = built(tool, parse(b'{"b": 1.0, "a": "\\u0061"}'))
    second = built(tool, parse(b'{"a":"a","b":1}'))
    assert first.body == second.body == b'{"a":"a","b":1}'


@pytest.mark.claim("execution.one-segment-per-parameter")
@pytest.mark.parametrize(
    "value",
    [
        "ch_1/../../payouts/po_9/cancel?x=",
        "..",
        ".",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%2e%2e",
        "",
        "a\u202eb",
        "a\r\nb",
        None,
        {"a": 1},
        ["a"],
    ],
)
def test_a_path_parameter_is_one_segment_or_nothing_is_sent(value: JSON) -> None:
    tool = http_tool("http://localhost/v1", "/charges/{charge}/refunds")
    with pytest.raises(BadInput):
        built(tool, {"charge": value})


@pytest.mark.claim("execution.one-segment-per-parameter")
@hypothesis_settings(deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_no_argument_leaves_its_segment_or_its_query_parameter(text: str) -> None:
    tool = http_tool("http://localhost/v1", "/a/{x}/b", method="GET", query={"q": "args.q"})
    try:
        values: dict[str, JSON] = {"x": segment(text, "x"), "q": text}
        parse(values)
    except BadInput:
        return
    url = built(tool, values).url
    path, _, query = url.removeprefix("http://localhost").partition("?")
    assert path.split("/")[1:3] + path.split("/")[4:] == ["v1", "a", "b"]
    assert unquote(path.split("/")[3]) == text
    assert query.count("&") == 0
    assert unquote(query.removeprefix("q=")) == text


def test_no_argument_becomes_part_of_the_host() -> None:
    tool = http_tool("http://localhost", "{x}")
    with pytest.raises(BadInput, match="would not be sent as it is written"):
        built(tool, {"x": ".evil.example"})


@pytest.mark.parametrize(
    ("members", "arguments"),
    [
        ({"headers": {"X-A": "args.a"}}, {"a": "b\r\nX-Injected: 1"}),
        ({"headers": {"X-A": "args.a"}}, {"a": "\u00fc"}),
        ({"headers": {"X A": "args.a"}}, {"a": "b"}),
        ({"headers": {"Authorization": "args.a"}}, {"a": "Bearer mine"}),
        ({"headers": {"host": "args.a"}}, {"a": "evil"}),
        ({"headers": {"Cookie": "args.a"}}, {"a": "s=1"}),
        ({"headers": {"Transfer-Encoding": "args.a"}}, {"a": "chunked"}),
        ({"query": {"a": "args.a"}}, {"a": {"b": 1}}),
        ({"query": {"a": "args.a"}}, {"a": [None]}),
        ({"body": {"a": "args.a", "a.b": "args.a"}}, {"a": 1}),
        ({"body": {"a.b": "args.a", "a": "args.a"}}, {"a": 1}),
    ],
)
def test_what_cannot_stand_where_it_is_put_is_not_sent(
    members: dict[str, Any], arguments: dict[str, JSON]
) -> None:
    with pytest.raises(BadInput):
        built(http_tool("http://localhost", **members), arguments)


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://example.com",
        "http://user:word@example.com",
        "http:///x",
        "http://example.com:port",
        "http://example.com/?x=1",
        "example.com",
    ],
)
def test_an_address_that_is_not_plain_is_not_sent_to(base_url: str) -> None:
    with pytest.raises(BadInput):
        built(http_tool(base_url), {})


def test_the_key_belongs_to_the_tenant_and_the_action_alone() -> None:
    key = provider_key("acme", "act-1")
    assert key == provider_key("acme", "act-1")
    assert len({key, provider_key("acme", "act-2"), provider_key("other", "act-1")}) == 3
    assert provider_key("a", "b") != provider_key("ab", "")
    assert len(key) == 43
    assert key.isascii()


# With a credential, through the real door


def credential(host: str, **members: Any) -> CredentialSource:
    entry = {"env": "PAYMENTS_SECRET", "hosts": (host,), "tools": ("payments.*",)}
    return CredentialSource(**{"access": "write", **entry, **members})


@pytest.mark.claim("execution.credential-bound-to-host-tool-use")
async def test_the_secret_leaves_for_its_own_host_and_is_withheld_from_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYMENTS_SECRET", "sk_live_0123456789")
    async with upstream() as ours, upstream() as theirs:
        known = settings(key=credential(f"127.0.0.1:{ours.port}"))
        async with bench(known) as at:
            for system in (ours, theirs):
                system.on("/refunds", answer(201))
            good = await refund(at, http_tool(ours.url, credential="key"))
            bad = await refund(at, http_tool(theirs.url, credential="key"))
            unknown = await refund(at, http_tool(ours.url, credential="other"))
    assert good.status == "done"
    assert ours.arrivals[0].headers["authorization"] == "Bearer sk_live_0123456789"
    assert (bad.status, bad.code, bad.sends) == ("failed", "credential_wrong_host", 0)
    assert unknown.code == "credential_unknown"
    assert (len(ours.arrivals), theirs.arrivals) == (1, [])


@pytest.mark.claim("execution.secrets-stay-secret")
async def test_an_upstream_that_repeats_the_secret_is_not_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PAYMENTS_SECRET", "sk_live_0123456789")
    async with upstream() as system, bench(settings(key=credential("127.0.0.1"))) as at:
        echo = {"you_sent": "Bearer sk_live_0123456789"}
        tool = http_tool(system.url, credential="key")
        system.on("/refunds", answer(201, echo), answer(401, echo))
        done = await refund(at, tool)
        refused = await refund(at, tool)
    assert (done.status, done.code, done.result) == ("done", "result_holds_secret", None)
    assert refused.status == "failed"
    assert "you_sent" in refused.message
    assert "sk_live" not in refused.message


async def refund(at: Bench, tool: Tool) -> Any:
    return await execute(at.world, at.bundle, action(at.add(tool)), tool, {}, before={}, epoch=7)
