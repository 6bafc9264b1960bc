"""What the policy decides, from the outside: a question goes in, a decision comes out."""

from collections.abc import Mapping
from typing import Any

import cedarpy
import pytest

from bailiwick.errors import PolicyError
from bailiwick.nouns import Decision
from bailiwick.policy import RuleBook
from bailiwick.policy.rules import read_rules
from bailiwick.ports import Policies
from tests.s06_decide.project import UNCHECKED, ask, load, sample

DECISIONS: list[dict[str, Any]] = load("decisions.yaml")
REFUND = {
    "agent": "refund-desk",
    "tool": "payments.refund",
    "input": {"charge": "ch_1", "amount_minor": 100},
}
SMALL = {**REFUND, "facts": {"value": 100, "currency": "USD", "new_payee": False}}


@pytest.fixture(scope="module")
def book() -> RuleBook:
    return sample()


def claimed(claim: str) -> list[dict[str, Any]]:
    found = [entry for entry in DECISIONS if entry.get("claim", "") == claim]
    assert found
    return found


def check(book: Policies, entry: Mapping[str, Any]) -> Decision:
    decision = book.decide(ask({**REFUND, **entry}))
    assert decision.effect == entry["expect"], decision
    if "rules" in entry:
        assert [rule.id for rule in decision.rules] == sorted(entry["rules"])
    asks = {ask.rule: f"{ask.queue}:{ask.quorum}" for ask in decision.asks}
    assert asks == entry.get("asks", asks if entry["expect"] == "ask" else {})
    assert bool(decision.errors) == ("errors" in entry), decision
    assert entry.get("errors", "") in "; ".join(decision.errors)
    return decision


def by_case(entry: Mapping[str, Any]) -> str:
    return str(entry["case"])


@pytest.mark.parametrize("entry", claimed(""), ids=by_case)
def test_the_sample_project_decides(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.foreign-currency-denies")
@pytest.mark.parametrize("entry", claimed("policy.foreign-currency-denies"), ids=by_case)
def test_another_currency_than_the_caps_denies(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.approval-per-rule")
@pytest.mark.parametrize("entry", claimed("policy.approval-per-rule"), ids=by_case)
def test_evidence_counts_for_its_own_rule(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.recipients-counted")
@pytest.mark.parametrize("entry", claimed("policy.recipients-counted"), ids=by_case)
def test_a_rule_reads_how_many_are_written_to(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.unannotated-forbid-never-asks")
@pytest.mark.parametrize("entry", claimed("policy.unannotated-forbid-never-asks"), ids=by_case)
def test_a_forbid_without_approval_is_final(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.unannotated-forbid-never-asks")
def test_evidence_for_another_rule_does_not_make_it_ask(book: RuleBook) -> None:
    """Such a rule is refused when it is compiled; were it there, it would still not ask."""
    rules, _ = read_rules(
        "sneaky.cedar",
        """
        @id("may") permit (principal, action, resource);
        @id("asks") @approval("ops:1") forbid (principal, action, resource)
        unless { context.approvals has "asks" && context.approvals["asks"] };
        @id("sneaks") forbid (principal, action, resource)
        unless { context.approvals has "asks" && context.approvals["asks"] };
        """,
    )
    decision = RuleBook(rules, book.shapes, book.manifests).decide(ask(SMALL))
    assert decision.effect == "deny"
    assert [rule.id for rule in decision.rules] == ["asks", "sneaks"]


@pytest.mark.claim("policy.error-denies")
@pytest.mark.parametrize("entry", claimed("policy.error-denies"), ids=by_case)
def test_an_error_denies(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.misfit-denies")
@pytest.mark.parametrize("entry", claimed("policy.misfit-denies"), ids=by_case)
def test_what_does_not_fit_the_schema_denies(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.misfit-denies")
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_amount_beyond_64_bits_denies(book: RuleBook, value: int) -> None:
    question = {**SMALL, "facts": {"value": value, "currency": "USD", "new_payee": False}}
    decision = book.decide(ask(question))
    assert decision.effect == "deny"
    assert decision.errors == ("`facts.value` is no Long",)


@pytest.mark.claim("policy.unknown-denies")
@pytest.mark.parametrize("entry", claimed("policy.unknown-denies"), ids=by_case)
def test_an_unknown_name_denies(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.unknown-denies")
def test_without_rules_nothing_is_allowed(book: RuleBook) -> None:
    empty = RuleBook((), book.shapes, book.manifests)
    decision = empty.decide(ask(SMALL))
    assert (decision.effect, decision.rules, decision.errors) == ("deny", (), ())


@pytest.mark.claim("policy.one-value")
@pytest.mark.parametrize("entry", claimed("policy.one-value"), ids=by_case)
def test_another_spelling_is_not_on_the_list(book: RuleBook, entry: dict[str, Any]) -> None:
    check(book, entry)


@pytest.mark.claim("policy.one-value")
def test_a_rule_sees_an_argument_however_it_was_called() -> None:
    """There is one value by name: an argument given twice, or by position, has no second road."""
    rule = '@id("no-prod") forbid (principal, action == Action::"notes.add", resource) when {'
    book = sample(rules=rule + ' context.input.text == "prod" };')
    named = {"agent": "refund-desk", "tool": "notes.add", "resource": "Note:n1"}
    assert book.decide(ask({**named, "input": {"text": "prod"}})).effect == "deny"
    assert book.decide(ask({**named, "input": {"text": "test"}})).effect == "allow"
    for missed in ({"0": "prod"}, {"Text": "prod"}, {}):
        decision = book.decide(ask({**named, "input": missed}))
        assert decision.effect == "deny"
        assert decision.errors


@pytest.mark.claim("policy.error-denies")
def test_cedar_itself_allows_beside_the_error_that_denies_here(book: RuleBook) -> None:
    """The trap is real: with schema and checked rules, Cedar answers Allow and lists an error."""
    question = {**SMALL, "facts": {"value": 10**16, "currency": "XTS", "new_payee": False}}
    rules = [rule for rule in book.rules if rule.id in ("refund-desk.may", "audit-large")]
    answer = cedarpy.is_authorized(
        {
            "principal": 'Agent::"refund-desk"',
            "action": 'Action::"payments.refund"',
            "resource": 'Charge::"ch_1"',
            "context": {
                "facts": {
                    **question["facts"],  # type: ignore[dict-item]
                    "over_budget": False,
                    "over_budget_nodes": [],
                    "data_classes": [],
                },
                "input": question["input"],
                "run": {"id": "run_1"},
                "subject": {"id": "customer-7"},
                "provenance": {"sources": []},
                "time": {"now_us": 0, "hour": 0, "weekday": 4},
                "mode": "live",
                "approvals": {},
            },
        },
        "\n".join(rule.text for rule in rules),
        [],
        schema=book.schema,
    )
    assert answer.allowed
    assert "overflow" in answer.diagnostics.errors[0]
    decision = RuleBook(rules, book.shapes, book.manifests).decide(ask(question))
    assert decision.effect == "deny"
    (error,) = decision.errors
    assert error == "`audit-large` fails: integer overflow while attempting to multiply the values"
    assert str(10**16) in answer.diagnostics.errors[0], "what the engine quotes is left out here"


@pytest.mark.claim("policy.error-denies")
def test_a_rule_that_asks_about_an_absent_entity_denies(book: RuleBook) -> None:
    """Cedar skips the forbid that it cannot evaluate, and allows."""
    (permit,) = [rule for rule in book.rules if rule.id == "refund-desk.may"]
    text = '@id("owned")\nforbid (principal, action, resource)\nwhen { Team::"support".suspended };'
    rules = [permit, *read_rules("policies/owned.cedar", text)[0]]
    asked = {
        "principal": 'Agent::"refund-desk"',
        "action": 'Action::"payments.refund"',
        "resource": 'Charge::"ch_1"',
        "context": {},
    }
    answer = cedarpy.is_authorized(asked, f"permit (principal, action, resource);\n{text}", [])
    assert (answer.allowed, "does not exist" in answer.diagnostics.errors[0]) == (True, True)
    decision = RuleBook(rules, book.shapes, book.manifests).decide(ask(SMALL))
    assert decision.effect == "deny"
    assert "`owned` fails: " in decision.errors[0]


@pytest.mark.claim("policy.error-denies")
def test_an_error_that_only_the_evidence_uncovers_denies() -> None:
    rules = """
        @id("slow") @approval("ops:1")
        forbid (principal, action == Action::"notes.add", resource)
        unless { context.approvals has "slow" && context.time.now_us * 1000000000 > 0 };
    """
    note = {"agent": "refund-desk", "tool": "notes.add", "resource": "Note:n1"}
    decision = sample(rules=rules).decide(ask({**note, "input": {"text": "x"}}))
    assert decision.effect == "deny"
    assert "overflow" in decision.errors[0]


@pytest.mark.claim("policy.approval-per-rule")
def test_a_rule_added_later_is_not_satisfied_by_an_earlier_vote(book: RuleBook) -> None:
    """The vote was for the tier; a rule that comes after it has never been shown to anybody."""
    evidence = ["refund-desk.tier.money.USD.1"]
    question = {**SMALL, "facts": {"value": 6000, "currency": "USD", "new_payee": False}}
    assert book.decide(ask({**question, "evidence": evidence})).effect == "allow"
    later = """
        @id("friday") @approval("finance:1")
        forbid (principal, action in Action::"money", resource)
        unless { context.approvals has "friday" && context.approvals["friday"] };
    """
    decision = sample(rules=later, replace=UNCHECKED).decide(
        ask({**question, "evidence": evidence})
    )
    assert decision.effect == "ask"
    assert [ask.rule for ask in decision.asks] == ["friday"]


@pytest.mark.claim("policy.approval-per-rule")
def test_evidence_for_a_rule_that_is_gone_counts_for_nothing(book: RuleBook) -> None:
    entry = {**SMALL, "evidence": ["friday"], "expect": "allow"}
    check(book, entry)
    entry["facts"] = {"value": 6000, "currency": "USD", "new_payee": False}
    check(book, {**entry, "expect": "ask"})


@pytest.mark.claim("policy.permit-never-asks")
def test_what_no_rule_permits_is_not_asked_about(book: RuleBook) -> None:
    """A forbid that people may satisfy asks nobody where its evidence would not help."""
    rules = [rule for rule in book.rules if rule.effect == "forbid"]
    question = {**SMALL, "facts": {"value": 6000, "currency": "USD", "new_payee": True}}
    assert book.decide(ask(question)).effect == "ask"
    decision = RuleBook(rules, book.shapes, book.manifests).decide(ask(question))
    assert decision.effect == "deny"
    assert decision.asks == ()
    assert [rule.id for rule in decision.rules] == ["new-payee", "refund-desk.tier.money.USD.1"]


@pytest.mark.claim("policy.ask-needs-exactly-that-evidence")
def test_a_rule_that_evidence_does_not_lift_is_not_asked_about() -> None:
    """The annotation promises more than the rule keeps: the second evaluation finds out."""
    rules = """
        @id("never") @approval("ops:1")
        forbid (principal, action == Action::"notes.add", resource)
        unless { context.approvals has "never" && context.input.text == "please" };

        @id("vetoed") @approval("ops:1")
        forbid (principal, action == Action::"payments.show", resource)
        when { !(context.approvals has "vetoed") || context.input.charge != "" };
    """
    book = sample(rules=rules)
    note = {"agent": "refund-desk", "tool": "notes.add", "resource": "Note:n1"}
    assert book.decide(ask({**note, "input": {"text": "x"}})).effect == "deny"
    assert book.decide(ask({**note, "input": {"text": "please"}})).effect == "ask"
    show = {"agent": "refund-desk", "tool": "payments.show", "input": {"charge": "ch_1"}}
    assert book.decide(ask(show)).effect == "deny"


@pytest.mark.claim("policy.order-stable")
def test_rules_and_asks_stand_in_one_order() -> None:
    """Cedar gives the rules that decided in any order; a record must not."""
    rules = "\n".join(
        f'@id("r{number:02}") @approval("ops:1") forbid (principal, action, resource)'
        f' unless {{ context.approvals has "r{number:02}" && context.approvals["r{number:02}"] }};'
        for number in range(12)
    )
    decisions = []
    for _ in range(5):
        book = sample(rules=rules, replace=UNCHECKED)
        decisions += [book.decide(ask(SMALL)) for _ in range(10)]
    assert all(decision == decisions[0] for decision in decisions)
    expected = sorted(["refund-desk.may", *(f"r{number:02}" for number in range(12))])
    assert [rule.id for rule in decisions[0].rules] == expected
    assert [ask.rule for ask in decisions[0].asks] == expected[:12]


@pytest.mark.claim("policy.ids-are-never-text")
@pytest.mark.parametrize(
    "id_", ['x" || true', "ch_disputed\n", "ch_disputed\u0000", 'a"]', "é", ""]
)
def test_a_resource_id_is_data(book: RuleBook, id_: str) -> None:
    assert book.decide(ask({**SMALL, "resource": f"Charge:{id_}"})).effect == "allow"
    lookalike = sample(
        rules=f'@id("it") forbid (principal, action, resource == Charge::{quoted(id_)});',
        replace=UNCHECKED,
    )
    decision = lookalike.decide(ask({**SMALL, "resource": f"Charge:{id_}"}))
    assert [rule.id for rule in decision.rules] == ["it"]


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{{{ord(char):x}}}" for char in text) + '"'


@pytest.mark.claim("policy.ids-are-never-text")
@pytest.mark.parametrize("member", ["resource", "subject", "run"])
def test_text_that_is_no_unicode_is_refused(book: RuleBook, member: str) -> None:
    broken = "Charge:\ud800" if member == "resource" else "\ud800"
    decision = book.decide(ask({**SMALL, member: broken}))
    assert decision.effect == "deny"
    assert decision.errors


def test_the_principal_has_an_owner_and_a_tenant() -> None:
    rules = """
        @id("not-ada") forbid (principal, action == Action::"payments.show", resource)
        when { principal.owner == "ada" && principal.tenant == "initech" };
    """
    book = sample(rules=rules)
    show = {"agent": "refund-desk", "tool": "payments.show", "input": {"charge": "ch_1"}}
    assert book.decide(ask({**show, "tenant": "acme"})).effect == "allow"
    assert book.decide(ask({**show, "tenant": "initech"})).effect == "deny"


@pytest.mark.claim("policy.untyped-left-out")
def test_an_argument_without_a_type_is_left_out_and_listed(book: RuleBook) -> None:
    assert book.left_out == {"payments.refund": ("address.lines", "metadata", "rate")}
    given = {"charge": "ch_1", "amount_minor": 1, "rate": 1.5, "metadata": {"a": None}}
    address = {"country": "NO", "lines": [{}]}
    assert book.decide(ask({**SMALL, "input": {**given, "address": address}})).effect == "allow"
    rule = '@id("rate") forbid (principal, action == Action::"payments.refund", resource)'
    with pytest.raises(PolicyError):
        sample(rules=f"{rule} when {{ context.input.rate > 1 }};")


def test_a_rule_is_shown_as_it_was_written(book: RuleBook) -> None:
    text = book.rule_text("new-payee")
    assert text.startswith("// Money never goes to somebody new without a lawyer.")
    assert '@approval("legal:1")' in text
    with pytest.raises(KeyError):
        book.rule_text("no-such-rule")


def test_the_hash_is_of_the_rule_and_not_of_its_looks(book: RuleBook) -> None:
    text = book.rule_text("new-payee").replace("// Money", "// Cash").replace("\n", "\n\n")
    others = {"policies/refunds.cedar": text}
    same = sample(replace={**others, **UNCHECKED})
    other = text.replace("legal:1", "legal:2")
    changed = sample(replace={"policies/refunds.cedar": other, **UNCHECKED})
    hashes = [
        {rule.id: rule.text_hash for rule in each.rules}["new-payee"]
        for each in (book, same, changed)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    asked = book.decide(
        ask({**SMALL, "facts": {"value": 1, "currency": "USD", "new_payee": True}})
    ).asks
    assert [ask.text_hash for ask in asked] == [hashes[0]]
