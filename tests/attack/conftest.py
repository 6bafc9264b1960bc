"""A founded project for each test, copied from one that is founded once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attack.desk import MORE_TOOLS
from tests.spine.house import House, copied, founded, opened


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded project with people, which no test opens."""
    folder = tmp_path_factory.mktemp("estate") / "project"
    return asyncio.run(founded(folder, people=True, tools=MORE_TOOLS))


@pytest.fixture
def folder(estate: Path, tmp_path: Path) -> Path:
    """A founded project of the test's own."""
    return copied(estate, tmp_path / "project")


@pytest.fixture
async def house(folder: Path) -> AsyncIterator[House]:
    """The project, open."""
    async with opened(folder) as house:
        yield house


@pytest.fixture
async def quiet(folder: Path) -> AsyncIterator[House]:
    """The project, open; after the first tick it keeps house only when a test says `settle`."""
    settings = folder / "bailiwick.yaml"
    settings.write_text(
        settings.read_text().replace("tick_seconds: 0.05", "tick_seconds: 900\nlease_seconds: 0.1")
    )
    settings.write_text(settings.read_text().replace("lease_seconds: 1\n", ""))
    async with opened(folder) as house:
        await house.bailiwick.settle()
        yield house
