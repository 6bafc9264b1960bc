"""Every test of the commit point runs on both stores."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.postgres import Server
from tests.s08_intend.depot import Where

Fresh = Callable[[], AbstractContextManager[Where]]


@pytest.fixture(params=["sqlite", "postgres"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes one empty store after another."""

    @contextmanager
    def on_sqlite() -> Iterator[Where]:
        yield Where(str(tmp_path_factory.mktemp("depot") / "store.sqlite"))

    @contextmanager
    def on_postgres() -> Iterator[Where]:
        server: Server = request.getfixturevalue("server")
        name = server.create(request.getfixturevalue("blank"))
        yield Where(server.url(name))
        server.drop(name)

    return on_sqlite if request.param == "sqlite" else on_postgres


@pytest.fixture
def where(fresh: Fresh) -> Iterator[Where]:
    """An empty store."""
    with fresh() as where:
        yield where
