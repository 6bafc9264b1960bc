"""What all tests share: the mark that ties a test to a claim, and a PostgreSQL server."""

from collections.abc import Iterator

import pytest

from bailiwick.store.postgres.connections import Address
from bailiwick.store.postgres.migrating import prepare
from tests.postgres import Server, serving


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
