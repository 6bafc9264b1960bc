"""Facts have one meaning whatever the tool; one that cannot be computed refuses the action."""

from typing import Any

import pytest

from bailiwick.catalog.domains import domain
from bailiwick.catalog.money import micro_usd, minor_units
from bailiwick.errors import BadInput, CatalogError
from tests.s04_validate.projects import (
    CHARGE,
    REFUND,
    Members,
    catalogue_of,
    changed,
    codes_of,
    mail,
    refusal_of,
    search,
    situation_of,
)

BEFORE: Any = {"charge": {"new_payee": False, "customer": "cus_1"}}
ANY: Members = {"type": "object", "properties": {"a": {}, "c": {}}, "required": ["a"]}


def refund(**facts: object) -> Members:
    return changed(REFUND, facts={"value": "args.amount_minor", "currency": '"USD"', **facts})


def asking(fact: str, kind: str | None = None) -> Members:
    """A tool whose argument `a` is taken as the fact."""
    types = {"fact_types": {fact: kind}} if kind else {}
    return search(ANY, facts={fact: "args.a"}, **types)


def test_a_refund_has_value_currency_and_what_the_read_showed() -> None:
    found = situation_of(
        catalogue_of(CHARGE, REFUND),
        "payments.refund",
        {"charge": "ch_1", "amount_minor": 500},
        BEFORE,
    )
    assert found.facts == {"value": 500, "currency": "USD", "new_payee": False}
    assert found.before == BEFORE
    assert (found.resource.type, found.resource.id) == ("Charge", "ch_1")
    assert found.effect_key == "ch_1"
    assert found.canonical == b'{"amount_minor":500,"charge":"ch_1","currency":"USD"}'


def test_types_of_facts_are_on_the_tool() -> None:
    own = refund(age_days="1", note="args.charge")
    own["fact_types"] = {"age_days": "Long", "note": "String"}
    tool = catalogue_of(CHARGE, own).tools["payments.refund"]
    assert tool.fact_types == {
        "value": "Long",
        "currency": "String",
        "age_days": "Long",
        "note": "String",
    }


@pytest.mark.claim("catalog.fact-or-refusal")
@pytest.mark.parametrize(
    ("fact", "kind", "value"),
    [
        ("recipients", None, -1),
        ("recipients", None, "a@b.example"),
        ("recipients", None, True),
        ("recipients", None, 1.5),
        ("recipients", None, None),
        ("destinations", None, 5),
        ("destinations", None, [5]),
        ("destinations", None, ["ok.example", None]),
        ("destinations", None, ["a@b.example, c@d.example"]),
        ("new_payee", None, "false"),
        ("new_payee", None, 0),
        ("new_payee", None, None),
        ("environment", None, ["production"]),
        ("environment", None, ""),
        ("environment", None, "prod\u200buction"),
        ("environment", None, "e\u0301"),
        ("environment", None, "x" * 600),
        ("customer", None, 7),
        ("age", "Long", "7"),
        ("age", "Long", False),
        ("age", "Long", 0.5),
        ("kept", "Bool", 1),
        ("labels", "Set<String>", "x"),
        ("labels", "Set<String>", ["x", 1]),
        ("labels", "Set<String>", ["\u202e"]),
    ],
)
def test_a_fact_of_the_wrong_kind_refuses(fact: str, kind: str | None, value: Any) -> None:
    refusal = refusal_of(catalogue_of(asking(fact, kind)), "crm.search", {"a": value})
    assert refusal.code == "fact_invalid"
    assert f"`{fact}`" in refusal.message
    assert refusal.message.isprintable()


@pytest.mark.parametrize(
    ("fact", "kind", "value", "expected"),
    [
        ("recipients", None, 0, 0),
        ("recipients", None, ["a@b.example", "a@b.example"], 2),
        ("destinations", None, "Ann@Example.COM", ["example.com"]),
        (
            "destinations",
            None,
            ["z.example", "a@z.example", "b.example"],
            ["b.example", "z.example"],
        ),
        ("destinations", None, [], []),
        ("new_payee", None, True, True),
        ("environment", None, "Zoë", "Zoë"),
        ("age", "Long", -3, -3),
        ("labels", "Set<String>", ["b", "a", "b"], ["a", "b"]),
    ],
)
def test_a_fact_of_the_right_kind_is_given(
    fact: str, kind: str | None, value: Any, expected: Any
) -> None:
    found = situation_of(catalogue_of(asking(fact, kind)), "crm.search", {"a": value})
    assert found.facts == {fact: expected}


@pytest.mark.claim("catalog.fact-or-refusal")
@pytest.mark.parametrize(
    "before", [{}, {"charge": None}, {"charge": {}}, {"charge": {"new_payee": None}}, {"charge": 1}]
)
def test_what_the_read_did_not_show_refuses(before: Any) -> None:
    refusal = refusal_of(
        catalogue_of(CHARGE, REFUND), "payments.refund", {"charge": "c", "amount_minor": 1}, before
    )
    assert refusal.code == "fact_invalid"
    assert "`new_payee`" in refusal.message


def test_an_expression_that_fails_in_cel_refuses() -> None:
    own = refund(new_payee="before.charge.payee in before.charge.known")
    catalogue = catalogue_of(CHARGE, own)
    arguments = {"charge": "ch_1", "amount_minor": 5}
    refusal = refusal_of(catalogue, "payments.refund", arguments, {"charge": {"payee": "p"}})
    assert refusal.code == "fact_invalid"
    before: Any = {"charge": {"payee": "p", "known": ["p"]}}
    found = situation_of(catalogue, "payments.refund", arguments, before)
    assert found.facts["new_payee"] is True


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", "", "U$D", "\uff35\uff33\uff24"])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    refusal = refusal_of(
        catalogue_of(CHARGE, REFUND),
        "payments.refund",
        {"charge": "c", "amount_minor": 1, "currency": currency},
        BEFORE,
    )
    assert "`currency`" in refusal.message


DECIMAL = search(
    {**ANY, "required": ["a", "c"]}, facts={"value": "decimal(args.a)", "currency": "args.c"}
)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("42", "USD", 4200),
        ("42.5", "USD", 4250),
        ("0.01", "USD", 1),
        ("42.000", "USD", 4200),
        ("42", "JPY", 42),
        ("1.234", "KWD", 1234),
        ("0.0001", "CLF", 1),
        ("90071992547409.91", "USD", 9007199254740991),
    ],
)
def test_a_decimal_amount_becomes_minor_units(amount: str, currency: str, minor: int) -> None:
    found = situation_of(catalogue_of(DECIMAL), "crm.search", {"a": amount, "c": currency})
    assert found.facts["value"] == minor


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        ("42.001", "USD"),
        ("42.5", "JPY"),
        ("-1", "USD"),
        ("+1", "USD"),
        ("1e3", "USD"),
        ("1,000", "USD"),
        (" 1", "USD"),
        ("1.", "USD"),
        (".5", "USD"),
        ("", "USD"),
        ("\u0661", "USD"),
        ("NaN", "USD"),
        ("90071992547409.92", "USD"),
        (42, "USD"),
        (42.5, "USD"),
        (None, "USD"),
        ("42", "usd"),
    ],
)
def test_an_unclear_amount_refuses(amount: Any, currency: str) -> None:
    refusal = refusal_of(catalogue_of(DECIMAL), "crm.search", {"a": amount, "c": currency})
    assert refusal.code == "fact_invalid"


@pytest.mark.parametrize(
    ("amount", "micro"),
    [
        ("0.001", 1000),
        ("5", 5_000_000),
        ("0.000001", 1),
        (0.1, 100_000),
        (0.000001, 1),
        (1.1, 1_100_000),
        (2, 2_000_000),
        (5.0, 5_000_000),
        (1e3, 1_000_000_000),
    ],
)
def test_dollars_become_micro_dollars_without_a_rounding_error(amount: Any, micro: int) -> None:
    assert micro_usd(amount) == micro


@pytest.mark.parametrize("amount", ["0.0000001", 1e-7, -1, "-1", float("nan"), 1e300, True, "x"])
def test_dollars_that_have_no_whole_micro_dollars_are_refused(amount: Any) -> None:
    with pytest.raises(BadInput) as error:
        micro_usd(amount)
    assert error.value.code == "amount_invalid"


def test_minor_units_are_exact_beyond_what_a_float_can_hold() -> None:
    assert minor_units("9007199254740.93", "USD") == 900719925474093
    assert micro_usd("9007199254.740991") == 9007199254740991


@pytest.mark.claim("catalog.destination-one-reading")
@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("ann@example.com", "example.com"),
        ("Ann.B+tag@EXAMPLE.com", "example.com"),
        ("example.com", "example.com"),
        ("example.com.", "example.com"),
        ("https://Example.com", "example.com"),
        ("https://example.com:8443/path?to=a@evil.example", "example.com"),
        ("HTTP://EXAMPLE.COM#x@y", "example.com"),
        ("wss://a.example/", "a.example"),
        ("ann@bücher.example", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("https://пример.рф/", "xn--e1afmkfd.xn--p1ai"),
        ("p\u0430ypal.com", "xn--pypal-4ve.com"),
        ("https://10.0.0.1:80/", "10.0.0.1"),
        ("https://[2001:DB8::1]/", "2001:db8::1"),
        ("localhost", "localhost"),
    ],
)
def test_a_destination_is_its_domain(text: str, seen: str) -> None:
    assert domain(text) == seen


@pytest.mark.claim("catalog.destination-one-reading")
@pytest.mark.parametrize(
    "text",
    [
        "https://example.com@evil.example/",
        "https://user:pw@example.com/",
        "https://example.com\\@evil.example/",
        "https:\\\\evil.example",
        "https:/evil.example",
        "//evil.example",
        "https://",
        "https://exa mple.com",
        "https://example.com:port/",
        "https://example.com%2eevil.example/",
        "ftp://example.com/",
        "javascript:alert(1)",
        "mailto:ann@example.com",
        "Ann <ann@example.com>",
        '"ann@example.com"@evil.example',
        "ann@example.com@evil.example",
        "ann@example.com,bob@evil.example",
        "ann@example.com;bob@evil.example",
        "ann@example.com bob@evil.example",
        "ann@",
        "@example.com",
        "ann@[10.0.0.1]",
        "example..com",
        ".example.com",
        "-a.example",
        "a_b.example",
        "*.example",
        "x" * 64 + ".example",
        "\uff45xample.com",
        "exa\u00admple.com",
        "exa\u200dmple.com",
        "example.com\n",
        "https://example.com/\u202e",
        "xn--zzzz",
        "0x7f.1",
        "2130706433",
        "10.0.0.01",
        "10.1",
        "[::1",
        ".",
        "",
    ],
)
def test_a_destination_that_could_be_read_in_two_ways_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as error:
        domain(text)
    assert error.value.code in ("destination_invalid", "identifier_unsafe", "identifier_length")
    assert error.value.message.isprintable()


def test_a_list_of_recipients_gives_their_number_and_their_domains() -> None:
    found = situation_of(
        catalogue_of(mail()), "mail.send", {"to": ["a@x.example", "b@x.example", "c@Y.example"]}
    )
    assert found.facts == {"recipients": 3, "destinations": ["x.example", "y.example"]}


@pytest.mark.parametrize(
    ("tools", "code"),
    [
        ([search(ANY, facts={"valeu": "args.a"})], "fact_unknown"),
        ([search(ANY, facts={"over_budget": "args.a"})], "fact_unknown"),
        (
            [search(ANY, facts={"over_budget": "args.a"}, fact_types={"over_budget": "Bool"})],
            "fact_name_invalid",
        ),
        ([search(ANY, facts={"Age": "args.a"}, fact_types={"Age": "Long"})], "fact_name_invalid"),
        ([search(ANY, fact_types={"age": "Long"})], "fact_name_invalid"),
        (
            [search(ANY, facts={"value": "args.a"}, fact_types={"value": "String"})],
            "fact_type_conflict",
        ),
        ([search(ANY, facts={"age": "args.a"}, fact_types={"age": "Float"})], "member_invalid"),
        (
            [
                asking("age", "Long"),
                changed(asking("age", "String"), name="crm.find"),
            ],
            "fact_type_conflict",
        ),
        ([search(ANY, facts={"value": "args.a"})], "law_fact_missing"),
    ],
)
def test_a_fact_has_one_name_and_one_type(tools: list[Members], code: str) -> None:
    assert code in codes_of(*tools)


def test_a_misspelt_fact_has_a_suggestion() -> None:
    with pytest.raises(CatalogError, match="did you mean `value`"):
        catalogue_of(search(ANY, facts={"valeu": "args.a"}))
