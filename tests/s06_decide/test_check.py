"""What a policy is refused for before it can be released: all of it at once, with what to do."""

from typing import Any

import pytest

from tests.s06_decide.project import UNCHECKED, findings, load, sample

REFUSED: list[dict[str, Any]] = load("refused.yaml")


def claimed(claim: str) -> pytest.MarkDecorator:
    found = [entry for entry in REFUSED if entry.get("claim", "") == claim]
    assert found
    return pytest.mark.parametrize("entry", found, ids=lambda entry: str(entry["case"]))


def check(entry: dict[str, Any]) -> None:
    changes = {k: v for k, v in entry.items() if k in ("rules", "more_tools", "agents", "replace")}
    found = findings(**changes)
    named = [(each["rule"], each["reason"]) for each in found]
    assert any(rule == entry["rule"] and entry["reason"] in reason for rule, reason in named), named
    assert all(each["help"] and each["file"] for each in found)


@pytest.mark.claim("policy.checked-before-release")
@claimed("policy.checked-before-release")
def test_what_does_not_parse_or_type_check_is_refused(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.has-typo-refused")
@claimed("policy.has-typo-refused")
def test_what_would_silently_never_fire_is_refused(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.ids")
@claimed("policy.ids")
def test_each_rule_has_an_id_of_its_own(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.evidence-and-annotation")
@claimed("policy.evidence-and-annotation")
def test_evidence_and_annotation_belong_together(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.facts-are-typed")
@claimed("policy.facts-are-typed")
def test_facts_have_one_type_and_traits_their_facts(entry: dict[str, Any]) -> None:
    check(entry)


@pytest.mark.claim("policy.tests-hold-the-release")
@claimed("policy.tests-hold-the-release")
def test_a_projects_own_tests_and_assertions_hold_its_release(entry: dict[str, Any]) -> None:
    check(entry)


@claimed("")
def test_a_manifest_that_cannot_be_meant_is_refused(entry: dict[str, Any]) -> None:
    check(entry)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = findings(
        rules="""
            forbid (principal, action, resource);
            @id("a") forbid (principal, action, resource) when { context.facts.vlaue > 5 };
            @id("b") @approval("finance") forbid (principal == Agent::"x", action, resource);
            @id("c") forbid (principal, action, resource) when { 1 + };
        """,
        agents=[{"name": "z", "deny_when": ["value"]}],
        replace={"policies/other.cedar": '@id("b") permit (principal, action, resource);'},
    )
    assert [(each["file"], each["line"], each["rule"]) for each in found] == [
        ("policies/more.cedar", 2, "line 2"),
        ("policies/more.cedar", 4, "b"),
        ("policies/more.cedar", 5, "line 5"),
        ("agents/z.yaml", 0, "deny_when"),
        ("policies/other.cedar", 1, "b"),
        ("policies/more.cedar", 3, "a"),
        ("policies/more.cedar", 4, "b"),
        ("policies/more.cedar", 4, "b"),
    ]


def test_the_sample_project_is_not_refused() -> None:
    assert findings() == []


def test_comments_and_semicolons_in_texts_do_not_cut_a_rule() -> None:
    rules = """
        // one; two
        @id("odd") @reason("a; b // c \\" d")
        forbid (principal, action == Action::"payments.show", resource)
        when { context.input.charge == "; // \\"" }; // and ; after
        // the end; really
    """
    book = sample(rules=rules, replace=UNCHECKED)
    assert [rule.id for rule in book.rules if rule.file == "policies/more.cedar"] == ["odd"]
    assert book.rule_text("odd").endswith("};")


def test_a_file_elsewhere_is_no_rule() -> None:
    stray = {"prompts/evil.cedar": "permit (principal, action, resource);"}
    assert findings(replace=stray) == []
