"""The one writing connection of a process: group commit, and no answer before COMMIT returns.

Callers put commits on a list; whatever is there when the writer comes round becomes one
transaction of two round trips (`batch`), and all of them are answered at once. When a batch dies,
each member is tried alone, so that one too many does not fail its neighbours. When the server goes
before it answers a COMMIT, the transaction's fate is asked for before anybody is answered.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors

from bailiwick import transactions
from bailiwick.errors import StoreError, StoreUnavailable
from bailiwick.store.postgres.batch import LookAgain, PostgresBatch, Row
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
from bailiwick.store.postgres.statements import SQL
from bailiwick.store.postgres.wanted import READS, Wanted
from bailiwick.store.queue import BatchQueue, Member, answer

# How often a batch is begun anew because something moved between its reading and its writing.
_TRIES = 8
# What another process did meanwhile: this batch has written nothing.
_ANEW = (
    LookAgain,
    errors.UniqueViolation,
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
# How often a transaction's fate is asked for.
_FATE_PAUSE_S = 0.1
# A notification holds less than 8,000 bytes; action ids are short.
_TOLD_TOGETHER = 100

Answer = transactions.Committed | transactions.Blocked


class PostgresWriter(BatchQueue[transactions.Commit]):
    """Owns the writing connection.

    `submit` also raises `StoreError` (`commit_unknown`), when the server left during the commit and
    did not come back.
    """

    def __init__(
        self,
        address: Address,
        batch_limit: int,
        clock: ServerClock,
        committed: Callable[[Sequence[transactions.Commit]], None],
        *,
        fate_s: float,
    ) -> None:
        super().__init__(batch_limit)
        self._address = address
        self._clock = clock
        self._committed = committed
        self._fate_s = fate_s
        self._line = Line(address)

    async def close(self) -> None:
        """Everything submitted is answered and the connection is closed."""
        await self._drained()
        await self._line.close()

    async def _serve(self, members: list[Member[transactions.Commit]]) -> None:
        # Whatever goes wrong goes to the callers: the writer outlives any member.
        (told,) = await asyncio.gather(
            self._transact([member.work for member in members]), return_exceptions=True
        )
        if isinstance(told, BaseException):
            if len(members) > 1 and not isinstance(told, StoreError):
                for member in members:
                    await self._serve([member])
                return
            fault = fault_of(told, self._address) if isinstance(told, psycopg.Error) else told
            for member in members:
                member.error = fault
        else:
            for member, given in zip(members, told, strict=True):
                member.answer = given
        answer(members)

    async def _transact(self, commits: list[transactions.Commit]) -> list[Answer]:
        """Carry a batch out. A server that is gone is a `StoreError` for all of its members."""
        for attempt in range(_TRIES):
            try:
                return await self._try(commits)
            except _ANEW:
                await self._line.roll_back()
            except psycopg.Error as error:
                await self._line.roll_back()
                if not is_gone(error):
                    raise
                # A connection that died while it was idle is replaced once without a word.
                if attempt > 0:
                    raise fault_of(error, self._address) from error
            except BaseException:
                await self._line.close()
                raise
        raise StoreUnavailable(
            f"{self._address}: other processes kept changing the same rows",
            code="store_busy",
            help="try again",
        )

    async def _try(self, commits: list[transactions.Commit]) -> list[Answer]:
        connection = await self._line.connected()
        batch, transaction = await self._read(connection, commits)
        answers: list[Answer] = [batch.carry(commit) for commit in commits]
        made = [
            commit
            for commit, answer in zip(commits, answers, strict=True)
            if isinstance(answer, transactions.Committed)
        ]
        try:
            await self._write(connection, batch, made)
        except psycopg.Error as error:
            if not is_gone(error):
                raise
            await self._line.close()
            if not await self._was_committed(transaction, batch.records[:1]):
                raise LookAgain from error
        self._committed(made)
        return answers

    async def _read(
        self, connection: Connection, commits: Sequence[transactions.Commit]
    ) -> tuple[PostgresBatch, str]:
        """Begin, lock control, and read all that the guards will look at: one round trip."""
        estimated_us = self._clock.now_us()
        wanted = Wanted(commits, estimated_us)
        reads = {table: wanted.values(table) for table in READS if table in wanted.keys}
        settled = sorted(wanted.settled)
        budgets = {
            **wanted.values("budgets"),
            "settled_tenant": [tenant for tenant, _ in settled],
            "settled": [action for _, action in settled],
        }
        tenants = sorted(wanted.shared | wanted.exclusive)
        sent_ns = self._clock.monotonic_ns()
        async with connection.pipeline():
            await connection.execute(SQL["begin"])
            await connection.execute(SQL["share_control"], {"tenants": sorted(wanted.shared)})
            if wanted.exclusive:
                held = {"tenants": sorted(wanted.exclusive)}
                await connection.execute(SQL["hold_control"], held)
            asked = {"tenants": tenants, "count": wanted.records}
            head = await connection.execute(SQL["transaction"], asked)
            found = {
                table: await connection.execute(SQL[READS[table]], values)
                for table, values in reads.items()
            }
            if wanted.settled or "budgets" in wanted.keys:
                found["budgets"] = await connection.execute(SQL["lock_budgets"], budgets)
        row = await head.fetchone()
        assert row is not None
        server_us, transaction, oldest, numbers, *control = row
        check_program(oldest, self._address)
        now_us = self._clock.observe(server_us, sent_ns)
        if Wanted(commits, now_us).keys.get("budgets") != wanted.keys.get("budgets"):
            raise LookAgain  # a day, an hour or a minute began meanwhile: other buckets
        batch = PostgresBatch(now_us, numbers)
        batch.read("control", zip(*control, strict=True))
        for table, cursor in found.items():
            batch.read(table, await cursor.fetchall())
        return batch, transaction

    async def _write(
        self, connection: Connection, batch: PostgresBatch, made: Sequence[transactions.Commit]
    ) -> None:
        """Write what was left changed, and COMMIT: one round trip."""
        async with connection.pipeline():
            for name, columns in batch.writes():
                await connection.execute(SQL[name], columns)
            if told := _told(made):
                await connection.execute(SQL["tell"], {"told": told})
            await connection.execute(SQL["commit"])

    async def _was_committed(self, transaction: str, wrote: Sequence[Row]) -> bool:
        """What became of a transaction whose COMMIT was not answered. Raises `StoreError`.

        A server that dies may forget the number of what it did not keep, and give it to another
        transaction: of one that `wrote` a record, the record is the evidence.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._fate_s
        while loop.time() < until:
            try:
                connection = await self._line.connected()
                status = await _asked(connection, "fate", {"transaction": transaction})
                if status == "committed":
                    evidence = [{"seq": row["seq"], "hash": row["hash"]} for row in wrote]
                    kept = [await _asked(connection, "is_record", each) for each in evidence]
                    return all(kept)
            except psycopg.Error as error:
                if not is_gone(error):
                    break  # another server, say, which has not got as far: it cannot know
                status = None
            if status == "aborted":
                return False
            await asyncio.sleep(_FATE_PAUSE_S)
        raise unknown_fate(self._address)


async def _asked(connection: Connection, name: str, values: Mapping[str, Any]) -> Any:
    row = await (await connection.execute(SQL[name], values)).fetchone()
    return row[0] if row else None


def _told(made: Sequence[transactions.Commit]) -> list[str]:
    """Notifications of the actions that moved. Control changes need none: fences read the epoch."""
    moved = [
        op.action.id for commit in made for op in commit.ops if type(op) is transactions.MoveAction
    ]
    pages = range(0, len(moved), _TOLD_TOGETHER)
    return [" ".join(moved[at : at + _TOLD_TOGETHER]) for at in pages]
