"""Whoever waits in a queue is answered, also when what serves the queue dies of its own fault."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bailiwick.store.postgres.connections import Address
from bailiwick.store.postgres.reader import GroupReader
from bailiwick.store.queue import BatchQueue, Member, answer
from bailiwick.transactions import Committed, RaiseEpoch
from tests.postgres import Server
from tests.s08_intend.depot import TENANT, Where, depot, within


class OwnFault(BaseException):
    """What no writer expects: it is no `Exception`, so that no member can be blamed for it."""


class Dying(BatchQueue[str]):
    """Answers two at a time with what it was given, and dies of `fault`."""

    def __init__(self) -> None:
        super().__init__(2)
        self.served: list[list[str]] = []

    async def _serve(self, members: list[Member[str]]) -> None:
        self.served.append([member.work for member in members])
        await asyncio.sleep(0)
        for member in members:
            if member.work == "fault":
                raise OwnFault
            member.answer = member.work
        answer(members)


def dying(_: object) -> None:
    raise OwnFault


@pytest.fixture
def where(server: Server, blank: str) -> Iterator[Where]:
    """An empty PostgreSQL database."""
    name = server.create(blank)
    yield Where(server.url(name))
    server.drop(name)


@pytest.mark.claim("store.nobody-waits-for-ever")
async def test_a_fault_of_the_queue_itself_reaches_all_who_wait_and_the_next_is_served() -> None:
    queue = Dying()
    asked = [queue.submit(each) for each in ("a", "b", "fault", "c", "d")]
    async with asyncio.timeout(5):
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert told[:2] == ["a", "b"]
    assert [type(each) for each in told[2:]] == [OwnFault] * 3
    assert queue.served == [["a", "b"], ["fault", "c"]]
    assert await queue.submit("e") == "e"
    await queue._drained()


@pytest.mark.claim("store.nobody-waits-for-ever")
async def test_a_queue_that_died_is_still_closed() -> None:
    queue = Dying()
    with pytest.raises(OwnFault):
        await queue.submit("fault")
    await queue._drained()


@pytest.mark.claim("store.nobody-waits-for-ever")
async def test_a_files_writer_that_dies_fails_all_who_wait_and_goes_on(
    tmp_path: Path,
) -> None:
    async with depot(within(tmp_path), batch_limit=1) as at:
        epoch = await at.store.epoch(TENANT)
        asked = [at.database.write(dying), at.commit(RaiseEpoch())]
        async with asyncio.timeout(5):
            told = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in told] == [OwnFault] * 2
        assert isinstance(await at.commit(RaiseEpoch()), Committed)
        assert await at.store.epoch(TENANT) == epoch + 1


@pytest.mark.claim("store.nobody-waits-for-ever")
async def test_a_reader_that_dies_fails_all_who_wait_and_serves_the_next(where: Where) -> None:
    """A statement that nobody has written is the reader's own fault."""
    reader = GroupReader(Address(where.store), together=2)
    names = ("clock", "no_such_statement", "clock", "epochs")
    asked = [reader.every(name, {"tenants": [name]}) for name in names]
    async with asyncio.timeout(5):
        told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in told] == [KeyError] * 4
    # Neither does the next get an answer that was meant for who asked the same before.
    assert await reader.every("clock", {"tenants": ["clock"]})
    assert await reader.epoch("epochs") == 0
    await reader.close()
