"""One browser, and one server for a file's tests; without a browser they are skipped."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.cli.desk import Desk
from tests.gateway.served import Up
from tests.pages.browsing import CHROMIUM, aside, browsing, with_key
from tests.pages.shop import found_shop


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Its loop runs in this thread, so it ends with the file's tests."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: install the package `chromium`, or run `make test`")
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A shop behind a server, with an access key of the agent for anna."""
    folder = tmp_path_factory.mktemp("shop")
    project = aside(found_shop, folder / "project")
    (folder / "homes").mkdir()
    desk = Desk(project, folder / "homes")
    aside(desk.log_in, "ada", "bo", "di")
    served = Up(desk)
    yield with_key(served)
    if served.process.poll() is None:
        served.stop()
