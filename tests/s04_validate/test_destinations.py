"""Destinations by kind: one reading of each, and allow-lists that say only to these."""

import json
from typing import Any

import pytest

from bailiwick.catalog.domains import allowed, destination, endpoint
from bailiwick.errors import BadInput, CatalogError
from bailiwick.nouns import Caller, Capability, Refusal, Release
from bailiwick.ports import Bundle, Question
from bailiwick.values import digest
from bailiwick.wiring import compile_bundle
from tests.s04_validate.projects import mail, tool_file

SCHEMA = {
    "type": "object",
    "properties": {"to": {"type": "array", "items": {"type": "string"}}},
    "required": ["to"],
}


def bundle(destinations: list[str], kinds: tuple[str, ...], **more: Any) -> Bundle:
    """A release whose agent may send by one tool of each kind, to these destinations only."""
    tools = [
        mail(name=f"send.{kind}", destination_kind=kind, parameters=SCHEMA, gated=False, **more)
        | {"reader": {"tool": "send.look"}, "expect": "after == true"}
        for kind in kinds
    ]
    look = {"name": "send.look", "effect": "read", "method": "GET", "path": "/look"}
    agent = {
        "owner": "o",
        "tools_allowlist": ["send.*"],
        "destinations": destinations,
        "tiers": [{"on": "outbound", "unit": "recipients", "auto_up_to": 9}],
    }
    files = {"tools/send.yaml": tool_file(look, *tools), "agents/helper.yaml": json.dumps(agent)}
    made = Release(digest=digest(files), files=files, created_at_us=0, created_by="test")
    return compile_bundle(made)


def decided(of: Bundle, tool: str, *to: str) -> str:
    """What the rules say of sending, or the code by which it was refused before that."""
    found = of.catalogue.tools[tool]
    arguments: Any = {"to": list(to)}
    resource = of.catalogue.resource(found, arguments)
    assert not isinstance(resource, Refusal)
    situation = of.catalogue.situation(found, arguments, resource, {})
    if isinstance(situation, Refusal):
        return situation.code
    capability = Capability(
        id="c", run="r", grants=(), issued_at_us=0, expires_at_us=0, key_thumbprint=""
    )
    caller = Caller(tenant="default", agent="helper", subject="sue", capability=capability)
    asked = Question(caller=caller, tool=tool, situation=situation)
    return of.policies.decide(asked).effect


@pytest.mark.parametrize(
    ("kind", "text", "place", "exact"),
    [
        ("domain", "Example.COM.", "example.com", "domain:example.com"),
        ("address", "Anna@Bücher.example", "xn--bcher-kva.example", None),
        ("address", "anna+x@example.com", "example.com", "address:anna+x@example.com"),
        ("webhook", "https://Hooks.example:443", "hooks.example", "webhook:https://hooks.example/"),
        ("webhook", "https://h.example:8443/a", "h.example", "webhook:https://h.example:8443/a"),
        ("webhook", "https://[::1]/a", "::1", "webhook:https://[::1]/a"),
        ("channel", "#general", "channel:#general", "channel:#general"),
        ("bucket", "eu-exports", "bucket:eu-exports", "bucket:eu-exports"),
    ],
)
def test_a_destination_has_one_form(kind: Any, text: str, place: str, exact: str | None) -> None:
    assert destination(kind, text) == place
    assert endpoint(kind, text) == (exact or "address:anna@xn--bcher-kva.example")


@pytest.mark.claim("egress.destination-tricks")
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("address", "Anna <anna@example.com>"),
        ("address", "anna@example.com,eve@evil.example"),
        ("address", "anna@evil.example@example.com"),
        ("address", '"anna@example.com"@evil.example'),
        ("address", "аnna@example.com"),
        ("address", "example.com"),
        ("webhook", "http://hooks.example/in"),
        ("webhook", "https://hooks.example@evil.example/in"),
        ("webhook", "https://hooks.example:pass@evil.example/in"),
        ("webhook", "https://hooks.example\\@evil.example/in"),
        ("webhook", "https://hooks.example/in?to=https://evil.example"),
        ("webhook", "https://hooks.example/in#x"),
        ("webhook", "https://hooks.example/a/../b"),
        ("webhook", "https://hooks.example/a%2f..%2fb"),
        ("webhook", "https://hooks.example:0/in"),
        ("webhook", "https://hooks.example:65536/in"),
        ("webhook", "https://2130706433/in"),
        ("webhook", "//hooks.example/in"),
        ("domain", "exa\u200bmple.com"),
        ("domain", "ex%61mple.com"),
        ("channel", "general evil"),
        ("channel", "../general"),
        ("channel", "général"),
        ("bucket", "Exports"),
        ("bucket", "exports/../other"),
        ("bucket", "s3://exports"),
    ],
)
def test_what_can_be_read_in_two_ways_is_no_destination(kind: Any, text: str) -> None:
    with pytest.raises(BadInput):
        endpoint(kind, text)
    with pytest.raises(BadInput):
        destination(kind, text)


def test_an_entry_of_an_allow_list_is_read_as_facts_are() -> None:
    entries = ["Example.com", "domain:Bücher.example", "address:Anna@example.com", "[::1]"]
    assert [allowed(each) for each in entries] == [
        "example.com",
        "xn--bcher-kva.example",
        "address:anna@example.com",
        "::1",
    ]


@pytest.mark.claim("egress.only-to-these")
def test_an_agent_sends_to_what_its_manifest_lists_and_nowhere_else() -> None:
    entries = ["Example.com", "address:anna@partner.example", "channel:#ops", "bucket:exports"]
    hook = "webhook:https://hooks.example/in"
    of = bundle([*entries, hook], ("domain", "address", "webhook", "channel", "bucket"))
    expected = {
        ("domain", "example.com"): "allow",
        ("domain", "mail.example.com"): "deny",
        ("domain", "example.com.evil.example"): "deny",
        ("domain", "examp1e.com"): "deny",
        ("domain", "exаmple.com"): "deny",
        ("domain", "partner.example"): "deny",
        ("address", "bob@example.com"): "allow",
        ("address", "Anna@partner.example"): "allow",
        ("address", "eve@partner.example"): "deny",
        ("address", "anna@partner.example.evil.example"): "deny",
        ("address", "anna@partner.example,eve@evil.example"): "fact_invalid",
        ("webhook", "https://hooks.example/in"): "allow",
        ("webhook", "https://hooks.example/in/other"): "deny",
        ("webhook", "https://hooks.example:8443/in"): "deny",
        ("webhook", "https://hooks.example@evil.example/in"): "fact_invalid",
        ("channel", "#ops"): "allow",
        ("channel", "ops"): "deny",
        ("bucket", "exports"): "allow",
        ("bucket", "exports2"): "deny",
    }
    told = {(kind, to): decided(of, f"send.{kind}", to) for kind, to in expected}
    assert told == expected
    # All of them must be allowed, and those by their domain are not mixed with those by name.
    assert decided(of, "send.address", "bob@example.com", "eve@evil.example") == "deny"
    assert decided(of, "send.address", "bob@example.com", "al@example.com") == "allow"


@pytest.mark.claim("egress.only-to-these")
def test_a_kind_that_is_not_known_denies_and_does_not_load() -> None:
    for entry in ("fax:0123", "https://hooks.example/in", "Address:anna@example.com"):
        with pytest.raises(CatalogError) as fault:
            bundle([entry], ("address",))
        assert fault.value.code == "destination_kind_unknown"
    with pytest.raises(CatalogError) as fault:
        bundle(["exa mple.com"], ("address",))
    assert fault.value.code == "destination_invalid"
    with pytest.raises(CatalogError) as fault:
        bundle(["example.com"], ("fax",))
    assert fault.value.code == "member_invalid"
    with pytest.raises(CatalogError) as fault:
        bundle(["example.com"], ("address",), facts={"recipients": "args.to"})
    assert fault.value.code in ("fact_unknown", "tool_invalid")
