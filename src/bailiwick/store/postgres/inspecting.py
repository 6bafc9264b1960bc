"""What can be seen of a server by whoever may log in; `doctor` says what it means."""

import os
import time
from pathlib import Path

import psycopg
from msgspec import Struct

from bailiwick.config import Settings
from bailiwick.store.postgres.connections import Address, fault_of
from bailiwick.store.postgres.migrating import SCHEMA_VERSION, Schema, schema_of
from bailiwick.store.postgres.statements import SQL

_MB = 1024 * 1024


class Standby(Struct, frozen=True, kw_only=True):
    """A streaming replica; `sync` is the server's own word: async, potential, sync or quorum."""

    name: str
    sync: str


class ServerLook(Struct, frozen=True, kw_only=True):
    """One look at a server. None stands for what this role may not see.

    `in_force` holds settings as they hold on a connection that writes, by name. `lacks` names the
    tables and sequences that this role may not use as it must. `clock_off_us` is by how much the
    server's clock is ahead of this machine's, and `clock_sure_us` how far that may be wrong.
    """

    version: str
    in_force: dict[str, str]
    read_only: bool
    schema: Schema
    wanted_schema: int
    role: str
    superuser: bool
    lacks: tuple[str, ...]
    standbys: tuple[Standby, ...] | None
    connections: int
    size_mb: int
    free_mb: int | None
    clock_off_us: int
    clock_sure_us: int


def inspect(settings: Settings) -> ServerLook:
    """Look at the server of a project's database. Raises `ConfigError` or `StoreUnavailable`."""
    address = Address(settings.store)
    try:
        with psycopg.connect("", autocommit=True, **address.parameters) as connection:
            connection.execute(SQL["durable"])
            return _look(connection)
    except psycopg.Error as error:
        raise fault_of(error, address) from error


def _look(connection: psycopg.Connection[tuple[object, ...]]) -> ServerLook:
    def one(name: str) -> tuple[object, ...]:
        row = connection.execute(SQL[name]).fetchone()
        assert row is not None
        return row

    schema = schema_of(connection)
    sent_us = time.time_ns() // 1000
    (server_us,) = one("clock")
    heard_us = time.time_ns() // 1000
    role, superuser, read_only, connections, size, sees_all, folder = one("server")
    standbys = [
        Standby(name=str(name), sync=str(sync))
        for name, sync in connection.execute(SQL["standbys"]).fetchall()
    ]
    lacks = connection.execute(SQL["lacking_rights"]).fetchall() if schema.version else []
    local = connection.info.host in ("", "localhost", "127.0.0.1", "::1") or (
        connection.info.host.startswith("/")
    )
    return ServerLook(
        version=str(one("server_version")[0]),
        in_force={str(n): str(v) for n, v in connection.execute(SQL["in_force"]).fetchall()},
        read_only=bool(read_only),
        schema=schema,
        wanted_schema=SCHEMA_VERSION,
        role=str(role),
        superuser=bool(superuser),
        lacks=tuple(str(name) for (name,) in lacks),
        standbys=tuple(standbys) if sees_all else None,
        connections=int(str(connections)),
        size_mb=int(str(size)) // _MB,
        free_mb=_free_mb(str(folder)) if folder and local else None,
        clock_off_us=int(str(server_us)) - (sent_us + heard_us) // 2,
        clock_sure_us=(heard_us - sent_us) // 2,
    )


def _free_mb(folder: str) -> int | None:
    """What is free on the disk of the server's data, if it is this machine's; None if not seen."""
    try:
        room = os.statvfs(Path(folder))
    except OSError:
        return None
    return room.f_bavail * room.f_frsize // _MB
