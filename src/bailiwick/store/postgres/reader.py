"""Reading in groups: whatever is asked when the reader comes round is one round trip.

A question is sent after it was asked, never before, so its answer shows every commit that had
returned by then. Equal questions of one round are asked once.
"""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import psycopg

from bailiwick.store.postgres.connections import Address, Connection, Line, fault_of, is_gone
from bailiwick.store.postgres.statements import SQL, Row
from bailiwick.store.queue import BatchQueue, Member, answer

_TOGETHER = 256


class WaitingRead(NamedTuple):
    """A statement with its values."""

    name: str
    values: Mapping[str, Any]


class GroupReader(BatchQueue[WaitingRead]):
    """Owns a connection for reading; at most `together` questions are one round trip."""

    def __init__(self, address: Address, together: int = _TOGETHER) -> None:
        super().__init__(together)
        self._address = address
        self._line = Line(address)
        self._asked: dict[Hashable, asyncio.Future[list[Row]]] = {}

    async def every(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        """All rows of a statement, as committed now. Raises `StoreUnavailable`."""
        return await self._ask(name, values)

    async def one(self, name: str, values: Mapping[str, Any]) -> Row | None:
        """The first row of a statement, or None."""
        rows = await self._ask(name, values)
        return rows[0] if rows else None

    async def epoch(self, tenant: str) -> int:
        """A tenant's control epoch."""
        rows = await self._ask("epochs", {"tenants": [tenant]})
        return rows[0][1] if rows else 0

    async def close(self) -> None:
        """Everybody is answered and the connection is closed."""
        await self._drained()
        await self._line.close()

    async def _ask(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        told = ((k, tuple(v) if isinstance(v, list) else v) for k, v in values.items())
        question: Hashable = (name, *told)
        asked = self._asked.get(question)
        # One that is answered already was asked in a round that died.
        if asked is None or asked.done():
            asked = self._asked[question] = self.submit(WaitingRead(name, values))
        # Others may wait for it when this one is cancelled.
        return await asyncio.shield(asked)

    async def _serve(self, members: list[Member[WaitingRead]]) -> None:
        self._asked = {}
        await self._answer(members, again=True)

    async def _answer(self, members: list[Member[WaitingRead]], *, again: bool) -> None:
        try:
            connection = await self._line.connected()
            answers = await _rows(connection, [member.work for member in members])
        except psycopg.Error as error:
            await self._line.roll_back()
            if is_gone(error) and again:
                # A connection that died while it was idle is replaced once without a word.
                await self._line.close()
                await self._answer(members, again=False)
                return
            if len(members) > 1 and not is_gone(error):
                for member in members:
                    await self._answer([member], again=again)
                return
            for member in members:
                member.error = fault_of(error, self._address)
        except BaseException:
            await self._line.close()
            raise
        else:
            for member, rows in zip(members, answers, strict=True):
                member.answer = rows
        answer(members)


async def _rows(connection: Connection, questions: list[WaitingRead]) -> list[list[Row]]:
    if len(questions) == 1:
        cursor = await connection.execute(SQL[questions[0].name], questions[0].values)
        return [await cursor.fetchall()]
    async with connection.pipeline():
        cursors = [await connection.execute(SQL[each.name], each.values) for each in questions]
    return [await cursor.fetchall() for cursor in cursors]
