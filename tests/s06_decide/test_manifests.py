"""Manifests and the rubric as Cedar that people can read, and that is always there."""

from typing import Any

import cedarpy
import pytest

from bailiwick.policy import RuleBook
from tests.s06_decide.project import DATA, UNCHECKED, ask, sample


def written(book: RuleBook, file: str) -> str:
    return "\n\n".join(rule.text for rule in book.rules if rule.file == file) + "\n"


@pytest.mark.claim("policy.manifests-are-readable-cedar")
@pytest.mark.parametrize("name", ["rubric", "agents/refund-desk", "agents/ops", "agents/mailer"])
def test_a_manifest_is_written_out_as_cedar(name: str) -> None:
    text = written(sample(), f"generated/{name}.cedar")
    expected = DATA / "expected" / f"{name.replace('/', '-')}.cedar"
    assert text == expected.read_text(encoding="utf-8")
    assert cedarpy.format_policies(text, 100, 2) == text


@pytest.mark.claim("policy.manifests-are-readable-cedar")
def test_the_schema_is_written_out_too() -> None:
    expected = (DATA / "expected" / "schema.cedarschema").read_text(encoding="utf-8")
    assert sample().schema == expected


@pytest.mark.claim("policy.rubric-always-there")
def test_a_hand_written_permit_does_not_reach_past_the_manifest_or_the_rubric() -> None:
    book = sample(
        rules='@id("all") permit (principal, action, resource);',
        agents=[{"name": "idle"}],
        replace=UNCHECKED,
    )
    questions: dict[str, dict[str, Any]] = {
        "refund-desk.only": {
            "agent": "refund-desk",
            "tool": "ledger.adjust",
            "resource": "Account:a",
        },
        "idle.only": {"agent": "idle", "tool": "payments.show", "input": {"charge": "c"}},
        "rubric.people-only": {
            "agent": "refund-desk",
            "tool": "customers.delete",
            "resource": "Customer:c",
            "facts": {"target_class": "staging"},
            "input": {"customer": "c", "environment": "staging"},
        },
    }
    for rule, question in questions.items():
        decision = book.decide(ask(question))
        assert decision.effect == "deny"
        assert [each.id for each in decision.rules] == [rule]


def asks(manifest: dict[str, Any], question: dict[str, Any], **changes: Any) -> dict[str, str]:
    """Who is asked when the agent of this manifest alone puts the question."""
    book = sample(agents=[{"name": "a", **manifest}], replace=UNCHECKED, **changes)
    decision = book.decide(ask({"agent": "a", **question}))
    assert decision.effect in ("ask", "allow"), decision
    return {each.rule: f"{each.queue}:{each.quorum}" for each in decision.asks}


VOID = {
    "tool": "payments.void",
    "facts": {"value": 1, "currency": "USD"},
    "input": {"charge": "ch_1"},
}
DELETE = {"tool": "logs.delete", "resource": "Log:l", "input": {"log": "l"}}


@pytest.mark.parametrize(
    ("manifest", "question", "expected"),
    [
        ({}, VOID, {"a.asks.money": "approvers:1"}),
        ({"approvals": {"default": "desk:2"}}, VOID, {"a.asks.money": "desk:2"}),
        ({"approvals": {"money": "finance:1"}}, VOID, {"a.asks.money": "finance:1"}),
        (
            {"approvals": {"payments.void": "finance:2", "money": "finance:1"}},
            VOID,
            {"a.asks.payments.void": "finance:2"},
        ),
        (
            {"actions_require_approval": ["payments.*"]},
            VOID,
            {"a.asks.payments.all": "approvers:1"},
        ),
        ({"actions_require_approval": ["write"]}, VOID, {"a.asks.write": "approvers:1"}),
        ({"tiers": [{"on": "money", "unit": "USD", "auto_up_to": 1}]}, VOID, {}),
        (
            {"tiers": [{"on": "money", "unit": "USD", "then": [{"approval": "finance:3"}]}]},
            VOID,
            {"a.tier.money.USD.1": "finance:3"},
        ),
        ({"approvals": {"destructive": "admins:2"}}, DELETE, {"a.asks.destructive": "admins:2"}),
        ({"approvals": {"logs.delete": "admins:2"}}, DELETE, {"a.asks.logs.delete": "admins:2"}),
    ],
)
def test_who_is_asked(
    manifest: dict[str, Any], question: dict[str, Any], expected: dict[str, str]
) -> None:
    granted = {"tools_allowlist": ["payments.void", "logs.delete"]}
    assert asks({**granted, **manifest}, question) == expected


BOTH = {
    "name": "x.both",
    "effect": "write",
    "traits": ["code", "outbound"],
    "resource_type": "X",
    "schema": {},
    "facts": {"recipients": "args.n", "destinations": "args.d"},
    "gated": True,
}


@pytest.mark.parametrize(
    ("approvals", "expected"),
    [
        ({}, {"a.asks.code": "approvers:1"}),
        ({"code": "dev:1"}, {"a.asks.code": "dev:1"}),
        (
            {"code": "dev:1", "outbound": "comms:1"},
            {"a.asks.code": "dev:1", "a.asks.outbound": "comms:1"},
        ),
        ({"code": "dev:1", "outbound": "dev:1"}, {"a.asks.code": "dev:1"}),
        ({"x.both": "cto:1", "code": "dev:1"}, {"a.asks.x.both": "cto:1"}),
    ],
)
def test_the_same_people_are_asked_once_though_there_are_several_reasons(
    approvals: dict[str, str], expected: dict[str, str]
) -> None:
    """A person counts once for an action, so two rules for one queue would need two people."""
    question = {"tool": "x.both", "resource": "X:x", "facts": {"recipients": 1, "destinations": []}}
    manifest = {"tools_allowlist": ["x.both"], "approvals": approvals}
    assert asks(manifest, question, more_tools=[BOTH]) == expected


def test_a_tier_in_three_decimals() -> None:
    tiers = [{"on": "money", "unit": "KWD", "auto_up_to": "1.5", "then": [{"approval": "f:1"}]}]
    manifest = {"tools_allowlist": ["payments.void"], "tiers": tiers}
    small = {**VOID, "facts": {"value": 1500, "currency": "KWD"}}
    large = {**VOID, "facts": {"value": 1501, "currency": "KWD"}}
    assert asks(manifest, small) == {}
    assert asks(manifest, large) == {"a.tier.money.KWD.1": "f:1"}


def test_two_currencies_each_with_its_own_tier() -> None:
    tiers = [
        {"on": "money", "unit": "USD", "auto_up_to": "10"},
        {"on": "money", "unit": "EUR", "auto_up_to": "20"},
    ]
    book = sample(
        agents=[{"name": "a", "tools_allowlist": ["payments.void"], "tiers": tiers}],
        replace=UNCHECKED,
    )
    expected = {("USD", 1000): "allow", ("USD", 1001): "deny", ("EUR", 2000): "allow",
                ("EUR", 2001): "deny", ("GBP", 1): "deny"}  # fmt: skip
    for (currency, value), effect in expected.items():
        question = {**VOID, "agent": "a", "facts": {"value": value, "currency": currency}}
        assert book.decide(ask(question)).effect == effect
