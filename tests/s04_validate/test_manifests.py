"""Manifests and limits: every bound that is written is a bound that holds."""

import json
from typing import Any

import pytest

from bailiwick.catalog import load_limits, load_manifests
from bailiwick.errors import CatalogError
from bailiwick.nouns import Cap, Manifest
from tests.s04_validate.projects import (
    ABSENT,
    CHARGE,
    REFUND,
    Members,
    catalogue_of,
    changed,
    mail,
    problems_in,
)

DESK: Members = {
    "name": "refund-desk",
    "owner": "support",
    "tools_allowlist": ["payments.charge", "payments.refund"],
}
CATALOGUE = catalogue_of(CHARGE, REFUND, mail())


def manifest_of(text: str | None = None, **changes: object) -> Manifest:
    written = text or json.dumps(changed(DESK, **changes))
    (manifest,) = load_manifests({"agents/desk.yaml": written}, CATALOGUE).values()
    return manifest


def problems_of(text: str | None = None, **changes: object) -> list[tuple[str, str]]:
    with pytest.raises(CatalogError) as error:
        manifest_of(text, **changes)
    return problems_in(error)


def test_a_manifest_names_its_agent_owner_and_tools() -> None:
    manifest = manifest_of()
    assert (manifest.name, manifest.owner) == ("refund-desk", "support")
    assert manifest.tools == ("payments.charge", "payments.refund")
    assert (manifest.caps, manifest.rates, manifest.require_approval) == ((), (), ())
    assert (manifest.max_runtime_seconds, manifest.max_attempts_per_step) == (None, 5)
    assert manifest.source == DESK


def test_bounds_become_caps_at_their_nodes() -> None:
    manifest = manifest_of(
        """
        name: refund-desk
        owner: support
        tools_allowlist: [payments.*]
        actions_require_approval: [payments.refund, mail.*, destructive]
        max_runtime_seconds: 600
        max_tool_calls: 40
        max_cost_usd: 0.10
        max_attempts_per_step: 3
        budgets:
          - {unit: "value:USD", period: day, limit: "2000.00"}
          - {unit: "value:USD", limit: 500000}
          - {unit: "value:JPY", period: day, limit: "2000"}
          - {unit: micro_usd, period: day, limit: "1.5", node: run}
          - {unit: tokens, period: hour, limit: 100000}
        rates:
          - {tool: payments.refund, per: minute, limit: 10}
          - {agent: refund-desk, per: hour, limit: 200}
          - {per: day, limit: 1000}
        """
    )
    agent = "agent:refund-desk"
    assert manifest.caps == (
        Cap(node=agent, unit="value:USD", limit=200_000, period="day"),
        Cap(node=agent, unit="value:USD", limit=500_000, period="all"),
        Cap(node=agent, unit="value:JPY", limit=2000, period="day"),
        Cap(node="run", unit="micro_usd", limit=1_500_000, period="day"),
        Cap(node=agent, unit="tokens", limit=100_000, period="hour"),
        Cap(node="run", unit="calls", limit=40, period="all"),
        Cap(node="run", unit="micro_usd", limit=100_000, period="all"),
    )
    assert manifest.rates == (
        Cap(node="rate:tool:payments.refund", unit="calls", limit=10, period="minute"),
        Cap(node="rate:agent:refund-desk", unit="calls", limit=200, period="hour"),
        Cap(node="rate:agent:refund-desk", unit="calls", limit=1000, period="day"),
    )
    assert (manifest.max_runtime_seconds, manifest.max_attempts_per_step) == (600, 3)
    assert manifest.require_approval == ("payments.refund", "mail.*", "destructive")


def test_what_the_policy_compiler_reads_is_kept_as_written() -> None:
    own: Members = {
        "tiers": [{"on": "money", "unit": "USD", "auto_up_to": "50.00"}],
        "destinations": ["example.com"],
        "deny_when": ["new_payee"],
        "people_only": ["destructive"],
        "approvals": {"default": "finance:2"},
    }
    source = manifest_of(**own).source
    assert {name: source[name] for name in own} == own


def test_an_amount_written_without_quotes_does_not_change_its_unit() -> None:
    """50.00 would become 50 cents if it were an integer; as a float it is refused further on."""
    source: Any = manifest_of(
        "name: a\nowner: b\ntools_allowlist: []\ntiers: [{auto_up_to: 50.00}]"
    ).source
    assert type(source["tiers"][0]["auto_up_to"]) is float


@pytest.mark.claim("catalog.unknown-member-refused")
@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"max_tool_cals": 5}, "member_unknown", "`max_tool_cals`"),
        ({"tiers_": []}, "member_unknown", "`tiers_`"),
        ({"budgets": [{"unit": "calls", "limti": 1}]}, "member_unknown", "budgets[0]"),
        ({"modes": {"payments.refnud": "draft"}}, "manifest_tool_unknown", "payments.refnud"),
        ({"modes": {"payments.refund": "drafft"}}, "member_invalid", "drafft"),
        ({"budget": {"max_tool_cals": 5}}, "member_unknown", "`max_tool_cals`"),
        ({"budget": {"max_tool_calls": 0}}, "member_invalid", "budget.max_tool_calls"),
        ({"budget": {"max_total_cost_usd": -1}}, "member_invalid", "max_total_cost_usd"),
        ({"model_routing": {"planer": "m"}}, "member_unknown", "`planer`"),
        ({"fallbacks": []}, "member_invalid", "fallbacks"),
        ({"fallbacks": {"on_budget_exceded": "ask"}}, "member_unknown", "`on_budget_exceded`"),
        ({"fallbacks": {"on_budget_exceeded": "shrug"}}, "member_invalid", "shrug"),
        ({"fallbacks": {"on_tool_error_rate_gt": 1}}, "member_invalid", "no part of all calls"),
        ({"fallbacks": {"on_tool_error_rate_gt": -0.1}}, "member_invalid", "-0.1"),
        ({"fallbacks": {"on_tool_error_rate_gt": "a lot"}}, "member_invalid", "a lot"),
        ({"fallbacks": {"on_tool_error_rate_gt": True}}, "member_invalid", "on_tool_error_rate_gt"),
        (
            {"fallbacks": {"on_budget_exceeded": "use_cheaper_model"}},
            "manifest_member_unsupported",
            "no model is called here yet",
        ),
        ({"logging": {"trace_all_rns": True}}, "member_unknown", "`trace_all_rns`"),
        ({"logging": {"trace_all_runs": False}}, "manifest_member_unsupported", "every action"),
        (
            {"logging": {"store_retrieval_sources": False}},
            "manifest_member_unsupported",
            "rules and people see it",
        ),
        ({"owner": ABSENT}, "member_missing", "owner"),
        ({"owner": " "}, "manifest_no_owner", "owner"),
        ({"tools_allowlist": ABSENT}, "member_missing", "tools_allowlist"),
        ({"tools_allowlist": "payments.charge"}, "member_invalid", "tools_allowlist"),
        ({"tools_allowlist": ["payments.chrage"]}, "manifest_tool_unknown", "`payments.chrage`"),
        ({"tools_allowlist": ["*"]}, "manifest_tool_unknown", "`*`"),
        ({"tools_allowlist": ["pay*"]}, "manifest_tool_unknown", "`pay*`"),
        ({"tools_allowlist": ["billing.*"]}, "manifest_tool_unknown", "`billing.*`"),
        ({"tools_allowlist": ["payments"]}, "manifest_tool_unknown", "`payments`"),
        ({"tools_allowlist": ["money"]}, "manifest_tool_unknown", "`money`"),
        ({"actions_require_approval": ["payments.x"]}, "manifest_tool_unknown", "payments.x"),
        ({"name": "Refund Desk"}, "manifest_name_invalid", "Refund Desk"),
        ({"name": "refund\u202edesk"}, "manifest_name_invalid", "\\u{202e}"),
        ({"max_tool_calls": 0}, "member_invalid", "max_tool_calls"),
        ({"max_tool_calls": -1}, "member_invalid", "max_tool_calls"),
        ({"max_tool_calls": 1.5}, "member_invalid", "max_tool_calls"),
        ({"max_tool_calls": "10"}, "member_invalid", "max_tool_calls"),
        ({"max_tool_calls": True}, "member_invalid", "max_tool_calls"),
        ({"max_runtime_seconds": 0}, "member_invalid", "max_runtime_seconds"),
        ({"max_cost_usd": -1}, "member_invalid", "max_cost_usd"),
        ({"max_cost_usd": "five"}, "member_invalid", "max_cost_usd"),
        ({"max_cost_usd": "0.0000001"}, "member_invalid", "max_cost_usd"),
        ({"budgets": [{"unit": "value:usd", "limit": 1}]}, "member_invalid", "usd"),
        ({"budgets": [{"unit": "value:USD", "limit": "1.001"}]}, "member_invalid", "1.001"),
        ({"budgets": [{"unit": "value:USD", "limit": 20.5}]}, "member_invalid", "limit"),
        ({"budgets": [{"unit": "value:USD", "limit": -1}]}, "member_invalid", "negative"),
        ({"budgets": [{"unit": "calls", "limit": "5"}]}, "member_invalid", "no ceiling"),
        ({"budgets": [{"unit": "dollars", "limit": 5}]}, "member_invalid", "dollars"),
        ({"budgets": [{"unit": "calls", "limit": 5, "period": "week"}]}, "member_invalid", "week"),
        (
            {"budgets": [{"unit": "calls", "limit": 5, "node": "tenant"}]},
            "member_invalid",
            "limits",
        ),
        ({"rates": [{"per": "minute", "limit": -1}]}, "member_invalid", "negative"),
        ({"rates": [{"per": "second", "limit": 1}]}, "member_invalid", "second"),
        (
            {"rates": [{"tool": "payments.*", "per": "minute", "limit": 1}]},
            "manifest_tool_unknown",
            "payments.*",
        ),
        ({"rates": [{"agent": "other", "per": "minute", "limit": 1}]}, "member_invalid", "rates"),
        (
            {
                "rates": [
                    {
                        "agent": "refund-desk",
                        "tool": "payments.refund",
                        "per": "minute",
                        "limit": 1,
                    }
                ]
            },
            "member_invalid",
            "rates",
        ),
    ],
)
def test_a_manifest_that_says_something_wrong_does_not_load(
    changes: Members, code: str, said: str
) -> None:
    found = dict(problems_of(**changes))
    assert code in found
    assert said in found[code]
    assert found[code].startswith("agents/desk.yaml")


def test_an_unquoted_amount_in_a_budget_is_refused() -> None:
    text = (
        "name: a\nowner: b\ntools_allowlist: []\n"
        "budgets: [{unit: 'value:USD', period: day, limit: 2000.00}]"
    )
    assert [code for code, _ in problems_of(text)] == ["member_invalid"]


def test_two_manifests_have_two_names_and_all_problems_are_said() -> None:
    files = {
        "agents/a.yaml": json.dumps(DESK),
        "agents/b.yaml": json.dumps(DESK),
        "agents/c.yml": "name: [",
        "notes/d.yaml": "name: [",
    }
    with pytest.raises(CatalogError) as error:
        load_manifests(files, CATALOGUE)
    assert [code for code, _ in problems_in(error)] == ["manifest_duplicate", "yaml_malformed"]


def limits_of(text: str) -> tuple[tuple[Cap, ...], tuple[Cap, ...]]:
    manifests = {"refund-desk": manifest_of()}
    return load_limits({"limits.yaml": text}, CATALOGUE, manifests)


def test_without_limits_there_are_none() -> None:
    assert load_limits({}, CATALOGUE, {}) == ((), ())
    assert limits_of("") == ((), ())


def test_the_projects_limits_are_the_tenants_unless_they_say_otherwise() -> None:
    caps, rates = limits_of(
        """
        budgets:
          - {unit: micro_usd, period: day, limit: "25"}
          - {unit: "value:EUR", period: day, limit: "100.50", node: customer}
          - {unit: calls, limit: 0, node: run}
        rates:
          - {per: minute, limit: 600}
          - {per: minute, limit: 60, tool: payments.refund}
          - {per: hour, limit: 50, agent: refund-desk}
        """
    )
    assert caps == (
        Cap(node="tenant", unit="micro_usd", limit=25_000_000, period="day"),
        Cap(node="customer", unit="value:EUR", limit=10_050, period="day"),
        Cap(node="run", unit="calls", limit=0, period="all"),
    )
    assert rates == (
        Cap(node="rate:tenant", unit="calls", limit=600, period="minute"),
        Cap(node="rate:tool:payments.refund", unit="calls", limit=60, period="minute"),
        Cap(node="rate:agent:refund-desk", unit="calls", limit=50, period="hour"),
    )


@pytest.mark.claim("catalog.unknown-member-refused")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("budget: []", "member_unknown"),
        ("budgets: [{unit: calls, limit: 1, nod: run}]", "member_unknown"),
        ("budgets: [{unit: calls, limit: 1, node: planet}]", "member_invalid"),
        ("budgets: [{unit: calls}]", "member_missing"),
        ("budgets: [{unit: pounds, limit: 1}]", "member_invalid"),
        ("rates: [{per: minute, limit: 1, tool: payments.refnud}]", "limit_tool_unknown"),
        ("rates: [{per: minute, limit: 1, agent: nobody}]", "limit_agent_unknown"),
        ("rates: [{per: minute, limit: -1}]", "member_invalid"),
        (
            "rates: [{per: minute, limit: 1, tool: mail.send, agent: refund-desk}]",
            "member_invalid",
        ),
        ("rates: [", "yaml_malformed"),
    ],
)
def test_limits_that_would_bound_nothing_do_not_load(text: str, code: str) -> None:
    with pytest.raises(CatalogError) as error:
        limits_of(text)
    assert error.value.code == code
