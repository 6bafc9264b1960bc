"""Agents of each framework, governed: its program runs in an environment of its own.

A case is a function marked `@case` in the framework's program; what became of it is a test here.
"""

import ast
import json
import os
import subprocess
from collections.abc import Callable
from functools import cache

import pytest

from tests.repo.sources import ROOT, functions, source

FRAMEWORKS = ("pydantic_ai", "langchain", "openai_agents")
Told = tuple[dict[str, str], str]


def cases(framework: str) -> list[str]:
    """The names of a program's cases, in order."""
    found = functions(source(f"tests/adapters/on_{framework}.py").tree)
    return [each.name for each in found if "case" in map(ast.unparse, each.decorator_list)]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    """What became of a framework's cases, and what its program said beside."""

    @cache
    def run(framework: str) -> Told:
        python = ROOT / f".venv-adapter-{framework.replace('_', '-')}" / "bin" / "python"
        if not python.exists() and "CI" not in os.environ:
            pytest.skip("`make test` installs it")
        folder = tmp_path_factory.mktemp(framework) / "project"
        command = [str(python), "-m", f"tests.adapters.on_{framework}", str(folder)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            return {}, f"the program ended with {ran.returncode}\n{ran.stderr}"
        return json.loads((folder / "told.json").read_text()), ran.stdout + ran.stderr

    return run


@pytest.mark.claim("adapters.one-call-one-effect")
@pytest.mark.claim("adapters.only-people-approve")
@pytest.mark.claim("adapters.noes-are-told")
@pytest.mark.claim("adapters.own-functions-do-not-run")
@pytest.mark.parametrize(
    ("framework", "case"),
    [(framework, case) for framework in FRAMEWORKS for case in cases(framework)],
)
def test_an_agent_is_governed(told: Callable[[str], Told], framework: str, case: str) -> None:
    became, said = told(framework)
    assert became.get(case, said) == ""


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_program_says_nothing_beside(told: Callable[[str], Told], framework: str) -> None:
    assert told(framework)[1] == ""
