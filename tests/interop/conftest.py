"""The project and its people are those of the command line's tests."""

from tests.cli.conftest import founded

__all__ = ["founded"]
