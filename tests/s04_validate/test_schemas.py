"""Arguments are held to a closed, local, bounded schema; what comes out is the one value."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.catalog import left_out
from bailiwick.catalog.schemas import compile_schema
from bailiwick.errors import CatalogError
from bailiwick.values import canonical, parse
from tests.s04_validate.projects import catalogue_of, refusal_of, search, situation_of

Schema = dict[str, Any]


def schema(properties: Schema, **others: Any) -> Schema:
    return {"type": "object", "properties": properties, **others}


def refused(given: Any) -> tuple[str, str]:
    with pytest.raises(CatalogError) as error:
        compile_schema(given, "tools/x.yaml")
    return error.value.code, error.value.message


@pytest.mark.claim("catalog.remote-ref-refused")
@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/schema.json",
        "https://json-schema.org/draft/2020-12/schema",
        "file:///etc/passwd",
        "//host/schema",
        "other.json",
        "other.json#/$defs/x",
        "json-schema:///x",
        "",
        "#anchor",
    ],
)
@pytest.mark.parametrize("place", ["property", "definition", "items", "branch"])
def test_a_reference_that_leaves_the_document_is_refused(reference: str, place: str) -> None:
    leaving = {"$ref": reference}
    given = {
        "property": schema({"a": leaving}),
        "definition": schema({}, **{"$defs": {"x": leaving}}),
        "items": schema({"a": {"type": "array", "items": leaving}}),
        "branch": schema({"a": {"anyOf": [leaving, {"type": "null"}]}}),
    }[place]
    code, message = refused(given)
    assert code == "schema_remote_reference"
    assert f"`{reference}`" in message


def test_a_local_reference_works() -> None:
    catalogue = catalogue_of(
        search(
            schema(
                {"a": {"$ref": "#/$defs/posi~1tive"}},
                **{"$defs": {"posi/tive": {"type": "integer", "minimum": 1}}},
            )
        )
    )
    assert situation_of(catalogue, "crm.search", {"a": 1}).input == {"a": 1}
    assert refusal_of(catalogue, "crm.search", {"a": 0}).code == "arguments_invalid"


def test_an_anchor_that_nothing_refers_to_is_kept() -> None:
    named = {"b": {"$anchor": "x", "type": "integer"}}
    given = schema({"a": {"$ref": "#/$defs/b"}}, **{"$defs": named})
    assert compile_schema(given, "x").schema["$defs"] == named


def test_a_reference_in_data_is_data() -> None:
    given = schema({"$ref": {"const": {"$ref": "http://example.com"}}})
    assert compile_schema(given, "x").schema["properties"] == given["properties"]


DOUBLING = {
    f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}, {"$ref": f"#/$defs/a{n + 1}"}]}
    for n in range(40)
} | {"a40": {"type": "object"}}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"type": "array"}, "schema_not_object"),
        ({"properties": {}}, "schema_not_object"),
        ({"type": ["object", "null"]}, "schema_not_object"),
        ([], "schema_not_object"),
        (schema({"a": {"type": "strin"}}), "schema_invalid"),
        (schema({"a": 3}), "schema_invalid"),
        (schema({}, required="a"), "schema_invalid"),
        ({"type": "object", "properties": 3}, "schema_invalid"),
        (schema({"a": {"minimum": float("nan")}}), "schema_invalid"),
        (schema({"a": {"$ref": "#/$defs/none"}}), "schema_invalid"),
        (schema({"a": {"$ref": "#/properties/a"}}), "schema_invalid"),
        (
            schema(
                {"a": {"$ref": "#/$defs/b"}},
                **{"$defs": {"b": {"anyOf": [{"$ref": "#/$defs/c"}]}, "c": {"$ref": "#/$defs/b"}}},
            ),
            "schema_invalid",
        ),
        (schema({"a": {"pattern": "(?=a)b"}}), "schema_invalid"),
        (schema({"a": {"pattern": r"(a)\1"}}), "schema_invalid"),
        (schema({"a": {"pattern": "("}}), "schema_invalid"),
        (schema({"a": {"pattern": "((a{100}){100}){100}"}}), "schema_invalid"),
        (schema({"a": {"type": "string", "format": "phone"}}), "schema_invalid"),
        (schema({}, **{"$schema": "http://json-schema.org/draft-07/schema#"}), "schema_invalid"),
        (schema({}, requried=["a"]), "schema_keyword_unknown"),
        (schema({"a": {"$id": "http://x"}}), "schema_keyword_unknown"),
        (
            schema({"a": {"$ref": "#x"}}, **{"$defs": {"b": {"$anchor": "x"}}}),
            "schema_remote_reference",
        ),
        (schema({"a": {"$dynamicRef": "#x"}}), "schema_keyword_unknown"),
        (schema({}, definitions={}), "schema_keyword_unknown"),
        (schema({"a": {"enum": ["x" * 70_000]}}), "schema_too_large"),
        (schema({"a": {"$ref": "#/$defs/a0"}}, **{"$defs": DOUBLING}), "schema_too_large"),
        (
            schema({"a": schema({"b": {"default": 1}}, default={})}),
            "schema_default_incomplete",
        ),
    ],
)
def test_a_schema_that_would_not_hold_is_refused_at_load(given: Any, code: str) -> None:
    assert refused(given)[0] == code


def test_a_schema_nested_too_deeply_is_refused() -> None:
    deep: Schema = {"type": "string"}
    for _ in range(60):
        deep = {"type": "array", "items": deep}
    assert refused(schema({"a": deep}))[0] == "schema_too_large"


def test_a_misspelt_keyword_has_a_suggestion() -> None:
    with pytest.raises(CatalogError) as error:
        compile_schema(schema({}, requried=["a"]), "x")
    assert error.value.help == "did you mean `required`"


def test_own_keywords_begin_with_x() -> None:
    assert compile_schema(schema({"a": {"x-unit": "kg", "type": "number"}}), "x")


def test_a_pattern_takes_linear_time() -> None:
    compiled = compile_schema(schema({"a": {"type": "string", "pattern": "^(a+)+$"}}), "x")
    begin = time.perf_counter()
    assert not compiled.validator.is_valid({"a": "a" * 200_000 + "b"})
    assert time.perf_counter() - begin < 1


OPEN_CASES: list[tuple[Schema, Any, bool]] = [
    ({"type": "object", "properties": {"b": {}}}, {"b": 1}, True),
    ({"type": "object", "properties": {"b": {}}}, {"c": 1}, False),
    ({"properties": {"b": {}}}, {"c": 1}, False),
    ({"type": "object"}, {"c": 1}, False),
    ({"type": "object", "additionalProperties": True}, {"c": 1}, True),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, {"c": 1}, True),
    ({"type": "object", "patternProperties": {"^x": {}}}, {"xc": 1}, True),
    ({"type": "object", "patternProperties": {"^x": {}}}, {"c": 1}, False),
    ({"type": ["object", "null"], "properties": {"b": {}}}, {"c": 1}, False),
    ({"type": "array", "items": {"type": "object", "properties": {"b": {}}}}, [{"c": 1}], False),
    ({"prefixItems": [{"type": "object"}]}, [{"c": 1}], False),
    ({"$ref": "#/$defs/point"}, {"x": 1}, True),
    ({"$ref": "#/$defs/point"}, {"x": 1, "y": 2}, False),
    ({"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]}, {"x": 1, "y": 2}, False),
    ({"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]}, None, True),
    (
        {"allOf": [{"$ref": "#/$defs/point"}, {"properties": {"y": {}}}]},
        {"x": 1, "y": 2},
        True,
    ),
    (
        {"allOf": [{"$ref": "#/$defs/point"}, {"properties": {"y": {}}}]},
        {"x": 1, "z": 2},
        False,
    ),
    ({"$ref": "#/$defs/nest"}, {"in": {"x": 1, "y": 2}}, False),
    ({}, {"c": 1}, True),
]


@pytest.mark.claim("catalog.objects-are-closed")
@pytest.mark.parametrize(("given", "value", "valid"), OPEN_CASES)
def test_an_object_takes_no_member_that_its_schema_does_not_name(
    given: Schema, value: Any, valid: bool
) -> None:
    definitions = {
        "point": {"type": "object", "properties": {"x": {"type": "integer"}}},
        "nest": {"type": "object", "properties": {"in": {"$ref": "#/$defs/point"}}},
    }
    compiled = compile_schema(schema({"a": given}, **{"$defs": definitions}), "x")
    assert compiled.validator.is_valid({"a": value}) is valid
    assert not compiled.validator.is_valid({"a": value, "b": 1})


def test_a_condition_tests_what_its_author_wrote() -> None:
    """Closed, the `if` would not hold for an address that says more, and `then` would not apply."""
    given = schema(
        {"to": {"type": "object", "properties": {"country": {}, "street": {}}}, "zip": {}},
        **{
            "if": {"properties": {"to": {"properties": {"country": {"const": "US"}}}}},
            "then": {"required": ["zip"]},
        },
    )
    compiled = compile_schema(given, "x")
    assert not compiled.validator.is_valid({"to": {"country": "US", "street": "Main"}})
    assert compiled.validator.is_valid({"to": {"country": "US", "street": "Main"}, "zip": 1})
    assert compiled.validator.is_valid({"to": {"country": "DE", "street": "Main"}})


ARGUMENTS = schema(
    {
        "name": {"type": "string", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1},
        "when": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}},
        "a/b~c": {"type": "boolean"},
    },
    required=["name"],
)


@pytest.mark.parametrize(
    ("arguments", "pointer", "said"),
    [
        ({"name": 5}, "/name", 'not of type "string": `5`'),
        ({"name": "toolong"}, "/name", "longer than 5"),
        ({"name": "x", "count": 0}, "/count", "minimum of 1"),
        ({"name": "x", "count": 1.5}, "/count", 'not of type "integer"'),
        ({"name": "x", "count": True}, "/count", 'not of type "integer"'),
        ({"name": "x", "count": "1"}, "/count", 'not of type "integer"'),
        ({"name": "x", "when": "2026-02-30"}, "/when", "date"),
        ({"name": "x", "tags": ["a", 2]}, "/tags/1", 'not of type "string"'),
        ({"name": "x", "place": {"city": "Paris"}}, "/place/city", "Paris"),
        ({"name": "x", "place": {"town": "Rome"}}, "/place", "town"),
        ({"name": "x", "a/b~c": 1}, "/a~1b~0c", "boolean"),
        ({}, "", '"name" is a required property'),
        ({"name": "x", "nmae": 1}, "", "nmae"),
        ({"name": None}, "/name", 'not of type "string"'),
    ],
)
def test_a_refusal_names_the_place_and_the_reason(arguments: Any, pointer: str, said: str) -> None:
    catalogue = catalogue_of(search(ARGUMENTS))
    refusal = refusal_of(catalogue, "crm.search", arguments)
    problems: Any = refusal.details["problems"]
    assert refusal.code == "arguments_invalid"
    assert (problems[0]["pointer"], len(problems)) == (pointer, 1)
    assert said in problems[0]["message"]
    assert said in refusal.message
    assert refusal.message.isprintable()


def test_a_misspelt_argument_has_a_suggestion() -> None:
    refusal = refusal_of(catalogue_of(search(ARGUMENTS)), "crm.search", {"name": "x", "coutn": 1})
    assert refusal.help == "did you mean `count`"


@pytest.mark.parametrize("count", [3, 200, 60_000])
def test_a_refusal_stays_short_whatever_was_sent(count: int) -> None:
    catalogue = catalogue_of(search(ARGUMENTS))
    arguments = {"name": "x\u202e" * 999, "tags": [1] * count}
    begin = time.perf_counter()
    refusal = refusal_of(catalogue, "crm.search", parse(arguments))
    assert time.perf_counter() - begin < 1
    problems: Any = refusal.details["problems"]
    assert 1 <= len(problems) <= 5
    assert len(refusal.message) < 2000
    assert refusal.message.isprintable()


def test_one_unknown_name_of_great_length_is_cut_with_its_length() -> None:
    arguments = {"name": "x", "\x1b" * 9000: 1}
    refusal = refusal_of(catalogue_of(search(ARGUMENTS)), "crm.search", arguments)
    assert len(refusal.message) < 4000
    assert "characters)" in refusal.message
    assert "\x1b" not in refusal.message


DEFAULTS = schema(
    {
        "currency": {"type": "string", "default": "USD"},
        "ratio": {"type": "integer", "default": 2.0},
        "place": schema({"city": {"type": "string", "default": "Rome"}, "zip": {}}),
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "spare": {"anyOf": [{"$ref": "#/$defs/line"}, {"type": "null"}], "default": None},
        "by_name": {"type": "object", "additionalProperties": {"$ref": "#/$defs/line"}},
        "child": {"$ref": "#/$defs/line"},
    },
    **{
        "$defs": {
            "line": schema({"count": {"type": "integer", "default": 1}, "sku": {"type": "string"}})
        }
    },
)
FILLED = {"currency": "USD", "ratio": 2, "spare": None}


@pytest.mark.parametrize(
    ("arguments", "whole"),
    [
        ({}, FILLED),
        ({"currency": "EUR"}, {**FILLED, "currency": "EUR"}),
        ({"place": {}}, {**FILLED, "place": {"city": "Rome"}}),
        ({"place": {"zip": [1]}}, {**FILLED, "place": {"city": "Rome", "zip": [1]}}),
        (
            {"lines": [{}, {"count": 5}, {"sku": "x"}]},
            {**FILLED, "lines": [{"count": 1}, {"count": 5}, {"count": 1, "sku": "x"}]},
        ),
        ({"spare": {"sku": "x"}}, {**FILLED, "spare": {"sku": "x", "count": 1}}),
        ({"by_name": {"a": {}}}, {**FILLED, "by_name": {"a": {"count": 1}}}),
        ({"child": {}}, {**FILLED, "child": {"count": 1}}),
    ],
)
def test_defaults_are_filled_at_every_depth(arguments: Any, whole: Any) -> None:
    found = situation_of(catalogue_of(search(DEFAULTS)), "crm.search", arguments)
    assert found.arguments == whole
    assert parse(found.canonical) == whole


def test_filling_leaves_what_was_given_alone() -> None:
    given: Any = {"place": {}, "lines": [{}]}
    situation_of(catalogue_of(search(DEFAULTS)), "crm.search", given)
    assert given == {"place": {}, "lines": [{}]}


def test_a_default_is_held_to_the_schema_too() -> None:
    catalogue = catalogue_of(search(schema({"a": {"type": "integer", "default": "x"}})))
    assert refusal_of(catalogue, "crm.search", {}).code == "arguments_invalid"


@pytest.mark.claim("catalog.one-value")
@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "currency": st.text(st.characters(codec="utf-8", exclude_characters="\0")),
            "ratio": st.integers(-9, 9) | st.sampled_from([1.0, -2.0, 1e3]),
            "lines": st.lists(st.fixed_dictionaries({}, optional={"count": st.integers(0, 9)})),
            "place": st.fixed_dictionaries({}, optional={"zip": st.floats(-1e6, 1e6)}),
        },
    )
)
def test_what_is_validated_is_what_is_hashed_and_what_is_sent(arguments: dict[str, Any]) -> None:
    """However it was written down, one meaning has one validated value and one form."""
    catalogue = catalogue_of(search(DEFAULTS))
    tool = catalogue.tools["crm.search"]
    spellings = (
        json.dumps(arguments),
        json.dumps(dict(reversed(arguments.items())), indent=3, ensure_ascii=False),
    )
    forms = set()
    for raw in spellings:
        found = situation_of(catalogue, "crm.search", parse(raw))
        assert compile_schema(tool.schema, "x").validator.is_valid(found.arguments)
        assert parse(found.canonical) == found.arguments
        assert canonical(found.arguments) == found.canonical
        assert catalogue.arguments(tool, found.arguments) == found.arguments
        forms.add(found.canonical)
    assert len(forms) == 1


INPUTS = schema(
    {
        "text": {"type": "string"},
        "kind": {"enum": ["a", "b"]},
        "level": {"enum": [1, 2]},
        "one": {"const": "x"},
        "count": {"type": "integer", "default": 1},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "maybe": {"type": ["string", "null"]},
        "perhaps": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "place": {"$ref": "#/$defs/place"},
        "ratio": {"type": "number"},
        "mixed": {"enum": ["a", 1]},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "holes": {"type": "array", "items": {"type": ["string", "null"]}},
        "free": {"type": "object", "additionalProperties": True},
        "any": {},
    },
    required=["text", "place", "maybe"],
    **{
        "$defs": {
            "place": schema(
                {"city": {"type": "string"}, "height": {"type": "number"}}, required=["city"]
            )
        }
    },
)


def test_input_holds_the_arguments_that_have_a_cedar_type() -> None:
    catalogue = catalogue_of(search(INPUTS))
    tool = catalogue.tools["crm.search"]
    assert tool.input_type == {
        "text": {"type": "String", "required": True},
        "kind": {"type": "String", "required": False},
        "level": {"type": "Long", "required": False},
        "one": {"type": "String", "required": False},
        "count": {"type": "Long", "required": True},
        "flag": {"type": "Bool", "required": False},
        "tags": {"type": "Set", "element": {"type": "String"}, "required": False},
        "maybe": {"type": "String", "required": False},
        "perhaps": {"type": "Long", "required": False},
        "place": {
            "type": "Record",
            "attributes": {"city": {"type": "String", "required": True}},
            "required": True,
        },
    }
    given: Any = {
        "text": "x",
        "maybe": None,
        "perhaps": 3,
        "place": {"city": "Rome", "height": 2.5},
        "ratio": 0.5,
        "either": "x",
        "numbers": [1],
        "free": {"a": 1},
        "any": 1,
    }
    assert situation_of(catalogue, "crm.search", given).input == {
        "text": "x",
        "count": 1,
        "perhaps": 3,
        "place": {"city": "Rome"},
    }
    untyped = "any either free holes mixed numbers place.height ratio"
    assert " ".join(left_out(tool)) == untyped


def test_a_recursive_schema_ends() -> None:
    node = schema({"name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}})
    catalogue = catalogue_of(
        search(schema({"head": {"$ref": "#/$defs/node"}}, **{"$defs": {"node": node}}))
    )
    tool = catalogue.tools["crm.search"]
    given = {"head": {"name": "a", "next": {"name": "b"}}}
    assert situation_of(catalogue, "crm.search", given).input == given
    assert any("next" in name for name in left_out(tool))
