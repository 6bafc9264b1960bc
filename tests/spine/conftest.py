"""A founded project for each test, copied from one that is founded once, on both stores."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.spine.house import House, copied, founded, opened, storing_in


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def kind(request: pytest.FixtureRequest) -> Server | None:
    """The kind of store that the tests' projects have: a server's, or a file's."""
    found: Server | None = None
    if request.param == "postgres":
        found = request.getfixturevalue("server")
    return found


@pytest.fixture(autouse=True)
def stored(kind: Server | None) -> Iterator[None]:
    """The test's projects have that kind of store."""
    with storing_in(kind):
        yield


@pytest.fixture(scope="session")
def estate(kind: Server | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A founded project with people, which no test opens."""
    with storing_in(kind, keep=True):
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
