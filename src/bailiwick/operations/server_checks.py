"""What a look at a PostgreSQL server means: what is in order, what is not, and what to do."""

from collections.abc import Iterator
from typing import Any

from bailiwick.operations.checks import Check

# A process keeps five connections; the look itself takes one more.
_CONNECTIONS = 5
_SKEW_US, _SLIGHT_SKEW_US = 5_000_000, 1_000_000


def server_checks(look: Any, watermark_mb: int) -> Iterator[Check]:
    """The lines for a `ServerLook` of `store/postgres`, which is imported on demand."""
    yield Check(name="server", level="ok", said=f"PostgreSQL {look.version} answers")
    if look.read_only:
        yield Check(
            name="server",
            level="fail",
            said="it is read-only: a standby, or told to be",
            help="name its primary in `store`, or promote it once the old primary is surely gone",
        )
    yield _schema(look)
    yield _durability(look)
    yield _standbys(look)
    yield _rights(look)
    yield _room(look)
    yield _disk(look, watermark_mb)
    yield _clock(look)


def _schema(look: Any) -> Check:
    version, oldest = look.schema
    wanted = look.wanted_schema
    said = f"version {version}"
    if version < wanted:
        help = "run `bailiwick migrate`" if version else "run `bailiwick init --store`"
        said = f"{said}, this program wants {wanted}"
        return Check(name="schema", level="fail", said=said, help=help)
    if oldest > wanted:
        said = f"{said} is for programs of version {oldest} or later; this one has {wanted}"
        return Check(name="schema", level="fail", said=said, help="start the newer program")
    if version > wanted:
        said = f"{said}, of a newer program, beside which this one of {wanted} still works"
        return Check(name="schema", level="warn", said=said, help="start the newer program soon")
    return Check(name="schema", level="ok", said=said)


def _durability(look: Any) -> Check:
    names = ("fsync", "full_page_writes", "synchronous_commit")
    told = ", ".join(f"{name}={look.in_force.get(name, '?')}" for name in names)
    off = [name for name in names if look.in_force.get(name) == "off"]
    if off:
        settings = ", ".join(f"{name} = on" for name in off)
        return Check(
            name="durability",
            level="fail",
            said=f"{told}: a power cut loses answers, or the database",
            help=f"set {settings} in postgresql.conf and restart the server",
        )
    return Check(name="durability", level="ok", said=f"{told} on a connection that writes")


def _standbys(look: Any) -> Check:
    name, wanted = "standbys", look.in_force.get("synchronous_standby_names", "")
    if look.standbys is None:
        help = "grant pg_monitor to the role, or look at pg_stat_replication yourself"
        return Check(name=name, level="warn", said=f"{look.role} may not see them", help=help)
    told = ", ".join(f"{each.name} ({each.sync})" for each in look.standbys)
    follows = [each for each in look.standbys if each.sync in ("sync", "quorum")]
    if wanted and not follows:
        return Check(
            name=name,
            level="fail",
            said=f"synchronous_standby_names is `{wanted}` and none of them is connected",
            help="start it: until then no commit is answered",
        )
    level = look.in_force.get("synchronous_commit")
    if follows and level == "local":
        said = f"{told}, but synchronous_commit=local does not wait for them"
        return Check(name=name, level="warn", said=said, help="set synchronous_commit = on")
    if look.standbys and not follows:
        return Check(
            name=name,
            level="warn",
            said=f"{told}: one that takes over has forgotten the newest intents",
            help="set synchronous_standby_names, or never promote one without looking at it",
        )
    said = f"{told}: no answer is given before they have it" if told else "none"
    return Check(name=name, level="ok", said=said)


def _rights(look: Any) -> Check:
    if look.lacks:
        return Check(
            name="rights",
            level="fail",
            said=f"{look.role} may not read and write {', '.join(look.lacks)}",
            help=f"grant select, insert, update, delete on these (and usage) to {look.role}",
        )
    if look.superuser:
        return Check(
            name="rights",
            level="warn",
            said=f"{look.role} is a superuser, who could rewrite everything on this server",
            help="make a role that owns this database and nothing else, and name it in `store`",
        )
    return Check(name="rights", level="ok", said=f"{look.role} has what is needed and no more")


def _room(look: Any) -> Check:
    most = int(look.in_force.get("max_connections", "0"))
    said = f"{look.connections} of {most} are in use; each process keeps {_CONNECTIONS}"
    if most - look.connections < 2 * _CONNECTIONS:
        help = "raise max_connections, or end what need not be connected"
        return Check(name="connections", level="warn", said=said, help=help)
    return Check(name="connections", level="ok", said=said)


def _disk(look: Any, watermark_mb: int) -> Check:
    said = f"the database has {look.size_mb} MB"
    if look.free_mb is None:
        said = f"{said}; what is free on the server's disk cannot be seen from here"
        return Check(name="disk", level="ok", said=f"{said}, so have something else watch it")
    said = f"{said}, and {look.free_mb} MB are free"
    if look.free_mb < 4 * watermark_mb:
        return Check(name="disk", level="warn", said=said, help="free some space soon")
    return Check(name="disk", level="ok", said=said)


def _clock(look: Any) -> Check:
    off_us, sure_us = look.clock_off_us, look.clock_sure_us
    said = f"the server's is {off_us / 1e6:+.3f} s off this machine's, within {sure_us / 1e6:.3f} s"
    least_us = abs(off_us) - sure_us
    if least_us > _SLIGHT_SKEW_US:
        return Check(
            name="server clock",
            level="fail" if least_us > _SKEW_US else "warn",
            said=said,
            help="set both by one time server: what is signed is refused beyond five seconds",
        )
    return Check(name="server clock", level="ok", said=said)
