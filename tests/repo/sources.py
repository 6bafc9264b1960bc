"""The repository's files, for the tests that read them."""

import ast
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src", "tests", "examples", "campaigns", "bench")
LEFT_BEHIND = ("__pycache__", "state", "dist", "out")


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        return cls(path, text, ast.parse(text, filename=path))


@cache
def python_sources() -> tuple[Source, ...]:
    """All Python files of the repository, read and parsed once."""
    return tuple(source(path) for folder in CODE for path in sorted(_python_files(folder)))


def source(path: str) -> Source:
    """One Python file by its path from the root."""
    return Source.of(path, (ROOT / path).read_text(encoding="utf-8"))


def _python_files(folder: str) -> Iterator[str]:
    """Paths from the root. What a run leaves behind is not looked into: it may go meanwhile."""
    for at, folders, names in os.walk(ROOT / folder):
        folders[:] = [name for name in folders if name not in LEFT_BEHIND]
        for name in names:
            if name.endswith(".py"):
                yield Path(at, name).relative_to(ROOT).as_posix()


def committed_files() -> Iterator[Path]:
    """Every file that git holds or would add; without git, every file that is not left behind."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(git, capture_output=True, check=True).stdout.decode()
        paths = [ROOT / name for name in listing.split("\0") if name]
    except (FileNotFoundError, subprocess.CalledProcessError):
        paths = [path for path in ROOT.rglob("*") if not _ignored(path.relative_to(ROOT))]
    return (path for path in paths if path.is_file())


def _ignored(path: Path) -> bool:
    hidden = any(part.startswith(".") and part != ".ci" for part in path.parts[:-1])
    return hidden or any(part in LEFT_BEHIND for part in path.parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods below a node, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called(node: ast.AST) -> str:
    """The last name of what a call calls: `now` of `datetime.now()`; empty if it has none."""
    if not isinstance(node, ast.Call):
        return ""
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
