"""CEL over the five names: what compiles, what evaluates, and that no fault becomes a value."""

import subprocess
import sys
from pathlib import Path

import pytest

import bailiwick.verification
from bailiwick.errors import CatalogError
from bailiwick.values import JSON
from bailiwick.verification.expressions import compile_cel

NAMES: dict[str, JSON] = {
    "args": {"amount": 5, "list": [1, 2, 3], "text": "x", "half": 1.5, "none": None},
    "action": {"id": "act-1"},
    "before": {"refunded": 10},
    "after": {"refunded": 15, "data": [{"id": "a"}, {"id": "act-1"}]},
    "result": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("after.refunded == before.refunded + args.amount", True),
        ("after.data.exists(r, r.id == action.id)", True),
        ("after.data.filter(r, r.id == 'b')", []),
        ("after.data.map(r, r.id)", ["a", "act-1"]),
        ("args.list.all(x, x > 0) && args.list.exists_one(y, y == 2)", True),
        ("has(args.reason)", False),
        ("args.none == null && result == null", True),
        ("args.amount > 3 ? 'much' : 'little'", "much"),
        ("{'action': action.id, 'n': [args.amount, null]}", {"action": "act-1", "n": [5, None]}),
        ("args.half * 2.0", 3),
        ("size(args.text) == 1 && args.text.startsWith('x')", True),
    ],
)
def test_an_expression_gives_json(text: str, value: JSON) -> None:
    assert compile_cel(text)(NAMES) == value


@pytest.mark.parametrize(
    "text",
    [
        "args.reason",
        "args.list[7]",
        "args.text.length",
        "args.none.member",
        "result.id == 'a'",
        "1 / 0 == 1",
        "9223372036854775807 + args.amount > 0",
        "args.amount + 'x' == 'x'",
        "args.text.matches('(')",
        "int(args.text) == 1",
        "nofunction(args)",
        "args.half / 0.0",
        "0.0 / 0.0",
        "b'bytes'",
        "timestamp('2026-01-01T00:00:00Z')",
        "{1: 2}",
        "9007199254740993",
    ],
)
def test_a_fault_is_an_error_and_never_a_value(text: str) -> None:
    expression = compile_cel(text)
    with pytest.raises(CatalogError) as raised:
        expression(NAMES)
    assert raised.value.code == "expression_failed"


def test_a_name_that_is_not_given_is_an_error() -> None:
    expression = compile_cel("after == null")
    with pytest.raises(CatalogError, match="expression_failed"):
        expression({"args": {}})


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("args.amount >", "expression_malformed"),
        ("", "expression_malformed"),
        ("(" * 500 + "1" + ")" * 500, "expression_malformed"),
        ("secrets.key", "expression_foreign_name"),
        ("argz.amount == 1", "expression_foreign_name"),
        ("after.data.exists(r, r.id == other.id)", "expression_foreign_name"),
        ("r.id == action.id", "expression_foreign_name"),
    ],
)
def test_what_is_malformed_or_names_anything_else_does_not_compile(text: str, code: str) -> None:
    with pytest.raises(CatalogError) as raised:
        compile_cel(text)
    assert raised.value.code == code


def test_a_name_bound_in_one_place_is_an_error_in_another() -> None:
    expression = compile_cel("after.data.exists(r, r.id == 'a') && r.id == 'a'")
    with pytest.raises(CatalogError, match="expression_failed"):
        expression(NAMES)


def test_the_organ_does_not_load_the_cel_package_by_itself() -> None:
    program = (
        "import sys, bailiwick.verification as v;"
        "assert 'cel' not in sys.modules;"
        "import bailiwick.verification.expressions;"
        "assert 'cel' in sys.modules"
    )
    source = Path(bailiwick.verification.__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, cwd=source)
