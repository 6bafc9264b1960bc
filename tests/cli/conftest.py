"""A founded project, made once and copied for each test."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.operations import found
from tests.cli.desk import PEOPLE, Desk, write_project


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with four people, that nobody has used."""
    folder = write_project(tmp_path_factory.mktemp("founded") / "project")
    asyncio.run(found(folder, PEOPLE))
    return folder


@pytest.fixture
def desk(founded: Path, tmp_path: Path) -> Iterator[Desk]:
    """The project, and people who are not logged in."""
    shutil.copytree(founded, tmp_path / "project")
    (tmp_path / "homes").mkdir()
    made = Desk(tmp_path / "project", tmp_path / "homes")
    yield made
    made.end()
