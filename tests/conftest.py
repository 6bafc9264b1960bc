"""What all tests share: the mark that ties a test to a claim."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Registers the mark `claim`."""
    config.addinivalue_line(
        "markers", "claim(id): this test holds the claim of that id in tests/claims.py"
    )
