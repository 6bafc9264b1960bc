"""The project and its people are those of the command line's tests."""

from tests.cli.conftest import desk, founded

__all__ = ["desk", "founded"]
