"""Joined paths mean what they mean in CEL, and most are evaluated without it."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.catalog import compile_plain
from bailiwick.errors import CatalogError
from bailiwick.ports import Expression
from bailiwick.values import JSON
from bailiwick.verification.expressions import compile_cel

NATIVE = [
    'args.a + ":" + args.b',
    "args.a == args.b",
    "after.a == args.a && after.b == args.b",
    "args.a == 'x' && true == args.b",
    "args.a + args.b == after.a + after.b",
    'args["a"]==1',
]
NOT_PLAIN = [
    "args.a",
    "args.a || args.b",
    "args.a == args.b == true",
    "!(args.a == args.b)",
    "args.a != args.b",
    "has(args.a)",
    "args.a && args.b",
    "args.a +",
    "== args.a",
    "args.a ++ args.b",
    "size(args.a) == 1",
    "args.a == [1]",
    "other.a == args.a",
    "args.a == 1.0",
    "",
]

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text("xyé", max_size=2),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.lists(st.integers(0, 1), max_size=1),
)
MEMBERS = st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2)


def never() -> Expression:
    raise AssertionError("CEL was asked")


def meaning(expression: Expression, names: Mapping[str, JSON]) -> object:
    try:
        value = expression(names)
    except CatalogError as error:
        return error.code
    return type(value), value


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_what_is_not_a_join_of_paths_is_left_to_cel(text: str) -> None:
    assert compile_plain(text, never) is None


@pytest.mark.claim("catalog.plain-means-cel")
@pytest.mark.parametrize("text", NATIVE)
@given(args=MEMBERS, after=MEMBERS)
def test_a_join_of_paths_means_what_it_means_in_cel(
    text: str, args: dict[str, JSON], after: dict[str, JSON]
) -> None:
    plain = compile_plain(text, lambda: compile_cel(text))
    assert plain is not None
    names = {"args": args, "after": after}
    assert meaning(plain, names) == meaning(compile_cel(text), names)


def test_text_and_integers_need_no_cel() -> None:
    names = {"args": {"a": "x", "b": "y"}, "after": {"a": "x", "b": "z"}}
    key = compile_plain('args.a + ":" + args.b', never)
    same = compile_plain("after.a == args.a && after.b == args.b", never)
    assert key is not None
    assert same is not None
    assert key(names) == "x:y"
    assert same(names) is False
    assert same({**names, "after": {"a": "x", "b": "y"}}) is True
