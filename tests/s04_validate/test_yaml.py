"""YAML is read as JSON: nothing turns into something else, and nothing is said twice."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.catalog.yaml_text import load_yaml
from bailiwick.errors import CatalogError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("True", "True"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("017", "017"),
        ("0o17", "0o17"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("+5", "+5"),
        (".5", ".5"),
        ("1.", "1."),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("Null", "Null"),
        ("=", "="),
        ("<<", "<<"),
        ("1.10.2", "1.10.2"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-7", -7),
        ("0", 0),
        ("1.50", 1.5),
        ("5.0", 5.0),
        ("1e3", 1000.0),
        ("'1'", "1"),
        ('"a\\tb"', "a\tb"),
        ("[1, [x, {y: z}]]", [1, ["x", {"y": "z"}]]),
        ("|\n    two\n    lines\n", "two\nlines\n"),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    read = load_yaml(f"a: {text}", "f.yaml")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2", "yaml_duplicate_key"),
        ("x:\n  a: 1\n  b: 2\n  a: 3", "yaml_duplicate_key"),
        ("{a: 1, 'a': 2}", "yaml_duplicate_key"),
        ("a: &x 1\nb: *x", "yaml_alias"),
        ("a: &x [*x]", "yaml_alias"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "yaml_alias"),
        ("1: a", "yaml_key_not_text"),
        ("true: a", "yaml_key_not_text"),
        ("~: a", "yaml_key_not_text"),
        ("[a]: b", "yaml_key_not_text"),
        ("a: !!python/object:os.system x", "yaml_tag"),
        ("a: !!python/name:os.system", "yaml_tag"),
        ("a: !!binary aGk=", "yaml_tag"),
        ("a: !!set {b: null}", "yaml_tag"),
        ("a: !!int '0x1F'", "yaml_tag"),
        ("a: !!float '.nan'", "yaml_tag"),
        ("a: !!bool 'yes'", "yaml_tag"),
        ("a: !own x", "yaml_tag"),
        ("a: !!map [1]", "yaml_tag"),
        ("a: 9007199254740992", "yaml_number"),
        ("a: 1e999", "yaml_number"),
        ('a: "\\ud83d\\ude00"', "yaml_not_unicode"),
        ('"\\ud800": 1', "yaml_not_unicode"),
        ('a: "\\0"', "yaml_not_unicode"),
        ("a: [", "yaml_malformed"),
        ("a: b: c", "yaml_malformed"),
        ("a: \x07", "yaml_malformed"),
        ("a: 1\n---\nb: 2", "yaml_malformed"),
        ("- a", "yaml_not_mapping"),
        ("text", "yaml_not_mapping"),
        ("a: " + "[" * 40 + "]" * 40, "yaml_too_deep"),
        ("a: " + "[" * 5000 + "]" * 5000, "yaml_too_deep"),
        ("a: '" + "x" * 300_000 + "'", "yaml_too_large"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(text: str, code: str) -> None:
    with pytest.raises(CatalogError) as error:
        load_yaml(text, "tools/f.yaml")
    assert error.value.code == code
    assert error.value.message.startswith("tools/f.yaml")


def test_a_message_names_the_line() -> None:
    with pytest.raises(CatalogError, match=r"f\.yaml, line 3: the key `b` stands twice"):
        load_yaml("a: 1\nb: 2\nb: 3", "f.yaml")


def test_aliases_cannot_multiply() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    with pytest.raises(CatalogError) as error:
        load_yaml("\n".join(lines), "f.yaml")
    assert error.value.code == "yaml_alias"


def test_an_empty_file_says_nothing() -> None:
    assert load_yaml("# only a comment", "f.yaml") == {}


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(max_codepoint=0xD7FF, exclude_characters="\0"), max_size=8)
)


@settings(deadline=None)
@given(st.lists(scalars, max_size=4), st.text("abc\"'\\:{} #\n\t", max_size=6))
def test_json_is_read_as_json(items: list[object], key: str) -> None:
    value = {key: items, f"{key}!": {"inner": [items]}}
    assert load_yaml(json.dumps(value), "f.yaml") == value
