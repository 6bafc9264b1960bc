"""The plain expressions mean what they mean in CEL; all else is left to CEL."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick.catalog import compile_path
from bailiwick.errors import CatalogError
from bailiwick.verification.expressions import compile_cel

NAMES: dict[str, Any] = {
    "args": {"a": 1, "b": {"c": [10, {"d": None}], "e f": "x"}, "t": "text", "n": {}},
    "before": {"charge": {"amount_minor": 500, "payees": []}},
    "result": [1, 2],
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("args.a", 1),
        (" args.b.c[0] ", 10),
        ('args.b["e f"]', "x"),
        ("args['b'].c[1].d", None),
        ("args.b.c", [10, {"d": None}]),
        ("result[1]", 2),
        ("before.charge.amount_minor", 500),
        ('"USD"', "USD"),
        ("'a b'", "a b"),
        ('""', ""),
        ("7", 7),
        ("-7", -7),
        ("true", True),
        ("false", False),
    ],
)
def test_a_path_or_literal_is_evaluated_without_cel(text: str, value: object) -> None:
    expression = compile_path(text)
    assert expression is not None
    assert expression(NAMES) == value
    assert type(expression(NAMES)) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "args.a + 1",
        "args.a == 1",
        "has(args.a)",
        "size(args.b)",
        "args.b[args.a]",
        "args.b[-1]",
        "args.",
        "args..a",
        ".args",
        "args.a b",
        "other.a",
        "USD",
        "'it\\'s'",
        '"a" + "b"',
        '"""a"""',
        "007",
        "1.5",
        "null",
        "",
    ],
)
def test_anything_else_is_not_a_path(text: str) -> None:
    assert compile_path(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "args.missing",
        "args.a.b",
        "args.t[0]",
        "args.t.length",
        "args.b.c[2]",
        "args.b.c.d",
        "args.b[0]",
        "args.b.c[1].d.e",
        "after.x",
        "result.a",
    ],
)
def test_a_missing_member_is_an_error_and_never_null(text: str) -> None:
    expression = compile_path(text)
    assert expression is not None
    with pytest.raises(CatalogError) as error:
        expression(NAMES)
    assert error.value.code == "expression_failed"
    assert text in error.value.message


steps = st.lists(
    st.sampled_from([".a", ".b", ".c", ".d", ".n", ".t", '["e f"]', "['c']", "[0]", "[1]"]),
    max_size=4,
).map("".join)


@pytest.mark.claim("catalog.path-means-cel")
@settings(deadline=None)
@given(st.sampled_from(["args", "before.charge", "result", "after"]), steps)
def test_a_path_and_cel_agree_on_every_value_and_every_failure(root: str, tail: str) -> None:
    path = compile_path(root + tail)
    assert path is not None
    outcomes: list[object] = []
    for expression in (path, compile_cel(root + tail)):
        try:
            outcomes.append(expression(NAMES))
        except CatalogError as error:
            outcomes.append(error.code)
    assert outcomes[0] == outcomes[1]
