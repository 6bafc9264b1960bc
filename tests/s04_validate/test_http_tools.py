"""HTTP tools: what a file may say, and what never leaves by a path parameter."""

from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from bailiwick.errors import CatalogError
from bailiwick.nouns import HttpBinding
from bailiwick.values import segment
from tests.s04_validate.projects import (
    ABSENT,
    CHARGE,
    REFUND,
    Members,
    catalogue_of,
    changed,
    codes_of,
    load,
    problems_in,
    refusal_of,
    search,
    situation_of,
    tool_file,
)


def binding_of(*tools: Members, **upstream: object) -> HttpBinding:
    binding = catalogue_of(*tools, **upstream).tools[tools[0]["name"]].binding
    assert isinstance(binding, HttpBinding)
    return binding


HOSTILE = ["..", ".", "../payouts", "ch_1/../../payouts/po_9/cancel?x=", "a/b", "a\\b", "a?b=1"]


@pytest.mark.claim("catalog.path-parameter-one-segment")
@pytest.mark.parametrize("charge", [*HOSTILE, "a#b", "a%2fb", "%2e%2e", "a\x00", "", "a\u202eb"])
def test_a_path_parameter_is_one_segment(charge: str) -> None:
    refusal = refusal_of(catalogue_of(CHARGE), "payments.charge", {"charge": charge})
    assert refusal.code in ("path_segment_unsafe", "identifier_unsafe", "identifier_length")
    assert "`charge`" in refusal.message or "charge" in refusal.message


@pytest.mark.claim("catalog.path-parameter-one-segment")
def test_without_the_rule_the_client_would_reach_another_resource() -> None:
    """Why `..` is refused and not quoted: the client normalises the path of any URL it is given."""
    with httpx2.Client(base_url="https://payments.example") as client:

        def reached(charge: str) -> str:
            request = client.build_request("POST", f"/v1/charges/{charge}/refund")
            return request.url.raw_path.decode()

        assert reached("ch_1/../../payouts/po_9/cancel?x=").startswith("/v1/payouts/po_9/cancel")
        assert reached(quote("..", safe="")) == "/v1/refund", "quoting leaves `..` as it is"
        assert reached(segment("ch_1", "the charge")) == "/v1/charges/ch_1/refund"


def test_an_integer_is_a_segment_too() -> None:
    parameters = {
        "type": "object",
        "properties": {"id": {"type": "integer"}},
        "required": ["id"],
    }
    tool = search(parameters, method="GET", path="/v1/items/{id}.json")
    assert situation_of(catalogue_of(tool), "crm.search", {"id": 7}).arguments == {"id": 7}


def test_a_tool_takes_from_its_upstream_what_it_does_not_say() -> None:
    upstream: Members = {"timeout_s": 3, "retries": 1, "settles_within_s": 9, "owner": "ops"}
    catalogue = catalogue_of(CHARGE, changed(REFUND, owner="refunds", retries=0), **upstream)
    charge, refund = catalogue.tools["payments.charge"], catalogue.tools["payments.refund"]
    assert (charge.owner, charge.timeout_s, charge.retries) == ("ops", 3.0, 1)
    assert (refund.owner, refund.timeout_s, refund.retries) == ("refunds", 3.0, 0)
    assert (refund.settles_within_s, refund.cost_micro_usd) == (5.0, 1000)
    assert (refund.upstream, refund.credential, refund.read_credential) == (
        *("payments", "payments-write", "payments-read"),
    )
    assert (charge.credential, charge.read_credential) == (None, "payments-read")


def test_a_read_sends_what_its_path_does_not_take_as_the_query() -> None:
    parameters = {
        "type": "object",
        "properties": {"charge": {"type": "string"}, "expand": {}, "a b": {}},
        "required": ["charge"],
    }
    binding = binding_of(changed(CHARGE, parameters=parameters))
    assert binding.query == {"expand": "args.expand", "a b": 'args["a b"]'}
    own = {"e": "args.expand", "ab": 'args["a b"]', "v": 2, "full": True}
    binding = binding_of(changed(CHARGE, parameters=parameters, query=own))
    assert binding.query == {"e": "args.expand", "ab": 'args["a b"]', "v": "2", "full": "true"}


def test_headers_that_mark_the_action_go_out_unless_told_otherwise() -> None:
    assert binding_of(CHARGE).action_id_header == "Bailiwick-Action"
    assert binding_of(CHARGE, action_id_header="X-Action").action_id_header == "X-Action"
    assert binding_of(changed(CHARGE, action_id_header=None)).action_id_header is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mehtod": "GET"}, "member_unknown"),
        ({"reader": {"tool": "x.y", "argument": {}}}, "member_unknown"),
        ({"before": {"x": {"tol": "x.y"}}}, "member_unknown"),
        ({"resource": {"type": "Charge", "id": "args.charge", "name": "x"}}, "member_unknown"),
        ({"credential": "payments-write"}, "member_unknown"),
        ({"upstream": "other"}, "member_unknown"),
        ({"path": ABSENT}, "member_missing"),
        ({"name": ABSENT}, "member_missing"),
        ({"method": 5}, "member_invalid"),
        ({"gated": "yes"}, "member_invalid"),
        ({"traits": ["monney"]}, "member_invalid"),
        ({"timeout_s": 0}, "member_invalid"),
        ({"timeout_s": 1e9}, "member_invalid"),
        ({"retries": 11}, "member_invalid"),
        ({"retries": -1}, "member_invalid"),
        ({"settles_within_s": -1}, "member_invalid"),
        ({"key_retention_s": 0}, "member_invalid"),
        ({"key_retention_s": "never"}, "member_invalid"),
        ({"cost_usd": "-1"}, "member_invalid"),
        ({"cost_usd": 0.0000001}, "member_invalid"),
        ({"cost_usd": "1", "cost_micro_usd": 1}, "member_invalid"),
        ({"cost_micro_usd": -1}, "member_invalid"),
        ({"name": "charge"}, "tool_name_invalid"),
        ({"name": "Payments.charge"}, "tool_name_invalid"),
        ({"name": "payments..charge"}, "tool_name_invalid"),
        ({"name": "payments.ch\u0430rge"}, "tool_name_invalid"),
        ({"name": "payments." + "x" * 130}, "tool_name_invalid"),
        ({"resource": {"type": "charge", "id": "args.charge"}}, "resource_type_invalid"),
        ({"resource": {"type": "Action", "id": "args.charge"}}, "resource_type_invalid"),
        ({"method": "BREW"}, "method_invalid"),
        ({"method": "get"}, "method_invalid"),
        ({"method": "DELETE"}, "method_invalid"),
        ({"body": {"a": "args.charge"}}, "method_invalid"),
        ({"path": "v1/charges/{charge}"}, "path_invalid"),
        ({"path": "/v1/../charges/{charge}"}, "path_invalid"),
        ({"path": "/v1//{charge}"}, "path_invalid"),
        ({"path": "/v1/{charge}?x=1"}, "path_invalid"),
        ({"path": "/v1/{charge}#x"}, "path_invalid"),
        ({"path": "/v1/%2e%2e/{charge}"}, "path_invalid"),
        ({"path": "/v1/{charge}{charge}"}, "path_invalid"),
        ({"path": "/v1/{not-a-name}/{charge}"}, "path_invalid"),
        ({"path": "/v1/{other}/{charge}"}, "path_parameter_invalid"),
        ({"headers": {"Authorization": "args.charge"}}, "header_invalid"),
        ({"headers": {"host": "args.charge"}}, "header_invalid"),
        ({"headers": {"Content-Length": "1"}}, "header_invalid"),
        ({"headers": {"X-A\nB": "1"}}, "header_invalid"),
        ({"idempotency_header": "Cookie"}, "header_invalid"),
        ({"query": {}, "path": "/v1/charges"}, "argument_not_sent"),
    ],
)
def test_a_file_that_says_something_wrong_does_not_load(changes: Members, code: str) -> None:
    assert code in codes_of(changed(CHARGE, **changes))


@pytest.mark.parametrize(
    "described",
    [
        {"type": "number"},
        {"type": "boolean"},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": {"type": "string"}},
        {},
    ],
)
def test_a_path_parameter_is_text_or_an_integer(described: Any) -> None:
    parameters = {
        "type": "object",
        "properties": {"charge": described},
        "required": ["charge"],
    }
    codes = codes_of(changed(CHARGE, parameters=parameters, resource=ABSENT))
    assert codes == ["path_parameter_invalid"]


def test_a_path_parameter_is_always_there() -> None:
    parameters: Members = {"type": "object", "properties": {"charge": {"type": "string"}}}
    tool = changed(CHARGE, parameters=parameters, resource=ABSENT)
    assert codes_of(tool) == ["path_parameter_invalid"]
    parameters["properties"]["charge"]["default"] = "latest"
    assert catalogue_of(tool).tools


def test_a_write_does_not_use_a_method_that_others_repeat() -> None:
    assert "method_invalid" in codes_of(CHARGE, changed(REFUND, method="GET"))


def test_people_approve_only_what_is_sent() -> None:
    body = {"charge": "args.charge", "amount": "args.amount_minor", "currency": "args.currency"}
    assert codes_of(CHARGE, changed(REFUND, body=body)) == ["argument_not_sent"]
    whole = changed(REFUND, body={**body, "metadata.why": "args.reason"})
    assert binding_of(whole, CHARGE).body == whole["body"]
    assert binding_of(changed(REFUND, body={"all": "args"}), CHARGE).body == {"all": "args"}


@pytest.mark.parametrize(
    "base_url",
    [
        "payments.example",
        "ftp://payments.example",
        "https://user:secret@payments.example",
        "https://payments.example/?a=1",
        "https://payments.example/#x",
        "https://payments.example/../x",
        "https://payments.example/{tenant}",
        "https://pay ments.example",
        "https://payments.example\\@evil.example",
        "https://",
        "",
    ],
)
def test_a_base_url_is_scheme_host_and_path(base_url: str) -> None:
    assert codes_of(CHARGE, base_url=base_url) == ["upstream_url_invalid"]


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1:8080", "http://[::1]:80/api", "https://a.example/api/v2/"]
)
def test_other_base_urls_are_kept_without_their_last_slash(base_url: str) -> None:
    assert binding_of(CHARGE, base_url=base_url).base_url == base_url.rstrip("/")


@pytest.mark.parametrize(
    ("upstream", "code"),
    [
        ({"name": "Payments"}, "upstream_name_invalid"),
        ({"credentials": {"raed": "x"}}, "member_unknown"),
        ({"base_rul": "x"}, "member_unknown"),
        ({"base_url": ABSENT}, "member_missing"),
    ],
)
def test_an_upstream_that_says_something_wrong_does_not_load(upstream: Members, code: str) -> None:
    assert code in codes_of(CHARGE, **upstream)


def test_a_complaint_names_file_place_and_what_was_meant() -> None:
    with pytest.raises(CatalogError) as error:
        load({"tools/pay.yaml": tool_file(CHARGE, changed(CHARGE, name="a.b", mehtod="GET"))})
    assert problems_in(error) == [
        ("member_unknown", "tools/pay.yaml, tools[1]: there is no member `mehtod`")
    ]
    assert error.value.help == "did you mean `method`"
    assert error.value.code == "member_unknown"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    files = {
        "tools/a.yaml": "upstream: [",
        "tools/b.yaml": tool_file(changed(CHARGE, effect=ABSENT), changed(REFUND, owner=1)),
        "tools/c.yml": tool_file(changed(CHARGE, name="c.one", path="x", colour="red")),
        "notes/d.yaml": "upstream: [",
    }
    with pytest.raises(CatalogError) as error:
        load(files)
    codes = [code for code, _ in problems_in(error)]
    assert codes == [
        "yaml_malformed",
        "member_invalid",
        "member_unknown",
        "path_invalid",
        "tool_unclassified",
    ]
    assert error.value.code == "tool_invalid"


def test_a_file_without_tools_or_with_others_members_is_refused() -> None:
    with pytest.raises(CatalogError) as error:
        load({"tools/a.yaml": "upstream: {name: a, base_url: https://a.example}\ntool: []"})
    assert [code for code, _ in problems_in(error)] == ["member_unknown", "member_missing"]
