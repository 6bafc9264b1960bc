"""Settings become a World: every door is opened and bound here, and nowhere else.

What is not always needed is opened through one table of names, so that no import hides in a
function and `import bailiwick` stays light.
"""

import asyncio
import os
import secrets
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

from bailiwick import catalog, execution, identity, ledger, telemetry
from bailiwick.config import Settings
from bailiwick.errors import ConfigError, ControlError
from bailiwick.nouns import McpBinding, Release
from bailiwick.ports import Bundle, Egress, Expression, Policies, Register, Telemetry, World
from bailiwick.store import Doors
from bailiwick.values import digest

# What `import bailiwick` leaves out until a project needs it. The colon ends the module's name, so
# that a module that cannot be imported says why.
ON_DEMAND: Mapping[str, str] = {
    "egress": "bailiwick.execution.egress:EgressDoor",
    "mcp": "bailiwick.execution.mcp:",
    "operations": "bailiwick.operations:",
    "cel": "bailiwick.verification.expressions:compile_cel",
    "notify": "bailiwick.execution.notifying:notify",
    "migrate": "bailiwick.store.migrating:migrate",
    "migrate_postgres": "bailiwick.store.postgres.migrating:migrate",
    "policies": "bailiwick.policy:compile_policies",
    "postgres": "bailiwick.store.postgres:open_doors",
    "pipes": "bailiwick.gateway.piping:speak",
    "server": "bailiwick.server:serve",
    "sqlite": "bailiwick.store.sqlite:",
    "events": "bailiwick.telemetry.events:EventLog",
    "inspect": "bailiwick.store.postgres.inspecting:inspect",
    "otlp": "bailiwick.telemetry.otlp:OtlpTelemetry",
}

# The extra that has what a name needs, where it is not called like it.
_EXTRAS = {"pipes": "server", "migrate_postgres": "postgres", "inspect": "postgres"}

# What of a project's folder shapes decisions, and is therefore part of a release.
RELEASED = (
    "agents/*.yaml",
    "tools/*.yaml",
    "tools/*.py",
    "policies/*.cedar",
    "policies/tests/*.yaml",
    "policies/assertions.yaml",
    "limits.yaml",
)

_COMPILED_RELEASES = 8


def on_demand(name: str) -> Any:
    """Import what a name of the table stands for. Raises `ConfigError` if it is not installed."""
    try:
        return resolve_name(ON_DEMAND[name])
    except ImportError as error:
        raise ConfigError(
            f"`{name}` needs a package that is not installed: {error}",
            code="extra_missing",
            help=f"install `bailiwick[{_EXTRAS.get(name, name)}]`",
        ) from error


def keys_folder(settings: Settings) -> Path:
    """Where the keys are: outside the data folder, so that no backup of it takes them along."""
    return settings.path(settings.keys)


def agent_key_file(settings: Settings, agent: str) -> Path:
    """Where the private key of one of the project's own agents is."""
    return keys_folder(settings) / "agents" / f"{agent}.json"


def open_world(
    settings: Settings,
    *,
    alone: bool = True,
    egress: Egress | None = None,
    told: Telemetry | None = None,
    also: Telemetry | None = None,
    now_us: Callable[[], int] | None = None,
) -> World:
    """Open every door. `alone` takes the owner's lock of an SQLite file and migrates it if need be.

    A PostgreSQL database has no owner, and is given the tables that it lacks. `also` is told what
    the settings' telemetry is. `now_us` replaces the clocks, for tests.

    Raises `StoreFenced`, `StoreUnavailable`, `IdentityError` or `ConfigError`, and then nothing is
    left open.
    """
    if alone and not settings.is_shared:
        file, sqlite = settings.path(settings.store), on_demand("sqlite")
        if sqlite.schema_version(file) != sqlite.SCHEMA_VERSION:
            on_demand("migrate")(file)
    keys = identity.load_keyring(keys_folder(settings), settings.log_origin)
    # Before the store: it may be refused, and holds nothing open until it is told something.
    told = told or _telemetry(settings, alone=alone, also=also)
    doors = _doors(settings, now_us, alone=alone)
    folder = settings.path(".")
    door: Egress = egress or on_demand("egress")(
        upstreams=lambda: on_demand("mcp").Upstreams(folder)
    )

    async def close() -> None:
        await door.close()
        await asyncio.to_thread(told.close)
        await doors.close()

    return World(
        settings=settings,
        store=doors.store,
        shelf=doors.shelf,
        register=doors.register,
        mandates=doors.mandates,
        archive=doors.archive,
        outbox=doors.outbox,
        ledger=doors.ledger,
        due=doors.due,
        keeping=doors.keeping,
        keys=keys,
        tokens=identity.VerifiedTokens(os.urandom),
        vault=ledger.RunVault(keys, doors.shelf, os.urandom),
        broker=execution.CredentialBroker(settings),
        egress=door,
        telemetry=told,
        bundle=Bundles(doors.register).bundle,
        now_us=now_us or _wall_us,
        monotonic_us=lambda: time.monotonic_ns() // 1000,
        random=os.urandom,
        owner=secrets.token_hex(8),
        close=close,
        witness=_witness(settings, door),
    )


def _telemetry(settings: Settings, *, alone: bool, also: Telemetry | None) -> Telemetry:
    """Who is told. A command beside the owner changes control, but carries out no action."""
    doors: list[Telemetry] = [] if also is None else [also]
    if settings.telemetry.events is not None:
        doors.append(on_demand("events")(settings))
    if settings.telemetry_endpoint is not None and alone:
        doors.append(on_demand("otlp")(settings))
    return telemetry.Several(doors) if doors else telemetry.Silent()


def _witness(settings: Settings, door: Egress) -> ledger.WitnessDoor | None:
    if settings.witness is None:
        return None
    return ledger.WitnessDoor(settings.witness, door, lambda: time.monotonic_ns() // 1000)


def _wall_us() -> int:
    return time.time_ns() // 1000


def _doors(settings: Settings, now_us: Callable[[], int] | None, *, alone: bool) -> Doors:
    """The store's doors, on the kind of database that the settings name."""
    if settings.is_shared:
        shared: Doors = on_demand("postgres")(settings, now_us, alone=alone)
        return shared
    own: Doors = on_demand("sqlite").open_doors(settings, now_us or _wall_us, alone=alone)
    return own


class Bundles:
    """The releases of a store, compiled when first judged by; a bounded number is kept."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._compiled: OrderedDict[tuple[str, str], Bundle] = OrderedDict()

    async def bundle(self, tenant: str, wanted: str | None) -> Bundle:
        """The compiled release. Raises `ControlError` when there is none, or it is not there."""
        if wanted is None:
            raise ControlError(
                f"tenant `{tenant}` has no active release",
                code="no_release",
                help="run `bailiwick release activate`",
            )
        found = self._compiled.get((tenant, wanted))
        if found is None:
            for release in await self._register.releases(tenant):
                if release.digest == wanted:
                    found = self._compiled[tenant, wanted] = compile_bundle(release)
                    break
            else:
                raise ControlError(f"release `{wanted}` is not in the store", code="no_release")
            if len(self._compiled) > _COMPILED_RELEASES:
                self._compiled.popitem(last=False)
        return found


def read_release(project: Path, *, created_at_us: int, created_by: str, note: str = "") -> Release:
    """Gather a project's files into a release. It takes effect only when it is activated.

    Raises `ConfigError` for a file that cannot be read as UTF-8 text.
    """
    files: dict[str, str] = {}
    for pattern in RELEASED:
        for path in sorted(project.glob(pattern)):
            try:
                files[path.relative_to(project).as_posix()] = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"`{path}` cannot be read: {error}", code="file_unreadable"
                ) from error
    return Release(
        digest=digest(files),
        files=files,
        created_at_us=created_at_us,
        created_by=created_by,
        note=note,
    )


def compile_bundle(release: Release) -> Bundle:
    """Compile a release: catalogue, manifests, limits and policies, checked against each other.

    Raises `CatalogError`, `PolicyError` or `ConfigError` with every finding, and `ControlError`
    for files that are not those of the digest: a database is not trusted to keep them.
    """
    files = release.files
    if digest(files) != release.digest:
        raise ControlError(
            f"the files of release `{release.digest}` were changed in the database",
            code="release_damaged",
            help="stop, keep a copy of the database, and restore the newest backup",
        )
    modules = {path: _module(path, text) for path, text in files.items() if path.endswith(".py")}
    catalogue = catalog.load_catalogue(files, modules, compile_expression)
    if any(isinstance(tool.binding, McpBinding) for tool in catalogue.tools.values()):
        # It takes most of a second to load, and a call has a deadline.
        on_demand("mcp")
    manifests = catalog.load_manifests(files, catalogue)
    caps, rates = catalog.load_limits(files, catalogue, manifests)
    policies: Policies = on_demand("policies")(catalogue.tools, manifests, files)
    return Bundle(
        release=release,
        catalogue=catalogue,
        policies=policies,
        manifests=manifests,
        caps=caps,
        rates=rates,
        queues=catalog.load_queues(files),
    )


def compile_expression(text: str) -> Expression:
    """Compile an expression: paths and what joins them in place, anything else as CEL."""

    def as_cel() -> Expression:
        compiled: Expression = on_demand("cel")(text)
        return compiled

    return catalog.compile_path(text) or catalog.compile_plain(text, as_cel) or as_cel()


def _module(path: str, text: str) -> ModuleType:
    """Run the released text of a file of Python tools as a module, whatever the disk says now."""
    name = f"bailiwick_released_{digest([path, text])[:16]}"
    found = sys.modules.get(name)
    if found is not None:
        return found
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    try:
        exec(compile(text, path, "exec"), module.__dict__)  # noqa: S102 - it is the user's own code
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(
            f"`{path}` cannot be loaded: {type(error).__name__}: {error}",
            code="tool_file_failed",
            help="run the file with Python to see the whole error",
        ) from error
    return module
