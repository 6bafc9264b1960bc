"""What step 4 makes of arguments: the resource, the keys, the expressions, the version."""

from typing import Any

import msgspec
import pytest

from bailiwick.errors import CatalogError
from tests.s04_validate.projects import (
    ABSENT,
    CHARGE,
    REFUND,
    Members,
    catalogue_of,
    changed,
    codes_of,
    load,
    mail,
    problems_in,
    refusal_of,
    search,
    situation_of,
)

ANY: Members = {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]}


def test_an_empty_project_has_no_tools() -> None:
    assert load({}).tools == {}


def test_a_tool_that_names_no_resource_touches_itself() -> None:
    found = situation_of(catalogue_of(search(ANY)), "crm.search", {"a": 1})
    assert (found.resource.type, found.resource.id) == ("Tool", "crm.search")
    assert (found.effect_key, found.destination, found.facts) == (None, None, {})


KEYED = mail(
    parameters=ANY,
    resource={"type": "Mailbox", "id": "args.a"},
    facts={"recipients": 1, "destinations": '"x.example"'},
)


@pytest.mark.parametrize("member", ["resource", "effect_key", "destination"])
@pytest.mark.parametrize(
    "value", [None, True, 1.5, ["x"], {}, "", "a\u202eb", "e\u0301", "x" * 600]
)
def test_what_names_something_is_safe_text(member: str, value: Any) -> None:
    tool = changed(
        KEYED, **({} if member == "resource" else {"resource": ABSENT, member: "args.a"})
    )
    refusal = refusal_of(catalogue_of(tool), "mail.send", {"a": value})
    assert refusal.code == f"{member}_invalid"
    assert refusal.message.isprintable()


@pytest.mark.parametrize(("value", "text"), [("ch_1", "ch_1"), (7, "7"), ("a/b c", "a/b c")])
def test_an_integer_names_something_too(value: Any, text: str) -> None:
    tool = changed(KEYED, effect_key="args.a", destination="args.a")
    found = situation_of(catalogue_of(tool), "mail.send", {"a": value})
    assert (found.resource.id, found.effect_key, found.destination) == (text, text, text)


def test_an_effect_key_may_be_put_together() -> None:
    tool = changed(REFUND, effect_key='args.charge + "/refund"')
    found = situation_of(
        catalogue_of(CHARGE, tool),
        "payments.refund",
        {"charge": "ch_1", "amount_minor": 1},
        {"charge": {"new_payee": True}},
    )
    assert found.effect_key == "ch_1/refund"


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        (
            changed(CHARGE, resource={"type": "Charge", "id": "args.chrage"}),
            "did you mean `charge`",
        ),
        (changed(CHARGE, resource={"type": "Charge", "id": "before.x"}), "too early"),
        (changed(CHARGE, resource={"type": "Charge", "id": "after.x"}), "too early"),
        (changed(CHARGE, resource={"type": "Charge", "id": "charge"}), "begins with no known name"),
        (changed(CHARGE, facts={"environment": "production"}), "quotes of its own"),
        (changed(CHARGE, facts={"environment": "before.charge.x"}), "names no member of `before`"),
        (changed(CHARGE, facts={"environment": "result.x"}), "too early"),
        (changed(CHARGE, facts={"environment": "action.id"}), "too early"),
        (changed(CHARGE, facts={"environment": "args."}), "does not compile"),
        (changed(CHARGE, headers={"X-Run": "action.rnu"}), "did you mean `run`"),
        (changed(CHARGE, headers={"If-Match": "before.charge.etag"}), "too early"),
        (changed(REFUND, headers={"If-Match": "before.chrage.etag"}), "did you mean `charge`"),
        (changed(REFUND, facts={**REFUND["facts"], "customer": "args.reason"}), "may be left out"),
        (changed(REFUND, effect_key="args.reason"), "may be left out"),
        (changed(REFUND, destination="args.reason"), "may be left out"),
        (changed(REFUND, expect="afterwards.x == 1"), "does not compile"),
        (
            changed(
                REFUND, reader={"tool": "payments.charge", "arguments": {"charge": "after.id"}}
            ),
            "too early",
        ),
        (
            changed(
                REFUND,
                before={"charge": {"tool": "payments.charge", "arguments": {"charge": "result.x"}}},
            ),
            "too early",
        ),
    ],
)
def test_an_expression_that_cannot_hold_is_found_at_load(tool: Members, said: str) -> None:
    others = [CHARGE] if tool["name"] != CHARGE["name"] else []
    with pytest.raises(CatalogError) as error:
        catalogue_of(*others, tool)
    assert [code for code, _ in problems_in(error)] == ["expression_invalid"]
    assert said in str(error.value)


def test_what_only_looks_like_a_path_is_left_to_cel() -> None:
    body = {"left": "args.amount_minor-args.amount_minor", "nothing": "null", "all": "args"}
    tool = changed(REFUND, body=body)
    catalogue = catalogue_of(CHARGE, tool)
    refund = catalogue.tools["payments.refund"]
    names: Any = {"args": {"amount_minor": 5}}
    assert [catalogue.evaluate(refund, text, names) for text in body.values()] == [
        *(0, None, {"amount_minor": 5}),
    ]


def test_a_read_may_use_what_earlier_reads_showed() -> None:
    charge = {"tool": "payments.charge", "arguments": {"charge": "args.charge"}}
    parent = {"tool": "payments.charge", "arguments": {"charge": "before.charge.parent"}}
    tool = changed(REFUND, before={"charge": charge, "parent": parent})
    assert list(catalogue_of(CHARGE, tool).tools["payments.refund"].before) == ["charge", "parent"]
    turned = changed(REFUND, before={"parent": parent, "charge": charge})
    assert codes_of(CHARGE, turned) == ["expression_invalid"]


def test_a_path_that_depends_on_a_default_is_certain() -> None:
    tool = changed(REFUND, destination="args.currency")
    assert catalogue_of(CHARGE, tool).tools


def test_an_expression_is_evaluated_over_what_it_is_given() -> None:
    catalogue = catalogue_of(CHARGE, REFUND)
    tool = catalogue.tools["payments.refund"]
    assert tool.expect is not None
    names: Any = {"args": {"amount_minor": 5}, "after": {"refunded_minor": 7}}
    assert catalogue.evaluate(tool, tool.expect, names) is True
    assert catalogue.evaluate(tool, "args.charge", {"args": {"charge": "c"}}) == "c"


def test_only_the_tools_own_expressions_are_evaluated() -> None:
    catalogue = catalogue_of(CHARGE, REFUND)
    with pytest.raises(CatalogError) as error:
        catalogue.evaluate(catalogue.tools["payments.charge"], "args.amount_minor", {})
    assert error.value.code == "expression_unknown"


def test_an_http_tool_has_no_function() -> None:
    catalogue = catalogue_of(CHARGE)
    with pytest.raises(CatalogError) as error:
        catalogue.function(catalogue.tools["payments.charge"])
    assert error.value.code == "tool_not_python"


@pytest.mark.claim("catalog.changed-definition-is-another-version")
@pytest.mark.parametrize(
    "changes",
    [
        {"description": "Gives money away."},
        {"timeout_s": 11},
        {"cost_usd": "0.002"},
        {"effect_key": '"x"'},
        {"expect": "true"},
        {"path": "/v2/refunds"},
        {"idempotency_header": "X-Key"},
        {"facts": {**REFUND["facts"], "new_payee": "false"}},
        {"parameters": {**REFUND["parameters"], "required": ["charge", "amount_minor", "reason"]}},
        {"gated": True},
        {"owner": "someone else"},
        {"retries": 0},
        {"settles_within_s": 6},
        {"key_retention_s": "none"},
    ],
)
def test_a_changed_definition_is_another_version(changes: Members) -> None:
    first = catalogue_of(CHARGE, REFUND)
    second = catalogue_of(CHARGE, changed(REFUND, **changes))
    old, new = first.tools["payments.refund"], second.tools["payments.refund"]
    assert old.digest != new.digest
    assert len(new.digest) == 64
    with pytest.raises(CatalogError) as error:
        second.arguments(old, {"charge": "c", "amount_minor": 1})
    assert error.value.code == "tool_unknown"


def test_the_version_does_not_depend_on_the_order_or_form_of_the_file() -> None:
    turned = dict(reversed(REFUND.items()))
    turned["timeout_s"] = 10.0
    turned["cost_usd"] = 0.001
    first, second = catalogue_of(CHARGE, REFUND), catalogue_of(turned, CHARGE, name="payments")
    assert first.tools["payments.refund"].digest == second.tools["payments.refund"].digest


def test_a_tool_of_another_catalogue_is_not_judged_here() -> None:
    tool = catalogue_of(CHARGE).tools["payments.charge"]
    stranger = msgspec.structs.replace(tool, name="payments.other")
    with pytest.raises(CatalogError) as error:
        catalogue_of(CHARGE).resource(stranger, {"charge": "c"})
    assert error.value.code == "tool_unknown"


def test_a_schema_that_is_wrong_is_named_with_its_tool() -> None:
    assert codes_of(search({"type": "objekt"})) == ["schema_not_object"]
    assert codes_of(search({"type": "object", "properties": {"a": {"$ref": "x"}}})) == [
        "schema_remote_reference"
    ]


def test_a_tool_without_parameters_takes_none() -> None:
    catalogue = catalogue_of(search(ABSENT))
    assert situation_of(catalogue, "crm.search", {}).arguments == {}
    assert refusal_of(catalogue, "crm.search", {"a": 1}).code == "arguments_invalid"
