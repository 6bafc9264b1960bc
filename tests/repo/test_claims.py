"""The list of claims and the tests that hold them, compared both ways."""

import ast
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest

from tests.claims import CLAIMS
from tests.repo.sources import Source, called, functions, python_sources, source


def marks(file: Source) -> Iterator[str]:
    """The ids in the decorators `@pytest.mark.claim("…")` of a file's tests."""
    for function in functions(file.tree):
        if function.name.startswith("test_"):
            for decorator in function.decorator_list:
                if called(decorator) == "claim" and isinstance(decorator, ast.Call):
                    yield from (ast.literal_eval(argument) for argument in decorator.args)


@pytest.mark.claim("repo.claims-both-ways")
def test_every_claim_has_a_test_and_every_mark_a_claim() -> None:
    tests = (f for f in python_sources() if PurePosixPath(f.path).match("tests/**/test_*.py"))
    held = {mark for file in tests for mark in marks(file)}
    assert sorted(set(CLAIMS) - held) == [], "claims without a test"
    assert sorted(held - set(CLAIMS)) == [], "marks that name no claim"


def test_only_marks_on_tests_count() -> None:
    text = '@mark.claim("a.b")\ndef test_x(): ...\n\n@mark.claim("c.d")\ndef build(): ...\n'
    assert list(marks(Source.of("test_x.py", text))) == ["a.b"]


def test_each_claim_stands_once_under_its_area_and_is_one_sentence() -> None:
    area, ids = "", []
    for line in source("tests/claims.py").text.splitlines():
        if heading := re.fullmatch(r"    # ([a-z]+)", line):
            area = heading[1]
        if entry := re.match(r'    "([^"]+)":', line):
            ids.append(entry[1])
            assert re.fullmatch(rf"{area}\.[a-z0-9]+(-[a-z0-9]+)*", entry[1]), entry[1]
    assert sorted(ids) == sorted(CLAIMS)
    assert [id for id, text in CLAIMS.items() if not re.fullmatch(r"[A-Z`].*\.", text)] == []
