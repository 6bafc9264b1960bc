"""Reading in groups: whatever is asked when the reader comes round is one round trip.

A question is sent after it was asked, never before, so its answer shows every commit that had
returned by then. Equal questions of one round are asked once.
"""

import asyncio
from collections.abc import Hashable, Mapping
from typing import Any

import psycopg

from bailiwick.store.postgres.connections import Address, Connection, Line, fault_of, is_gone
from bailiwick.store.postgres.statements import SQL, Row

_TOGETHER = 256


class WaitingRead:
    """A statement with its values, and those who wait for its rows."""

    __slots__ = ("future", "name", "values")

    def __init__(
        self, name: str, values: Mapping[str, Any], future: asyncio.Future[list[Row]]
    ) -> None:
        self.name = name
        self.values = values
        self.future = future


class GroupReader:
    """Owns a connection for reading."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._line = Line(address)
        self._waiting: list[WaitingRead] = []
        self._asked: dict[Hashable, asyncio.Future[list[Row]]] = {}
        self._pump: asyncio.Task[None] | None = None

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
        if self._pump is not None:
            await self._pump
        await self._line.close()

    async def _ask(self, name: str, values: Mapping[str, Any]) -> list[Row]:
        told = ((k, tuple(v) if isinstance(v, list) else v) for k, v in values.items())
        question: Hashable = (name, *told)
        asked = self._asked.get(question)
        if asked is None:
            asked = self._asked[question] = self._put(name, values)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._drain())
        # Others may wait for it when this one is cancelled.
        return await asyncio.shield(asked)

    def _put(self, name: str, values: Mapping[str, Any]) -> asyncio.Future[list[Row]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row]] = loop.create_future()
        self._waiting.append(WaitingRead(name, values, future))
        return future

    async def _drain(self) -> None:
        while self._waiting:
            questions = self._waiting[:_TOGETHER]
            del self._waiting[:_TOGETHER]
            self._asked = {}
            await self._answer(questions, again=True)

    async def _answer(self, questions: list[WaitingRead], *, again: bool) -> None:
        try:
            connection = await self._line.connected()
            answers = await _rows(connection, questions)
        except psycopg.Error as error:
            await self._line.roll_back()
            if is_gone(error) and again:
                # A connection that died while it was idle is replaced once without a word.
                await self._line.close()
                await self._answer(questions, again=False)
            elif len(questions) > 1 and not is_gone(error):
                for question in questions:
                    await self._answer([question], again=again)
            else:
                _fail(questions, fault_of(error, self._address))
            return
        except BaseException as error:
            await self._line.close()
            _fail(questions, error)
            raise
        for question, rows in zip(questions, answers, strict=True):
            if not question.future.done():
                question.future.set_result(rows)


def _fail(questions: list[WaitingRead], error: BaseException) -> None:
    for question in questions:
        if not question.future.done():
            question.future.set_exception(error)


async def _rows(connection: Connection, questions: list[WaitingRead]) -> list[list[Row]]:
    if len(questions) == 1:
        cursor = await connection.execute(SQL[questions[0].name], questions[0].values)
        return [await cursor.fetchall()]
    async with connection.pipeline():
        cursors = [await connection.execute(SQL[each.name], each.values) for each in questions]
    return [await cursor.fetchall() for cursor in cursors]
