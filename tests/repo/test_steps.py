"""The twelve steps have one order and one set of names, wherever they are named."""

import ast
import re
from collections.abc import Callable

import pytest

from bailiwick import nouns
from tests.repo.sources import ROOT, source

STEPS = [
    (1, "propose"),
    (2, "authenticate"),
    (3, "admit"),
    (4, "validate"),
    (5, "price"),
    (6, "decide"),
    (7, "approve"),
    (8, "intend"),
    (9, "execute"),
    (10, "verify"),
    (11, "conclude"),
    (12, "report"),
]


def numbered(pattern: str, text: str) -> list[tuple[int, str]]:
    return [(int(number), name) for number, name in re.findall(pattern, text, re.MULTILINE)]


def in_the_code() -> list[tuple[int, str]]:
    return list(enumerate(nouns.STEPS, start=1))


def in_the_spine() -> list[tuple[int, str]]:
    doc = ast.get_docstring(source("src/bailiwick/act.py").tree) or ""
    return numbered(r"^\s*(\d+)\s+([a-z]+)\b", doc)


def in_the_architecture() -> list[tuple[int, str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = re.search(r"^## .*Life of an Action.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return numbered(r"^(\d+)\. \*\*([a-z]+)\*\*", section[1] if section else "")


@pytest.mark.claim("repo.steps-agree")
@pytest.mark.parametrize("named", [in_the_code, in_the_spine, in_the_architecture])
def test_the_steps_are_the_same_twelve(named: Callable[[], list[tuple[int, str]]]) -> None:
    assert named() == STEPS


@pytest.mark.claim("repo.steps-agree")
def test_the_folders_of_tests_are_named_after_the_steps() -> None:
    folders = {path.name for path in (ROOT / "tests").glob("s[0-9]*") if path.is_dir()}
    assert folders <= {f"s{number:02}_{name}" for number, name in STEPS}
    assert folders, "no step has tests of its own"
