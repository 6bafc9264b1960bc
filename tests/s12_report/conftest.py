"""The founded project that the tests of the spine use too."""

from tests.spine.conftest import estate, folder, house

__all__ = ["estate", "folder", "house"]
