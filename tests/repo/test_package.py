"""What the package shows of itself, what importing it costs, and where its imports may go."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bailiwick
from bailiwick.wiring import ON_DEMAND, on_demand
from tests.repo.sources import ROOT

PUBLIC = [
    "BadInput",
    "Bailiwick",
    "BailiwickError",
    "ConfigError",
    "Grant",
    "NotDone",
    "Outcome",
    "Session",
    "StoreError",
    "StoreUnavailable",
    "ToolContext",
    "open_blocking",
    "tool",
]
STAYS_OUT = {
    "aiosql",
    "bailiwick.store.database",
    "cedarpy",
    "cel",  # its package imports a command line of its own: 0.35 s
    "click",
    "cryptography.x509",  # and with it most of what that package costs
    "fastapi",
    "httpx2",
    "mcp",
    "mcp_types",
    "opentelemetry",
    "psycopg",
    "pydantic",
    "pytest",
    "sqlite3",
    "uvicorn",
    "yoyo",
}


@pytest.mark.claim("repo.public-names")
def test_the_root_exports_the_pinned_names() -> None:
    assert sorted(bailiwick.__all__) == PUBLIC
    assert 0 < len(PUBLIC) <= 30
    assert [name for name in PUBLIC if not hasattr(bailiwick, name)] == []


def test_the_package_under_test_is_this_one() -> None:
    assert Path(bailiwick.__file__).is_relative_to(ROOT / "src")


@pytest.mark.claim("repo.light-import")
def test_importing_the_package_leaves_the_heavy_libraries_out() -> None:
    program = "import sys, bailiwick; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "src",
    )
    loaded = set(run.stdout.split())
    assert "bailiwick" in loaded
    assert loaded & STAYS_OUT == set()


def test_a_module_that_exists_has_a_firm_place_on_the_map() -> None:
    """A layer in parentheses may be missing; that is for modules that are still to be written."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    optional = re.findall(r"\((\w+)\)", " ".join(layers))
    package = ROOT / "src" / "bailiwick"
    modules = [*package.glob("*.py"), *(init.parent for init in package.glob("*/__init__.py"))]
    assert sorted({path.stem for path in modules}.intersection(optional)) == []


def lint_imports(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src")},
    )


@pytest.mark.claim("repo.import-map")
@pytest.mark.claim("repo.one-home-per-library")
def test_imports_keep_to_the_map() -> None:
    run = lint_imports(ROOT)
    assert run.returncode == 0, run.stdout


@pytest.mark.claim("repo.import-map")
@pytest.mark.claim("repo.one-home-per-library")
@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("elsewhere.py", "", "bailiwick.elsewhere"),
        ("errors.py", "import bailiwick.values", "bailiwick.errors -> bailiwick.values"),
        ("policy/stray.py", "import bailiwick.store", "bailiwick.policy.stray -> bailiwick.store"),
        ("ledger/stray.py", "import sqlite3", "bailiwick.ledger.stray -> sqlite3"),
        ("ledger/stray.py", "import mcp", "bailiwick.ledger.stray -> mcp"),
        ("ledger/stray.py", "import httpx2", "bailiwick.ledger.stray -> httpx2"),
        ("adapters/calls.py", "import agents", "bailiwick.adapters.calls -> agents"),
    ],
)
def test_what_leaves_the_map_is_found(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "src" / "bailiwick" / file).open("a", encoding="utf-8") as stray:
        stray.write(f"\n{line}\n")
    run = lint_imports(tmp_path)
    assert run.returncode == 1
    assert complaint in run.stdout


@pytest.mark.parametrize("name", sorted(ON_DEMAND))
def test_what_is_opened_by_name_is_there(name: str) -> None:
    assert on_demand(name) is not None
