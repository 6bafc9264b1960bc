"""A look at the installation: what is in order, what is not, and what to do about it."""

import os
import stat
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import msgspec
from msgspec import Struct

from bailiwick import identity, ledger
from bailiwick.config import CredentialSource, Settings
from bailiwick.errors import BailiwickError
from bailiwick.execution import CredentialBroker
from bailiwick.housekeeping import erasing
from bailiwick.ledger import note, records
from bailiwick.nouns.mandates import BreakGlass
from bailiwick.operations import backups
from bailiwick.operations.channel import answers, silent
from bailiwick.operations.checks import Check, failed
from bailiwick.operations.doubts import doubt_of, doubtful
from bailiwick.operations.emergencies import REVIEW_WITHIN_US
from bailiwick.operations.mandates import signed
from bailiwick.operations.proofs import witness_state
from bailiwick.operations.rotation import runs_by_key
from bailiwick.operations.server_checks import server_checks
from bailiwick.operations.telemetry_checks import telemetry_checks
from bailiwick.ports import World
from bailiwick.store import sqlite
from bailiwick.values import counted
from bailiwick.wiring import keys_folder, on_demand, open_world

_LATE_US = 2_000_000
_SKEW_US = 5_000_000
_STEP_US = 2_000_000
_ANSWER_S = 1.0
_SYNCS = 16
_DAY_US = 86_400_000_000
_OLD_DAYS = 30
_NAMED = 5
# The quickest disks that keep what they synced through a power cut take longer than this.
_TOO_QUICK_US = 20
# The file format's "read version", https://www.sqlite.org/fileformat.html: 2 says write-ahead log.
_READ_VERSION_AT, _WAL = 19, 2


async def examine(settings: Settings) -> list[Check]:
    """Look at everything that can be looked at; what cannot be opened is a line, not a fault."""
    checks = [*_keys(settings), *_agent_keys(settings), *_disk(settings)]
    checks += _credentials(settings)
    checks += [*_backups(settings), *telemetry_checks(settings)]
    if settings.is_shared:
        checks += _server(settings)
    else:
        file = settings.path(settings.store)
        checks += _file(file)
        if not file.exists():
            return checks
        checks.append(await _owner(file))
    try:
        world = open_world(settings, alone=False)
    except BailiwickError as fault:
        # What keeps it from being opened stands among the checks of the files, as a rule.
        known = any(f"[{fault.code}]" in check.said for check in checks)
        return checks if known else [*checks, failed("store", fault)]
    try:
        parts = (
            _clock,
            _step,
            _release,
            _log,
            _witness,
            _vault,
            retention,
            _doubts,
            _notices,
            _reviews,
            _people,
        )
        for part in parts:
            try:
                checks += [check async for check in part(world)]
            except BailiwickError as fault:
                checks.append(failed(part.__name__.removeprefix("_"), fault))
    finally:
        await world.close()
    return checks


def _server(settings: Settings) -> Iterator[Check]:
    """What can be seen of a PostgreSQL server."""
    try:
        look = on_demand("inspect")(settings)
    except BailiwickError as fault:
        yield failed("server", fault)
        return
    yield from server_checks(look, settings.free_space_watermark_mb)


# --- the files -----------------------------------------------------------------------------------


def _keys(settings: Settings) -> Iterator[Check]:
    folder = keys_folder(settings)
    try:
        identity.load_keyring(folder, settings.log_origin)
        yield Check(name="keys", level="ok", said=f"all there and private in {folder}")
    except BailiwickError as fault:
        yield failed("keys", fault)
    data = settings.data.resolve()
    if folder.resolve().is_relative_to(data):
        yield Check(
            name="keys",
            level="warn",
            said="the keys lie in the data folder, so its backups hold both",
            help="move them elsewhere and set `keys` in bailiwick.yaml",
        )


def _agent_keys(settings: Settings) -> Iterator[Check]:
    found = sorted((keys_folder(settings) / "agents").glob("*.json"))
    for path in found:
        try:
            identity.read_agent_key(path)
        except BailiwickError as fault:
            yield failed("agent key", fault)
    yield Check(name="agent keys", level="ok", said=f"{len(found)} found")


def _disk(settings: Settings) -> Iterator[Check]:
    folder = settings.data
    if settings.is_shared or not folder.is_dir():
        return
    room = os.statvfs(folder)
    free_mb = room.f_bavail * room.f_frsize // (1024 * 1024)
    said = f"{free_mb} MB are free; new effects stop at {settings.free_space_watermark_mb} MB"
    if free_mb < settings.free_space_watermark_mb:
        yield Check(name="disk", level="fail", said=said, help="free some space")
    elif free_mb < 4 * settings.free_space_watermark_mb:
        yield Check(name="disk", level="warn", said=said, help="free some space soon")
    else:
        yield Check(name="disk", level="ok", said=said)


def _backups(settings: Settings) -> Iterator[Check]:
    """How old the newest backup and the newest drill are that were made here."""
    if settings.is_shared:
        return
    kept = backups.last(settings)
    now_us = time.time_ns() // 1000
    days = {what: (now_us - at_us) // _DAY_US for what, at_us in kept.items()}
    told = [f"the last {what} was {age} days ago" for what, age in sorted(days.items())]
    if not told:
        said = "none was made by `bailiwick backup` here"
        help = "make one elsewhere, and try it with `bailiwick backup --drill`"
        yield Check(name="backup", level="warn", said=said, help=help)
    elif max(days.values()) > _OLD_DAYS or "drill" not in days:
        help = "run `bailiwick backup DIR`, and `bailiwick backup --drill`"
        yield Check(name="backup", level="warn", said="; ".join(told), help=help)
    else:
        yield Check(name="backup", level="ok", said="; ".join(told))


def _credentials(settings: Settings) -> Iterator[Check]:
    """Whether each can be resolved in this process; the value is looked at by nobody."""
    broker = CredentialBroker(settings)
    for name, source in sorted(settings.credentials.items()):
        try:
            broker.secret(name, *_stated_use(source))
            yield Check(name="credential", level="ok", said=f"{name} can be resolved")
        except BailiwickError as fault:
            yield failed("credential", fault)


def _stated_use(source: CredentialSource) -> tuple[str, str, bool]:
    """A tool, a host and a use that the source's own entry allows."""
    tool = next(iter(source.tools), "").replace(".*", ".any")
    host = next(iter(source.hosts), "").replace("*.", "any.")
    return tool, host, source.access == "write"


def _file(file: Path) -> Iterator[Check]:
    if not file.exists():
        help = "run `bailiwick init`, or restore its backup"
        yield Check(name="store", level="fail", said=f"there is no database at {file}", help=help)
        return
    try:
        version = sqlite.schema_version(file)
    except BailiwickError as fault:
        yield failed("store", fault)
        return
    if version == sqlite.SCHEMA_VERSION:
        yield Check(name="schema", level="ok", said=f"version {version}")
    else:
        said = f"version {version}, this program wants {sqlite.SCHEMA_VERSION} [schema_version]"
        older = version < sqlite.SCHEMA_VERSION
        help = "run `bailiwick migrate`" if older else "start the newer program"
        yield Check(name="schema", level="fail", said=said, help=help)
    if not all(os.access(path, os.W_OK) for path in (file, file.parent)):
        said = f"it can only be read: {file} or its folder cannot be written"
        help = "look at the disk and the permissions; until then nothing can act, only look"
        yield Check(name="store", level="fail", said=said, help=help)
        return
    with file.open("rb") as opened:
        header = opened.read(_READ_VERSION_AT + 1)
    if header[_READ_VERSION_AT:] == bytes([_WAL]):
        yield _durability(file)
        yield _sync(file.parent)
    else:
        said = "the database does not use its write-ahead log"
        help = "close whatever else opened it; the next start sets it"
        yield Check(name="durability", level="fail", said=said, help=help)
    if stat.S_IMODE(file.stat().st_mode) & 0o022 or file.parent.stat().st_mode & stat.S_IWOTH:
        help = f"chmod go-w {file} {file.parent}"
        said = "others may write the database"
        yield Check(name="store", level="fail", said=said, help=help)


def _durability(file: Path) -> Check:
    try:
        mode, level = sqlite.durability(file)
    except BailiwickError as fault:
        return failed("durability", fault)
    said = f"journal_mode={mode} and synchronous={level} are in force on a connection that writes"
    return Check(name="durability", level="ok", said=f"{said}; without them nothing is written")


def _sync(folder: Path) -> Check:
    try:
        return synced(list(_syncs(folder)))
    except OSError as error:
        said = f"nothing can be written in {folder}: {error.strerror}"
        return Check(name="sync", level="fail", said=said, help="look at its disk and permissions")


def _syncs(folder: Path) -> Iterator[int]:
    """How long each of some fsyncs of a page takes in a folder, in microseconds."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".sync", buffering=0) as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            began_ns = time.perf_counter_ns()
            os.fsync(file.fileno())
            yield (time.perf_counter_ns() - began_ns) // 1000


def synced(took_us: Sequence[int]) -> Check:
    """What the times of some fsyncs say of the disk; a plausible one is no proof."""
    usual_us = round(statistics.median(took_us))
    said = f"an fsync takes {usual_us} µs here"
    if usual_us < _TOO_QUICK_US:
        said = f"{said}, which no disk does: it is memory, or claims to have kept what it has not"
        help = "put the database on a disk that keeps what was synced, or expect to lose answers"
        return Check(name="sync", level="warn", said=said, help=f"{help} when the power fails")
    return Check(name="sync", level="ok", said=f"{said}; that the disk keeps its word is not shown")


async def _owner(file: Path) -> Check:
    try:
        if not sqlite.is_owned(file):
            return Check(name="owner", level="ok", said="no process owns the database now")
    except BailiwickError as fault:
        return failed("owner", fault)
    owner = sqlite.owner_of(file)
    if await answers(file.with_suffix(".sock"), _ANSWER_S):
        who = "a process" if owner is None else f"process {owner}"
        return Check(name="owner", level="ok", said=f"{who} owns the database, and answers")
    return failed("owner", silent(owner))


# --- the database --------------------------------------------------------------------------------


async def _clock(world: World) -> AsyncIterator[Check]:
    size = await world.ledger.tree_size()
    last = await world.ledger.records(size - 1, 1) if size else []
    if not last:
        yield Check(name="clock", level="ok", said="no record to compare it with")
        return
    ahead_us = cast("int", records.decode(last[0].body)["at_us"]) - world.now_us()
    if ahead_us > _SKEW_US:
        yield Check(
            name="clock",
            level="fail",
            said=f"it is {ahead_us // 1_000_000} s behind the newest record",
            help="set the clock; expiry, budgets and leases go by it",
        )
    else:
        yield Check(name="clock", level="ok", said="not behind the newest record")


class ClockLook(Struct, frozen=True, kw_only=True):
    """The store's clock, less the time since the machine began, at a look in a boot of it."""

    boot: str
    offset_us: int


async def _step(world: World) -> AsyncIterator[Check]:
    """Whether the store's clock went as the machine's own time did since the last look."""
    running_us = (
        time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)) // 1000
    )
    now = ClockLook(boot=_boot(), offset_us=await world.store.now_us() - running_us)
    file = world.settings.data / "clock.json"
    try:
        before = msgspec.json.decode(file.read_bytes(), type=ClockLook)
    except (OSError, msgspec.MsgspecError):
        before = now
    stepped_us = now.offset_us - before.offset_us if now.boot == before.boot else 0
    with suppress(OSError):
        file.write_bytes(msgspec.json.encode(now))
    if abs(stepped_us) <= _STEP_US:
        yield Check(name="clock step", level="ok", said="it was not set since the last look")
        return
    way = "forward" if stepped_us > 0 else "back"
    yield Check(
        name="clock step",
        level="warn",
        said=f"it was set {way} by {abs(stepped_us) // 1_000_000} s since the last look",
        help="expiry, budgets, leases and retention go by it: let it be slewed, never set",
    )


def _boot() -> str:
    """Which run of the machine this is; empty where that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


async def _release(world: World) -> AsyncIterator[Check]:
    tenant = world.settings.tenant
    state = await world.store.control(tenant)
    bundle = await world.bundle(tenant, state.release)
    yield Check(name="release", level="ok", said=f"{bundle.release.digest[:12]} compiles")
    for agent in sorted(set(bundle.manifests) - set(state.standings)):
        yield Check(
            name="agents",
            level="warn",
            said=f"{agent} has a manifest and no key",
            help=f"run `bailiwick agents register {agent}`",
        )
    for stop in state.stops:
        said = f"{stop.scope} {stop.target} is stopped".replace("  ", " ")
        yield Check(name="stops", level="warn", said=said, help="`bailiwick resume` lifts it")


async def _log(world: World) -> AsyncIterator[Check]:
    size, kept = await world.ledger.tree_size(), await world.ledger.checkpoint()
    signed = kept[0] if kept else 0
    if kept is not None:
        note.verify_checkpoint(kept[1].encode(), ledger.log_keys(world.keys))
    if signed > size:
        yield Check(
            name="log",
            level="fail",
            said=f"the tree has {counted(size, 'record')}, but {signed} were signed",
            help="a backup was restored or records were removed: stop, and run `ledger verify`",
        )
    else:
        yield Check(
            name="log", level="ok", said=f"{counted(size, 'record')}, signed up to {signed}"
        )
    if await ledger.held(world):
        yield failed("ledger", ledger.is_held())
    late_us = await ledger.waiting_us(world.ledger, world.now_us())
    if late_us > _LATE_US:
        yield Check(
            name="sequencer",
            level="warn",
            said=f"a record has waited {late_us // 1_000_000} s for its place in the log",
            help="start the owner of the database, or run any command that changes something",
        )


async def _witness(world: World) -> AsyncIterator[Check]:
    state = await witness_state(world)
    name, lag = state["witness"], cast("int", state["lag"])
    if name is None:
        said = "there is none: whoever has the log's key and the database can rewrite history"
        yield Check(name="witness", level="warn", said=said, help="run `bailiwick-witness init`")
    elif not state["answers"]:
        said = f"{state['said']}; it has not cosigned the newest {lag} records"
        help = "start it again; receipts wait for it" if state["required"] else "start it again"
        yield Check(name="witness", level="fail", said=said, help=help)
    elif lag or state["holds"] != state["cosigned"]:
        said = f"{name} has cosigned {state['cosigned']} records of {state['signed']}"
        said = f"{said}, and holds {state['holds']}"
        help = "start the owner of the database; if it stays so, see `bailiwick ledger witness`"
        yield Check(name="witness", level="warn", said=said, help=help)
    else:
        yield Check(name="witness", level="ok", said=f"{name} has cosigned all {state['signed']}")


async def _vault(world: World) -> AsyncIterator[Check]:
    runs = await runs_by_key(world)
    newest = world.keys.vault_keys()[0][0]
    older = sum(number for kid, number in runs.items() if kid not in (newest, None))
    if runs[None]:
        said = f"{runs[None]} runs are under a vault key that is not here"
        help = "restore that key's file: nothing else opens the payloads of these runs"
        yield Check(name="vault", level="fail", said=said, help=help)
    if older:
        said = f"{older} runs are still under an older vault key"
        help = "run `bailiwick keys rewrap`, then `bailiwick keys retire vault`"
        yield Check(name="vault", level="warn", said=said, help=help)
    else:
        yield Check(name="vault", level="ok", said=f"{runs[newest]} runs are under {newest}")


async def retention(world: World) -> AsyncIterator[Check]:
    """What is kept past its time, since something of its run is parked, in flight or in doubt."""
    found = await erasing.overdue(world, world.settings.tenant)
    for run, open, actions, _ in found[:_NAMED]:
        said = f"{counted(len(actions), 'action')} of {run} are kept past their time:"
        help = "resolve or decide it, and the rest follows; `bailiwick vault overdue` lists all"
        said = f"{said} {', '.join(open[:_NAMED])} is not settled"
        yield Check(name="retention", level="warn", said=said, help=help)
    if len(found) > _NAMED:
        said = f"{len(found) - _NAMED} more runs are kept past their time"
        help = "list them with `bailiwick vault overdue`"
        yield Check(name="retention", level="warn", said=said, help=help)
    elif not found:
        yield Check(name="retention", level="ok", said="nothing is kept past its time")


async def _doubts(world: World) -> AsyncIterator[Check]:
    now_us = await world.store.now_us()
    found = sum(bool(doubt_of(action, now_us)) for action in await doubtful(world))
    if found:
        help = "list them with `bailiwick in-doubt list`"
        yield Check(name="in doubt", level="warn", said=counted(found, "outcome"), help=help)
    else:
        yield Check(name="in doubt", level="ok", said="nothing")


async def _notices(world: World) -> AsyncIterator[Check]:
    found = await world.outbox.undelivered(world.settings.tenant)
    if not found:
        yield Check(name="notices", level="ok", said="none is undelivered")
        return
    codes = ", ".join(sorted({f"{each.channel} {each.said}" for each in found}))
    given_up = sum(each.state == "failed" for each in found)
    said = f"{len(found)} could not be delivered ({codes}), {given_up} are given up"
    help = "look at `notify` in bailiwick.yaml and at the server; `bailiwick approvals list` tells"
    yield Check(name="notices", level="warn", said=said, help=f"{help} what waits")


async def _reviews(world: World) -> AsyncIterator[Check]:
    now_us = await world.store.now_us()
    waiting = [
        statement.until_us + REVIEW_WITHIN_US
        for mandate, statement in await signed(world, BreakGlass)
        if not mandate.reviewed_by
    ]
    overdue = sum(due_us <= now_us for due_us in waiting)
    help = "look with `bailiwick reviews list`, and say what you found with `reviews close`"
    if overdue:
        said = f"{overdue} of {len(waiting)} broken glasses should have been reviewed by now"
        yield Check(name="reviews", level="fail", said=said, help=help)
    elif waiting:
        said = f"{len(waiting)} broken glasses are to be reviewed"
        yield Check(name="reviews", level="warn", said=said, help=help)
    else:
        yield Check(name="reviews", level="ok", said="none waits")


async def _people(world: World) -> AsyncIterator[Check]:
    people = await world.register.people(world.settings.tenant)
    admins = sum(person.enabled and "admin" in person.roles for person in people)
    if admins == 0:
        said = "no administrator is enabled"
        yield Check(name="people", level="fail", said=said, help="restore a backup of the database")
    elif admins == 1:
        said = "one administrator: loosening waits for nobody"
        help = "add a second one with `bailiwick people add`"
        yield Check(name="people", level="warn", said=said, help=help)
    else:
        yield Check(name="people", level="ok", said=f"{admins} administrators")
