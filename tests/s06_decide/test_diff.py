"""What a new policy changes, in words, and whether it could allow more."""

from typing import Any

import pytest

from bailiwick.nouns import Tool
from bailiwick.policy import compile_policies, diff_rules, is_loosening
from tests.s06_decide.project import UNCHECKED, manifests, sample, tools

DESK = {
    "name": "desk",
    "tools_allowlist": ["payments.show", "payments.refund"],
    "tiers": [{"on": "money", "unit": "USD", "auto_up_to": 100, "then": [{"approval": "f:1"}]}],
}
HARD = '@id("hard") forbid (principal, action == Action::"notes.add", resource);'
SOFT = (
    '@id("soft") @approval("ops:2") forbid (principal, action == Action::"notes.add", resource)'
    ' unless { context.approvals has "soft" && context.approvals.soft };'
)
OPEN = '@id("open") permit (principal, action in [Action::"payments.show", Action::"notes.add"], resource);'


def changed(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[str], bool]:
    before, after = (sample(**change, replace=UNCHECKED) for change in (old, new))
    assert diff_rules(before, before) == []
    assert not is_loosening(before, before)
    return diff_rules(before, after), is_loosening(before, after)


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize(
    ("old", "new", "said", "loosens"),
    [
        ("", HARD, ["adds the forbid `hard` (policies/more.cedar)"], False),
        (HARD, "", ["removes the forbid `hard` (policies/more.cedar)"], True),
        ("", OPEN, ["adds the permit `open` (policies/more.cedar)"], True),
        (OPEN, "", ["removes the permit `open` (policies/more.cedar)"], False),
        (HARD, HARD.replace("resource)", "resource) when { context.time.hour > 5 }"),
         ["changes the forbid `hard` (policies/more.cedar)"], True),
        (HARD, HARD.replace('== Action::"notes.add"', 'in [Action::"notes.add", Action::"payments.void"]'),
         ["changes the forbid `hard` (policies/more.cedar)"], False),
        (HARD, HARD.replace("notes.add", "payments.void"),
         ["changes the forbid `hard` (policies/more.cedar)"], True),
        (OPEN, OPEN.replace(', Action::"notes.add"', ""),
         ["changes the permit `open` (policies/more.cedar)"], False),
        (OPEN, OPEN.replace("notes.add", "deploy.run"),
         ["changes the permit `open` (policies/more.cedar)"], True),
        (OPEN, '@id("open") permit (principal, action, resource);',
         ["changes the permit `open` (policies/more.cedar)"], True),
        ('@id("open") permit (principal, action, resource);', OPEN,
         ["changes the permit `open` (policies/more.cedar)"], True),
        (SOFT, SOFT.replace("ops:2", "ops:1"),
         ["changes the forbid `soft` (policies/more.cedar); asked of ops:2 before, of ops:1 now"], True),
        (HARD, HARD.replace("forbid", "permit"),
         ["changes the forbid to a permit `hard` (policies/more.cedar)"], True),
        (HARD, "// why\n" + HARD.replace(" (", "  ("), [], False),
    ],
)  # fmt: skip
def test_a_changed_rule(old: str, new: str, said: list[str], loosens: bool) -> None:
    assert changed({"rules": old}, {"rules": new}) == (said, loosens)


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize(
    ("new", "loosens"),
    [
        ({"tools_allowlist": ["payments.refund"]}, False),
        ({"tools_allowlist": ["payments.show", "payments.refund", "notes.add"]}, True),
        (
            {
                "tiers": [
                    {"on": "money", "unit": "USD", "auto_up_to": 200, "then": [{"approval": "f:1"}]}
                ]
            },
            True,
        ),
        (
            {
                "tiers": [
                    {"on": "money", "unit": "USD", "auto_up_to": 100, "then": [{"approval": "f:2"}]}
                ]
            },
            True,
        ),
        ({"tiers": [{"on": "money", "unit": "USD", "auto_up_to": 100}]}, True),
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
    assert "removes the forbid `desk.only` (generated/agents/desk.cedar)" in said
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
    entry = {"name": "x.pay", "effect": "write", "resource_type": "X", "schema": {},
             "facts": {"value": "args.v", "currency": "args.c"}, "reader": {"tool": "x", "arguments": {}}}  # fmt: skip
    before = {"more_tools": [{**entry, "traits": ["money"]}]}
    said, loosens = changed(before, {"more_tools": [{**entry, "traits": []}]})
    assert said == []
    assert loosens


@pytest.mark.claim("policy.loosening-is-seen")
@pytest.mark.parametrize(("effect", "loosens"), [("read", True), ("write", False)])
def test_a_new_tool_under_an_open_permit_loosens(effect: str, loosens: bool) -> None:
    rules = {
        "policies/open.cedar": '@id("reads") permit (principal, action in Action::"read", resource);'
    }
    more = {"name": "x.new", "effect": effect, "traits": [], "resource_type": "X", "schema": {}}

    def book(found: dict[str, Tool]) -> Any:
        return compile_policies(found, manifests(), rules)

    assert is_loosening(book(tools()), book(tools([more]))) == loosens
