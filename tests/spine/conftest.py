"""A founded project for each test, copied from one that is founded once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.spine.house import House, copied, founded, opened


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded project with people, which no test opens."""
    return asyncio.run(founded(tmp_path_factory.mktemp("estate") / "project", people=True))


@pytest.fixture
def folder(estate: Path, tmp_path: Path) -> Path:
    """A founded project of the test's own."""
    return copied(estate, tmp_path / "project")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    """The project, open."""
    async with opened(folder) as house:
        yield house
