"""One PostgreSQL database as a process uses it: a writer, two readers, a listener.

Any number of processes share it. Nothing that another process can change is remembered here; what
a notification says only wakes somebody earlier than his patience would.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import psycopg

from bailiwick import transactions
from bailiwick.config import Settings
from bailiwick.errors import StoreError
from bailiwick.store.postgres.clock import ServerClock
from bailiwick.store.postgres.connections import (
    Address,
    Connection,
    Line,
    fault_of,
    is_gone,
    unknown_fate,
)
from bailiwick.store.postgres.migrating import check_program
from bailiwick.store.postgres.reader import GroupReader
from bailiwick.store.postgres.statements import SQL
from bailiwick.store.postgres.writer import Answer, PostgresWriter
from bailiwick.store.waiting import Waiting

T = TypeVar("T")

_LISTEN_AGAIN_S = 0.5
_FATE_S = 20.0
# How often the clock is asked in a row when the answers come late.
_LOOKS = 3


class PostgresDatabase:
    """An address with its connections, each opened when it is needed first."""

    def __init__(
        self,
        address: Address,
        settings: Settings,
        now_us: Callable[[], int] | None = None,
        *,
        fate_s: float = _FATE_S,
    ) -> None:
        """For `fate_s` seconds the fate of a COMMIT is asked for that was not answered."""
        self.clock = ServerClock(now_us)
        self.waiting = Waiting()
        self.reader = GroupReader(address)
        # Lists may be long: no fence waits behind one.
        self.lists = GroupReader(address)
        self._address = address
        self._writer = PostgresWriter(
            address, settings.batch_limit, self.clock, self._committed, fate_s=fate_s
        )
        self._house = Line(address)
        self._house_lock = asyncio.Lock()
        self._listener: asyncio.Task[None] | None = None

    async def now_us(self) -> int:
        """The server's clock, at most a second's reckoning from the last look at it."""
        for _ in range(_LOOKS):
            if self.clock.is_fresh:
                break
            sent_ns = self.clock.monotonic_ns()
            row = await self.reader.one("clock", {})
            assert row is not None
            self.clock.observe(row[0], sent_ns)
        return self.clock.now_us()

    async def commit(self, commit: transactions.Commit) -> Answer:
        """Have a commit carried out in the next batch; it is durable when this returns."""
        self.listen()
        answer: Answer = await self._writer.submit(commit)
        return answer

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Have `work` done in a transaction of its own, beside the batches."""
        async with self._house_lock:
            try:
                connection = await self._house.connected()
                async with connection.pipeline():
                    await connection.execute(SQL["begin"])
                    fence = await connection.execute(SQL["fence"])
                row = await fence.fetchone()
                assert row is not None
                check_program(row[0], self._address)
                done = await work(connection)
            except psycopg.Error as error:
                await self._house.roll_back()
                raise fault_of(error, self._address) from error
            except BaseException:
                await self._house.close()
                raise
            try:
                await connection.execute(SQL["commit"])
            except psycopg.Error as error:
                await self._house.roll_back()
                raise self._at_commit(error) from error
            return done

    def _at_commit(self, error: psycopg.Error) -> StoreError:
        return unknown_fate(self._address) if is_gone(error) else fault_of(error, self._address)

    def listen(self) -> None:
        """Hear from now on what other processes tell of."""
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listening())

    async def close(self) -> None:
        """Everything submitted is answered; all connections are closed."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._writer.close()
        await self.reader.close()
        await self.lists.close()
        await self._house.close()

    def _committed(self, made: Sequence[transactions.Commit]) -> None:
        for commit in made:
            for op in commit.ops:
                if type(op) is transactions.MoveAction:
                    self.waiting.tell(op.action.id)

    async def _listening(self) -> None:
        line = Line(self._address, listens=True)
        try:
            while True:
                try:
                    await self._hear(await line.connected())
                except psycopg.Error:
                    pass  # until it is back, those who wait look for themselves
                await line.close()
                await asyncio.sleep(_LISTEN_AGAIN_S)
        finally:
            await line.close()

    async def _hear(self, connection: Connection) -> None:
        await connection.execute(SQL["listen"])
        async for heard in connection.notifies():
            for action in heard.payload.split():
                self.waiting.tell(action)
