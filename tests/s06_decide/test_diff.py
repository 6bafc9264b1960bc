"""What a new policy changes, in words, and whether it could allow more."""

from typing import Any

import pytest

from bailiwick.policy import compile_policies, diff_words, is_loosening
from tests.s06_decide.project import UNCHECKED, load, manifests, sample, tools

CHANGES: list[dict[str, Any]] = load("diff.yaml")
STEPS = {"on": "money", "unit": "USD", "auto_up_to": 100, "then": [{"approval": "f:1"}]}
DESK = {
    "name": "desk",
    "tools_allowlist": ["payments.show", "payments.refund"],
    "tiers": [STEPS],
}


def changed(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[str], bool]:
    before, after = (sample(**change, replace=UNCHECKED) for change in (old, new))
    assert diff_words(before, before) == []
    assert not is_loosening(before, before)
    return diff_words(before, after), is_loosening(before, after)


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize("entry", CHANGES)
def test_a_changed_rule(entry: dict[str, Any]) -> None:
    said, loosens = changed({"rules": entry["old"]}, {"rules": entry["new"]})
    assert [each.partition(": ")[0] for each in said] == entry["said"]
    assert loosens == entry["loosens"]


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize(
    ("new", "loosens"),
    [
        ({"tools_allowlist": ["payments.refund"]}, False),
        ({"tools_allowlist": ["payments.show", "payments.refund", "notes.add"]}, True),
        ({"tiers": [{**STEPS, "auto_up_to": 200}]}, True),
        ({"tiers": [{**STEPS, "auto_up_to": 50}]}, False),
        ({"tiers": [{**STEPS, "then": [{"up_to": 900, "approval": "f:1"}]}]}, False),
        ({"tiers": [{**STEPS, "auto_up_to": 50, "then": [{"approval": "f:2"}]}]}, True),
        ({"tiers": [{**STEPS, "then": [{"approval": "f:2"}]}]}, True),
        ({"tiers": [{**STEPS, "then": []}]}, False),
        ({"deny_when": ["new_payee"]}, False),
        ({"approvals": {"over_budget": "finance:1"}}, True),
    ],
)
def test_a_changed_manifest(new: dict[str, Any], loosens: bool) -> None:
    said, loosened = changed({"agents": [DESK]}, {"agents": [{**DESK, **new}]})
    assert said
    assert loosened == loosens


@pytest.mark.claim("policy.loosening-is-seen")
def test_an_agent_comes_or_goes() -> None:
    assert changed({}, {"agents": [DESK]})[1]
    said, loosens = changed({"agents": [DESK]}, {})
    assert said == ["removes the agent desk"]
    assert not loosens


@pytest.mark.claim("policy.loosening-is-seen")
def test_another_owner_loosens_what_is_said_of_owners() -> None:
    ours = '@id("ours") forbid (principal, action, resource) when { principal.owner == "ada" };'
    other = {"agents": [{**DESK, "owner": "grace"}]}
    assert changed({"agents": [DESK]}, other) == ([], False)
    assert changed({"agents": [DESK], "rules": ours}, {**other, "rules": ours}) == ([], True)


@pytest.mark.claim("policy.loosening-is-seen")
def test_a_tool_that_leaves_a_group_loosens_the_groups_rules() -> None:
    """No rule has changed, yet what is said of money no longer holds for it."""
    tool = {
        "name": "x.pay",
        "effect": "write",
        "resource_type": "X",
        "schema": {},
        "facts": {"value": "args.v", "currency": "args.c"},
        "reader": {"tool": "x.show", "arguments": {}},
    }
    before, after = ({"more_tools": [{**tool, "traits": each}]} for each in (["money"], []))
    assert changed(before, after) == ([], True)


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize(("effect", "loosens"), [("read", True), ("write", False)])
def test_a_new_tool_under_an_open_permit_loosens(effect: str, loosens: bool) -> None:
    reads = '@id("reads") permit (principal, action in Action::"read", resource);'
    more = {"name": "x.new", "effect": effect, "traits": [], "resource_type": "X", "schema": {}}
    before, after = (
        compile_policies(found, manifests(), {"policies/reads.cedar": reads})
        for found in (tools(), tools([more]))
    )
    assert is_loosening(before, after) == loosens
