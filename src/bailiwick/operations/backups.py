"""Backups of a project: made while it works, restored into another folder, and drilled.

A backup is a folder: the database as of one moment, the project's files, and last of all
`manifest.json` with the digest of each. It is made under another name and renamed when it is whole
and on the disk, so that one that was broken off never looks whole. Keys are not in it, only their
fingerprints: who finds the folder can read no payload, and a restore can say which key is missing.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from bailiwick import identity
from bailiwick.config import Settings, load_settings
from bailiwick.errors import BailiwickError, ControlError, LedgerError
from bailiwick.operations.auditing import audit
from bailiwick.ports import World
from bailiwick.store.sqlite import Contents, contents, copy_database
from bailiwick.values import JSON, shown
from bailiwick.wiring import RELEASED, keys_folder, open_world

NOTE = "backups.json"
_FORMAT = 1
_MANIFEST = "manifest.json"
_DATABASE = "database.sqlite"
_SETTINGS = "bailiwick.yaml"
_PROJECT = "project"
_DAY_US = 86_400_000_000


class KeyPrint(Struct, frozen=True, kw_only=True):
    """A key by its file's name below the keys' folder, and a fingerprint that tells nothing."""

    file: str
    fingerprint: str


class BackupManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup says of itself; `files` are SHA-256 digests by path, `made_at_us` UTC."""

    format: int
    made_at_us: int
    tenant: str
    files: Mapping[str, str]
    contents: Contents
    keys: tuple[KeyPrint, ...]


def backup(settings: Settings, folder: Path) -> BackupManifest:
    """Make a backup in a folder that is not there yet. Raises `ControlError`, `StoreUnavailable`.

    The owner of the database works on. A broken-off one is left as `FOLDER.partial`.
    """
    made = _backed_up(settings, folder)
    _note(settings, "backup", made.made_at_us)
    return made


def _backed_up(settings: Settings, folder: Path) -> BackupManifest:
    if settings.is_shared:
        raise ControlError(
            "a PostgreSQL database is backed up by its own tools",
            code="backup_postgres",
            help="`pg_dump --format=custom --file=FILE DATABASE` copies it as of one moment, and"
            " `pg_basebackup` with an archived log loses nothing; back the keys up apart from it",
        )
    if folder.exists():
        raise ControlError(
            f"`{folder}` is there already",
            code="backup_exists",
            help="name a folder that is not there yet",
        )
    source = settings.path(settings.store)
    if not source.exists():
        raise ControlError(
            f"there is no database at `{source}`", code="store_missing", help="see `store`"
        )
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    now_us = time.time_ns() // 1000
    copy_database(source, partial / _DATABASE)
    for name in project_files(settings.path(".")):
        target = partial / _PROJECT / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(target, settings.path(name).read_bytes())
    files = {
        path.relative_to(partial).as_posix(): _digest(path)
        for path in sorted(partial.rglob("*"))
        if path.is_file()
    }
    manifest = BackupManifest(
        format=_FORMAT,
        made_at_us=now_us,
        tenant=settings.tenant,
        files=files,
        contents=contents(partial / _DATABASE, now_us),
        keys=tuple(key_prints(keys_folder(settings))),
    )
    _write(partial / _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
    for path in (*partial.rglob("*"), partial):
        if path.is_dir():
            _sync(path)
    partial.rename(folder)
    _sync(folder.parent)
    return manifest


def check_backup(folder: Path) -> BackupManifest:
    """Read a backup's manifest and compare every file with it.

    Raises `ControlError`: `backup_incomplete`, `backup_damaged`.
    """
    try:
        text = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise ControlError(
            f"`{folder}` is no whole backup: it has no {_MANIFEST}",
            code="backup_incomplete",
            help="name the folder of a backup that was finished",
        ) from error
    try:
        manifest = msgspec.json.decode(text, type=BackupManifest)
    except msgspec.MsgspecError as error:
        raise _damaged(folder, f"its {_MANIFEST} cannot be read") from error
    if manifest.format != _FORMAT:
        raise _damaged(folder, f"it has format {manifest.format}, this program reads {_FORMAT}")
    if not {_DATABASE, f"{_PROJECT}/{_SETTINGS}"} <= manifest.files.keys():
        raise _damaged(folder, "it names no database, or no settings")
    for name, digest in manifest.files.items():
        path = folder / name
        if not _is_plain(name):
            raise _damaged(folder, f"`{shown(name)}` is no path inside it")
        if path.is_symlink() or not path.is_file() or _digest(path) != digest:
            raise _damaged(folder, f"`{shown(name)}` is not what was backed up")
    return manifest


async def restore(folder: Path, project: Path, *, keys: Path | None = None) -> dict[str, JSON]:
    """Restore a backup into a project's folder, which may hold its keys and nothing else of it.

    The database comes last. Then the ledger is verified, if the keys are there. `keys` is another
    folder of keys to go by, for a drill. Raises `ControlError`.
    """
    manifest = check_backup(folder)
    names = [name.removeprefix(f"{_PROJECT}/") for name in manifest.files if name != _DATABASE]
    there = [name for name in names if (project / name).exists()]
    if there:
        raise ControlError(
            f"`{project}` has a `{there[0]}` already: nothing is overwritten",
            code="project_exists",
            help="name an empty folder, or one that holds only the keys",
        )
    partial = project / f"{_DATABASE}.partial"
    partial.unlink(missing_ok=True)
    for name in sorted(names, key=lambda each: each == _SETTINGS):
        target = project / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, (folder / _PROJECT / name).read_bytes())
    settings = load_settings(project)
    if keys is not None:
        settings = msgspec.structs.replace(settings, keys=str(keys))
    store = settings.path(settings.store)
    if store.exists():
        raise ControlError(
            f"there is a database at `{store}` already: nothing is overwritten",
            code="project_exists",
            help="move it away, or name another folder",
        )
    store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(folder / _DATABASE, partial)
    partial.chmod(0o600)
    _sync(partial)
    partial.replace(store)
    _sync(store.parent)
    return await _restored(settings, manifest)


async def _restored(settings: Settings, manifest: BackupManifest) -> dict[str, JSON]:
    """What a restored project is like: its ledger, its keys, and what may be forgotten."""
    here = {each.file: each.fingerprint for each in key_prints(keys_folder(settings))}
    missing = [each.file for each in manifest.keys if here.get(each.file) != each.fingerprint]
    age_us = max(0, time.time_ns() // 1000 - manifest.made_at_us)
    told: dict[str, JSON] = {
        "project": settings.project,
        "made_at_us": manifest.made_at_us,
        "age_seconds": age_us // 1_000_000,
        "contents": msgspec.to_builtins(manifest.contents),
        "missing_keys": list(missing),
        "intents_last_day": manifest.contents.intents_last_day,
        "perhaps_forgotten": -(-manifest.contents.intents_last_day * age_us // _DAY_US),
        "verified": None,
        "findings": [],
        "payload": None,
    }
    try:
        world = open_world(settings, alone=False)
    except BailiwickError as fault:
        return {**told, "findings": [{"what": "store", "reason": fault.message}]}
    try:
        found = await audit(world)
        told |= {"verified": found["verified"], "findings": found["findings"]}
        told["payload"] = await _opened(world)
    finally:
        await world.close()
    return told


async def _opened(world: World) -> JSON:
    """Whether the newest payload opens; null if there is none."""
    for action in await world.register.actions(world.settings.tenant, (), 100):
        try:
            if await world.vault.open(action.tenant, action.id, "proposal") is not None:
                return True
        except LedgerError:
            return False
    return None


async def drill(settings: Settings) -> dict[str, JSON]:
    """Back up, restore to a temporary place, verify, open a payload, compare; tidy up; say when.

    `passed` is false if anything of it was not as it should be.
    """
    with tempfile.TemporaryDirectory(prefix="bailiwick-drill-") as place:
        began = time.monotonic()
        manifest = _backed_up(settings, Path(place) / "backup")
        copied = time.monotonic()
        told = await restore(
            Path(place) / "backup",
            Path(place) / "project",
            keys=keys_folder(settings).resolve(),
        )
        ended = time.monotonic()
        restored = load_settings(Path(place) / "project")
        now = contents(restored.path(restored.store), manifest.made_at_us)
    same = now == manifest.contents
    passed = told["verified"] is True and told["payload"] is not False and same
    if passed:
        _note(settings, "drill", manifest.made_at_us)
    return {
        "passed": passed,
        "backup_ms": int((copied - began) * 1000),
        "restore_ms": int((ended - copied) * 1000),
        "contents": msgspec.to_builtins(manifest.contents),
        "same_contents": same,
        "verified": told["verified"],
        "findings": told["findings"],
        "payload": told["payload"],
    }


def last(settings: Settings) -> Mapping[str, int]:
    """When the newest backup and the newest drill that passed were made here, as far as is known.

    In microseconds, by `backup` and `drill`.
    """
    try:
        found = msgspec.json.decode((settings.data / NOTE).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}
    return found


def project_files(project: Path) -> list[str]:
    """The files that make a project, but for its keys and its data."""
    found = {_SETTINGS}
    for pattern in RELEASED:
        found.update(path.relative_to(project).as_posix() for path in project.glob(pattern))
    return sorted(found)


def key_prints(folder: Path) -> Iterator[KeyPrint]:
    """The keys of a folder by name, each with a fingerprint from which nothing can be guessed."""
    files = [each.path for each in identity.list_keys(folder)] if folder.is_dir() else []
    for path in sorted([*files, *(folder / "agents").glob("*.json")]):
        print = hashlib.sha256(b"bailiwick/key-fingerprint/v1\x00" + path.read_bytes())
        yield KeyPrint(file=path.relative_to(folder).as_posix(), fingerprint=print.hexdigest())


def _note(settings: Settings, what: str, at_us: int) -> None:
    kept = {**last(settings), what: at_us}
    file = settings.data / f"{NOTE}.partial"
    file.write_bytes(msgspec.json.encode(kept))
    file.replace(settings.data / NOTE)


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _damaged(folder: Path, why: str) -> ControlError:
    return ControlError(
        f"the backup `{folder}` is damaged: {why}",
        code="backup_damaged",
        help="use another backup; nothing was restored",
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file that only this user can read, durably."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
