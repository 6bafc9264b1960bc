"""What all tests share: the mark that ties a test to a claim, and two servers."""

from collections.abc import Iterator

import pytest

from bailiwick.store.postgres.connections import Address
from bailiwick.store.postgres.migrating import prepare
from tests.postgres import Server, serving
from tests.s09_execute.bench import free_port
from tests.s09_execute.mcp_desk import Notes


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark `claim`."""
    config.addinivalue_line(
        "markers", "claim(id): this test holds the claim of that id in tests/claims.py"
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server for the session, started when the first test wants it."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def blank(server: Server) -> str:
    """A database with its tables and nothing in them, of which tests get copies."""
    name = server.create()
    prepare(Address(server.url(name)), empty_too=True)
    return name


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    """An MCP server over HTTP for the session."""
    desk = Notes(tmp_path_factory.mktemp("notes"), free_port())
    desk.start()
    yield desk
    desk.stop()


@pytest.fixture
def web(notes: Notes) -> Notes:
    """That server, which has done nothing yet and does nothing wrong."""
    notes.forget()
    return notes
