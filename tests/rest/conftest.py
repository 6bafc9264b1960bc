"""One server for the tests of a file, and its people with their sessions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import founded
from tests.gateway.served import Up, founded_desk
from tests.rest.asking import Asking

__all__ = ["founded"]


@pytest.fixture(scope="module")
def asking(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """A running server, with everybody logged in by REST and an access key of the agent."""
    desk = founded_desk(founded, tmp_path_factory.mktemp("rest"))
    up = Up(desk)
    made = Asking(up)
    made.log_in("ada", "bo", "cy", "vi")
    yield made
    made.http.close()
    if up.process.poll() is None:
        up.stop()
