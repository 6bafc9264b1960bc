"""The one value: what cannot be read in one way only is refused, and the rest has one form."""

import json
import math
from types import MappingProxyType
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.errors import BadInput
from bailiwick.values import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER,
    Canonical,
    canonical,
    digest,
    identifier,
    parse,
    segment,
    shown,
)

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(
    allow_nan=False, allow_infinity=False
).filter(lambda value: not value.is_integer() or abs(value) <= MAX_INTEGER)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(texts, values, max_size=5)


@pytest.mark.claim("propose.strict-json")
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"a": 1, "a": 2}', "json_duplicate_key"),
        (b'{"x": {"a": 1, "a": 1}}', "json_duplicate_key"),
        (b'{"a": 1, "\\u0061": 2}', "json_duplicate_key"),
        (b'{"a": NaN}', "json_not_finite"),
        (b'{"a": -Infinity}', "json_not_finite"),
        (b'{"a": 1e400}', "json_not_finite"),
        (b'\xef\xbb\xbf{"a": 1}', "json_bom"),
        ('\ufeff{"a": 1}', "json_bom"),
        (b'{"a": "\\ud800"}', "text_not_unicode"),
        (b'{"\\udfff": 1}', "text_not_unicode"),
        (b'{"a": "\\u0000"}', "text_not_unicode"),
        (b'{"a\\u0000b": 1}', "text_not_unicode"),
        (b'{"a": 9007199254740992}', "integer_too_big"),
        (b'{"a": -9007199254740992}', "integer_too_big"),
        (b'{"a": 1e300}', "integer_too_big"),
        (b'{"a": ' + b"1" * 5000 + b"}", "integer_too_big"),
        (b'{"a": "\xff"}', "json_not_utf8"),
        (b'{"a": "\xed\xa0\x80"}', "json_not_utf8"),
        (b'{"a": 01}', "json_malformed"),
        (b"{'a': 1}", "json_malformed"),
        (b'{"a": 1,}', "json_malformed"),
        (b'{"a": 1} {}', "json_malformed"),
        (b'{"a": "line\nbreak"}', "json_malformed"),
        (b"", "json_malformed"),
        (b"[1]", "arguments_not_object"),
        (b'"text"', "arguments_not_object"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "arguments_too_deep"),
        (b'{"a": ' + b"[" * 99999 + b"]" * 99999 + b"}", "arguments_too_deep"),
        (b'{"a": "' + b"x" * MAX_BYTES + b'"}', "arguments_too_large"),
        ({"a": {"b": object()}}, "value_not_json"),
        ({1: "a"}, "json_key_not_text"),
        ({"a": math.inf}, "json_not_finite"),
        ({"a": 2**53}, "integer_too_big"),
        ({"a": "\ud800"}, "text_not_unicode"),
        ({"a": "x" * MAX_BYTES}, "arguments_too_large"),
    ],
)
def test_json_that_can_be_read_in_two_ways_is_refused(raw: Any, code: str) -> None:
    with pytest.raises(BadInput) as error:
        parse(raw)
    assert error.value.code == code
    assert error.value.message.isprintable()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": 1.0, "b": 1e2, "c": -0.0}', {"a": 1, "b": 100, "c": 0}),
        (b'{"a": 0.5, "b": 9007199254740991}', {"a": 0.5, "b": MAX_INTEGER}),
        ('{"a": "\\u00e9\\ud83d\\ude00"}', {"a": "é😀"}),
        ('{"e\u0301": "e\u0301"}', {"e\u0301": "e\u0301"}),  # text is not normalised
        (MappingProxyType({"a": (1, 2.0)}), {"a": [1, 2]}),
    ],
)
def test_integral_numbers_become_integers_and_text_stays_as_it_is(raw: Any, value: object) -> None:
    parsed = parse(raw)
    assert parsed == value
    assert json.dumps(parsed) == json.dumps(value), "1.0 equals 1, but is not the same"


def test_depth_is_counted_in_levels() -> None:
    def nested(levels: int) -> bytes:
        return b'{"a":' * levels + b"1" + b"}" * levels

    assert parse(nested(MAX_DEPTH))
    with pytest.raises(BadInput):
        parse(nested(MAX_DEPTH + 1))


@pytest.mark.claim("propose.canonical-is-rfc8785")
@settings(deadline=None)
@given(values)
def test_the_canonical_form_is_that_of_rfc_8785(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.claim("propose.canonical-is-rfc8785")
@given(values, values)
def test_a_part_that_is_canonical_already_changes_nothing(part: object, beside: object) -> None:
    whole = {"part": part, "beside": [beside, part]}
    known = Canonical(canonical(part))
    assert canonical({"part": known, "beside": [beside, known]}) == canonical(whole)


@pytest.mark.claim("propose.canonical-is-rfc8785")
def test_the_example_of_the_standard_has_the_bytes_that_the_standard_prints() -> None:
    """RFC 8785, section 3.2.2: the sample object, and section 3.2.4: its UTF-8."""
    sample = json.loads(
        r"""
        {"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
         "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
         "literals": [null, true, false]}
        """
    )
    assert canonical(sample) == (
        b'{"literals":[null,true,false],'
        b'"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.claim("propose.canonical-is-rfc8785")
def test_names_are_sorted_by_utf16_code_units() -> None:
    """RFC 8785, section 3.2.3: code point order would put U+FB33 before the surrogate pair."""
    sample = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "ö": 7}
    order = list(json.loads(canonical(sample)))
    assert order == ["\r", "1", "\u0080", "ö", "\u20ac", "\U0001f600", "\ufb33"]


@settings(deadline=None)
@given(objects)
def test_what_was_parsed_has_one_form_and_reads_back_as_itself(value: dict[str, Any]) -> None:
    once = parse(json.dumps(value))
    assert parse(canonical(once)) == once
    assert canonical(parse(canonical(once))) == canonical(once)
    assert parse(value) == once
    shuffled = dict(reversed(once.items()))
    assert digest(shuffled) == digest(once)


@pytest.mark.parametrize("value", [2**53, math.nan, {"a": {1}}, "\ud800", {1: 2}, b"x"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(BadInput) as error:
        canonical(value)
    assert error.value.code == "value_not_canonical"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "identifier_length"),
        ("x" * 513, "identifier_length"),
        ("e\u0301", "identifier_not_nfc"),
        ("\u212b", "identifier_not_nfc"),
        ("a\tb", "identifier_unsafe"),
        ("a\x1b[2Jb", "identifier_unsafe"),
        ("a\u202eb", "identifier_unsafe"),
        ("a\u2066b", "identifier_unsafe"),
        ("a\u200bb", "identifier_unsafe"),
        ("a\u2028b", "identifier_unsafe"),
        ("a\u00adb", "identifier_unsafe"),
        ("a\ufeffb", "identifier_unsafe"),
        ("a\ue000b", "identifier_unsafe"),
        ("a\u3164b", "identifier_unsafe"),
        ("a\u00a0b", "identifier_unsafe"),
        ("a\ufe0fb", "identifier_unsafe"),
        ("a\U000e0041b", "identifier_unsafe"),
    ],
)
def test_a_name_that_people_could_misread_is_refused(text: str, code: str) -> None:
    with pytest.raises(BadInput) as error:
        identifier(text, "the charge")
    assert error.value.code == code
    assert error.value.message.isprintable()


@pytest.mark.parametrize("text", ["ch_1", "Zoë", "日本", "a b", "😀", "x" * 512, "a/b?c=1"])
def test_a_plain_name_is_given_back(text: str) -> None:
    assert identifier(text, "the charge") == text


@pytest.mark.parametrize(
    "text", [".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "../x", "", "a\nb", "a\u202eb"]
)
def test_a_path_segment_holds_nothing_that_could_leave_it(text: str) -> None:
    with pytest.raises(BadInput):
        segment(text, "the charge")


@pytest.mark.parametrize("text", ["ch_1", "...", "a..b", ".a", "Zoë", "a b", "a:b@c;d"])
def test_other_segments_are_given_back(text: str) -> None:
    assert segment(text, "the charge") == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("Zoë 日本", "Zoë 日本"),
        ("a\u202eb", "a\\u{202e}b"),
        ("\x1b[2J", "\\u{1b}[2J"),
        ("x" * 12, "xxxxxxxxxx… (12 characters)"),
        ("\u202e" * 12, "\\u{202e}" * 10 + "… (12 characters)"),
    ],
)
def test_outside_text_is_shown_with_escapes_and_never_cut_silently(text: str, seen: str) -> None:
    assert shown(text, 10) == seen
