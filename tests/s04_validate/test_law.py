"""The write-tool law: what a tool owes, or the catalogue does not load."""

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
    mail,
    problems_in,
)

NO_CHECK: Members = {"reader": ABSENT, "expect": ABSENT}
CANCEL = changed(
    REFUND,
    name="payments.cancel",
    gated=True,
    path="/v1/cancel",
    parameters={
        "type": "object",
        "properties": {"refund": {"type": "string"}, "why": {"type": "string", "default": "undo"}},
        "required": ["refund", "why"],
    },
    resource=ABSENT,
    before=ABSENT,
    traits=ABSENT,
    facts=ABSENT,
    effect_key=ABSENT,
    **NO_CHECK,
)


@pytest.mark.claim("catalog.write-tool-law")
@pytest.mark.parametrize(
    "way",
    [
        {},
        {**NO_CHECK, "gated": True},
        {
            **NO_CHECK,
            "reverser": "payments.cancel",
            "reverser_arguments": {"refund": "result.id"},
        },
    ],
    ids=["verifiable", "gated", "reversible"],
)
def test_a_write_that_can_be_checked_undone_or_gated_loads(way: Members) -> None:
    assert "payments.refund" in catalogue_of(CHARGE, CANCEL, changed(REFUND, **way)).tools


@pytest.mark.claim("catalog.write-tool-law")
@pytest.mark.parametrize(
    ("changes", "code", "add"),
    [
        (NO_CHECK, "law_no_way_back", "`gated: true`"),
        ({**NO_CHECK, "gated": False}, "law_no_way_back", "`gated: true`"),
        ({"owner": ""}, "law_no_owner", "add `owner`"),
        ({"key_retention_s": ABSENT}, "law_no_idempotency", "`key_retention_s: none`"),
        ({"key_retention_s": None}, "law_no_idempotency", "`key_retention_s: none`"),
        ({"idempotency_header": ABSENT}, "law_key_not_sent", "`idempotency_header`"),
        ({"settles_within_s": ABSENT}, "law_no_settling_time", "`settles_within_s`"),
        ({"effect_key": ABSENT}, "law_no_effect_key", "`effect_key`"),
        (
            {"effect_key": ABSENT, "traits": ["destructive"]},
            "law_no_effect_key",
            "`effect_key`",
        ),
        ({"expect": ABSENT, "gated": True}, "law_half_declared", "add `expect`"),
        ({"reader": ABSENT, "gated": True}, "law_half_declared", "add `reader`"),
        ({"found": "after.id == action.id"}, "law_half_declared", "add `find`"),
        (
            {"find": {"tool": "payments.charge", "arguments": {"charge": "args.charge"}}},
            "law_half_declared",
            "add `found`",
        ),
        (
            {"facts": {"currency": "args.currency"}},
            "law_fact_missing",
            "add `value`",
        ),
        ({"facts": {"value": "args.amount_minor"}}, "law_fact_missing", "add `currency`"),
        ({"traits": ["money", "outbound"]}, "law_fact_missing", "add `recipients`"),
        (
            {"reader": {"tool": "payments.chrage", "arguments": {}}},
            "law_tool_missing",
            "did you mean `payments.charge`",
        ),
        (
            {"reader": {"tool": "payments.cancel", "arguments": {"refund": "args.charge"}}},
            "law_wrong_effect",
            "`effect: read`",
        ),
        (
            {"before": {"charge": {"tool": "payments.cancel", "arguments": {"refund": "'x'"}}}},
            "law_wrong_effect",
            "`effect: read`",
        ),
        (
            {"reverser": "payments.charge", "reverser_arguments": {"charge": "args.charge"}},
            "law_wrong_effect",
            "`effect: write`",
        ),
        ({"reverser": "payments.cancel"}, "law_argument_missing", "add `refund`"),
        (
            {"reverser": "payments.cancel", "reverser_arguments": {"refund": "args.amount_minor"}},
            "law_argument_mistyped",
            "give what `payments.cancel` takes as `refund`",
        ),
        (
            {"reverser": "payments.cancel", "reverser_arguments": {"refund": "7"}},
            "law_argument_mistyped",
            "give what `payments.cancel` takes as `refund`",
        ),
        (
            {"reverser": "payments.cancel", "reverser_arguments": {"refund": "args.reason"}},
            "law_argument_mistyped",
            "give what `payments.cancel` takes as `refund`",
        ),
        (
            {
                **NO_CHECK,
                "reverser": "payments.cancel",
                "reverser_arguments": {"refund": "string(after.id)"},
            },
            "law_reverser_blind",
            "add `reader` with `expect`",
        ),
        ({"reverser_arguments": {"refund": "args.charge"}}, "law_half_declared", "add `reverser`"),
        (
            {
                "reverser": "payments.refund",
                "reverser_arguments": {
                    "charge": "args.charge",
                    "amount_minor": "args.amount_minor",
                },
            },
            "law_reverser_circular",
            "what was there before",
        ),
        (
            {"reverser": "payments.cancel", "reverser_arguments": {"refnud": "result.id"}},
            "law_argument_unknown",
            "did you mean `refund`",
        ),
        (
            {"reader": {"tool": "payments.charge", "arguments": {"id": "args.charge"}}},
            "law_argument_unknown",
            "`payments.charge` takes charge",
        ),
        ({"reverser": "books.undo"}, "law_tool_missing", "declare that tool as well"),
    ],
)
def test_a_write_against_the_law_does_not_load_and_says_what_to_add(
    changes: Members, code: str, add: str
) -> None:
    with pytest.raises(CatalogError) as error:
        catalogue_of(CHARGE, CANCEL, changed(REFUND, **changes))
    found = dict(problems_in(error))
    assert code in found
    assert found[code].startswith("payments.refund: ")
    assert add in error.value.help


@pytest.mark.claim("catalog.way-back-leads-back")
def test_a_pair_and_a_setting_of_what_was_before_are_ways_back() -> None:
    integer = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    up = changed(CANCEL, name="lift.up", parameters=integer, path="/up")
    down = changed(up, name="lift.down", path="/down")
    pair = {"reverser_arguments": {"n": "args.n"}}
    catalogue_of(
        CHARGE,
        changed(up, reverser="lift.down", **pair),
        changed(down, reverser="lift.up", **pair),
    )
    look = changed(CHARGE, name="lift.look", path="/at", parameters=ABSENT, resource=ABSENT)
    back = {"before": {"was": {"tool": "lift.look"}}, "reverser_arguments": {"n": "before.was.n"}}
    catalogue_of(look, changed(up, reverser="lift.up", **back))
    # Three that follow each other in a ring would end where they began: with the same again.
    ring = [("lift.up", "lift.down"), ("lift.down", "lift.hold"), ("lift.hold", "lift.up")]
    with pytest.raises(CatalogError) as error:
        catalogue_of(*(changed(up, name=name, reverser=by, **pair) for name, by in ring))
    assert {code for code, _ in problems_in(error)} == {"law_reverser_circular"}


@pytest.mark.claim("catalog.unclassified-does-not-run")
@pytest.mark.parametrize("effect", [ABSENT, "", "reads", "READ", "unknown"])
def test_a_tool_that_is_not_classified_does_not_load(effect: object) -> None:
    with pytest.raises(CatalogError) as error:
        catalogue_of(changed(CHARGE, effect=effect))
    assert problems_in(error)[0][0] == "tool_unclassified"
    assert "`payments.charge`" in error.value.message
    assert "`effect: read`" in error.value.help


@pytest.mark.claim("catalog.write-tool-law")
def test_one_tool_against_the_law_keeps_all_from_loading_and_all_are_named() -> None:
    first = changed(REFUND, **NO_CHECK)
    second = mail(gated=False, settles_within_s=ABSENT)
    with pytest.raises(CatalogError) as error:
        catalogue_of(CHARGE, first, second)
    assert [code for code, _ in problems_in(error)] == [
        "law_no_way_back",
        "law_no_way_back",
        "law_no_settling_time",
    ]
    assert "payments.refund" in error.value.message
    assert "mail.send" in error.value.message


@pytest.mark.parametrize("trait", ["money", "destructive", "permission", "code"])
def test_a_read_has_no_trait_of_a_write(trait: str) -> None:
    assert "law_read_with_write_trait" in codes_of(changed(CHARGE, traits=[trait]))


def test_a_read_may_go_outside() -> None:
    """Fetching a URL tells its owner what was asked, so the domain is a fact for the rules."""
    facts = {"recipients": 1, "destinations": "args.charge"}
    assert catalogue_of(changed(CHARGE, traits=["outbound"], facts=facts)).tools


@pytest.mark.parametrize(
    "members",
    [
        {"gated": True},
        {"effect_key": "args.charge"},
        {"reverser": "payments.charge", "reverser_arguments": {"charge": "args.charge"}},
        {
            "reader": {"tool": "payments.charge", "arguments": {"charge": "args.charge"}},
            "expect": "true",
        },
    ],
)
def test_a_read_declares_nothing_of_a_write(members: Members) -> None:
    assert "law_read_with_write_members" in codes_of(changed(CHARGE, **members))


@pytest.mark.claim("catalog.reads-and-writes-apart")
def test_reads_and_writes_never_share_a_credential() -> None:
    both = {"read": "payments-all", "write": "payments-all"}
    assert codes_of(CHARGE, REFUND, credentials=both) == ["credential_shared"]


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("crm.one", "crm.one"), "tool_duplicate"),
        (("crm.one", "crm.0ne"), "tool_look_alike"),
        (("crm.list", "crm.1ist"), "tool_look_alike"),
        (("crm.turn", "crm.tum"), "tool_look_alike"),
        (("crm.see", "crm.se_e"), "tool_look_alike"),
        (("crm.vvin", "crm.win"), "tool_look_alike"),
    ],
)
def test_two_tools_do_not_look_alike(names: tuple[str, str], code: str) -> None:
    assert codes_of(*(changed(CHARGE, name=name) for name in names)) == [code]


def test_tools_whose_names_differ_load() -> None:
    names = ("crm.one", "crm.two", "crm.one_more", "crm2.one", "crm.one.two")
    assert set(catalogue_of(*(changed(CHARGE, name=name) for name in names)).tools) == set(names)
