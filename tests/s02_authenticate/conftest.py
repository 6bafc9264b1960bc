"""The desk, made anew for each test."""

from pathlib import Path

import pytest

from tests.s02_authenticate.desk import Desk, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return open_desk(tmp_path / "keys")
