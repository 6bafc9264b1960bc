"""Connections to the server, and what its errors mean. No password stands in any message."""

import asyncio
import os
import socket
from typing import Any

import psycopg
from psycopg import conninfo, errors
from psycopg.abc import RV, PQGen
from psycopg.rows import TupleRow

from bailiwick.errors import ConfigError, StoreError, StoreUnavailable
from bailiwick.store.postgres.arrays import ColumnDumper
from bailiwick.store.postgres.statements import SQL

Connection = psycopg.AsyncConnection[TupleRow]

# A server that takes longer than this to answer is taken for gone: its disk hangs, say. It may wait
# for a few locks meanwhile.
_ANSWER_S = 20.0
# A process that stands still while it holds the control lock would keep a kill waiting.
_IDLE, _LOCK = "2s", "5s"
_DEFAULTS = {
    "connect_timeout": "10",
    "application_name": "bailiwick",
    # A server that is gone without a word is noticed.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class Address:
    """Where the database is, with what to log in, and how long it may take to answer."""

    def __init__(self, url: str, *, answer_s: float = _ANSWER_S) -> None:
        """Raises `ConfigError` for what is not an address; it quotes nothing of it."""
        self.answer_s = answer_s
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            raise ConfigError(
                "the `store` setting is not the address of a PostgreSQL database",
                code="store_address",
                help="write postgresql://USER@HOST:PORT/DATABASE, special characters as %XX",
            ) from None
        self.parameters: dict[str, Any] = {**_DEFAULTS, **given}

    def __str__(self) -> str:
        told = {**{"host": "localhost", "port": "5432", "dbname": "?"}, **self.parameters}
        return f"{told['dbname']} at {told['host']}:{told['port']}"

    __repr__ = __str__


class _Impatient(psycopg.AsyncConnection[TupleRow]):
    """A connection that breaks, as if the server had left, when an answer takes too long."""

    answer_s: float | None = None

    async def wait(self, gen: PQGen[RV], *how: Any, **named: Any) -> RV:
        """Wait for the server. Raises `psycopg.Error`."""
        if self.answer_s is None:
            return await super().wait(gen, *how, **named)
        timer = asyncio.get_running_loop().call_later(self.answer_s, self._break)
        try:
            return await super().wait(gen, *how, **named)
        finally:
            timer.cancel()

    def _break(self) -> None:
        with socket.socket(fileno=os.dup(self.fileno())) as own:
            own.shutdown(socket.SHUT_RDWR)


class Line:
    """One connection: opened when it is needed first, and again after it broke.

    One that `listens` may be left without a word for as long as there is nothing to tell.
    """

    def __init__(self, address: Address, *, listens: bool = False) -> None:
        self._address = address
        self._listens = listens
        self._connection: Connection | None = None

    async def connected(self) -> Connection:
        """The connection, in autocommit and in no transaction. Raises `psycopg.Error`."""
        if self._connection is None or self._connection.closed:
            connection = await _Impatient.connect(
                "", autocommit=True, prepare_threshold=0, **self._address.parameters
            )
            connection.answer_s = None if self._listens else self._address.answer_s
            self._connection = connection
            self._connection.adapters.register_dumper(list, ColumnDumper)
            for name in ("durable", "indexed"):
                await self._connection.execute(SQL[name])
            await self._connection.execute(SQL["patience"], {"idle": _IDLE, "lock": _LOCK})
        return self._connection

    async def roll_back(self) -> None:
        """The connection is in no transaction again, or closed."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            await connection.execute(SQL["rollback"])
        except psycopg.Error:
            await connection.close()

    async def close(self) -> None:
        """The connection is closed."""
        if self._connection is not None:
            await self._connection.close()


def is_gone(error: psycopg.Error) -> bool:
    """Whether the server could not be reached or left, rather than said no."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate.startswith(_LEAVING)


def fault_of(error: psycopg.Error, address: Address) -> StoreError:
    """Say what an error means for the caller: nothing was written."""
    state = error.sqlstate or ""
    for prefixes, code, message, help in _FAULTS:
        if state.startswith(prefixes):
            return StoreUnavailable(f"{address}: {message}", code=code, help=help)
    if is_gone(error):
        # A connection that was refused has no code, only the server's words.
        for words, state in _WORDS.items():
            if words in str(error):
                return fault_of(_coded(state), address)
        return StoreUnavailable(
            f"{address}: the server cannot be reached",
            code="store_unreachable",
            help="see that it runs and takes connections; nothing was lost, and what was under"
            " way is taken up again",
        )
    # Not the server's text: it may quote values.
    return StoreUnavailable(
        f"{address}: the database refused ({type(error).__name__} {state})".rstrip(),
        code="store_unavailable",
        help="look into the server's log",
    )


def _coded(state: str) -> psycopg.Error:
    return errors.lookup(state)()


def unknown_fate(address: Address) -> StoreError:
    """The server left before it answered a COMMIT, and cannot be asked what became of it."""
    return StoreError(
        f"{address}: the server left during a commit, and its fate cannot be asked for yet",
        code="commit_unknown",
        help="look at the action's state once the server is back; recovery does so by itself",
    )


_FAULTS: tuple[tuple[tuple[str, ...], str, str, str], ...] = (
    (("53100",), "disk_full", "the server's disk is full", "free some space; nothing was lost"),
    (("53300",), "store_busy", "the server takes no more connections", "raise max_connections"),
    (("55P03", "57014"), "store_busy", "a lock was not given in time", "try again"),
    (("25006",), "store_read_only", "the server is read-only", "name its primary in `store`"),
    (
        ("28", "42501"),
        "store_denied",
        "the server does not let this user in, or not do that",
        "check user, password (PGPASSFILE, or ?passfile= in the address) and privileges",
    ),
    (("3D000",), "store_missing", "there is no such database", "create it, or check `store`"),
    (("XX001", "XX002"), "store_corrupt", "the database is damaged", "restore the newest backup"),
)

# With these the server ends the connection: it shuts down, starts up, recovers, or had to wait too
# long for us.
_LEAVING = ("08", "25P03", "57P")

_WORDS = {
    "password": "28P01",
    "authentication": "28000",
    "does not exist": "3D000",
    "too many clients": "53300",
    "remaining connection slots": "53300",
}
