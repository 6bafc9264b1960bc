"""One server for the tests of a file; who ends or kills it starts another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import founded
from tests.gateway.served import Up, founded_desk

__all__ = ["founded"]


@pytest.fixture(scope="module")
def up(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A running server, with everybody logged in and an access key of the agent for anna."""
    desk = founded_desk(founded, tmp_path_factory.mktemp("up"))
    desk.log_in("ada", "bo", "cy", "vi")
    served = Up(desk)
    try:
        served.key = served.access_key()
        yield served
    finally:
        if served.process.poll() is None:
            served.stop()
