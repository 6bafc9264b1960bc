"""The founded project that the tests of the spine use too, with its database in a file."""

import pytest

from tests.spine.conftest import estate, folder, house, stored

__all__ = ["estate", "folder", "house", "stored"]


@pytest.fixture(scope="session")
def kind() -> None:
    """A file."""
