"""Files that hold secrets: written whole or not at all, read only while nobody else can.

POSIX modes are the guard: 0600 for a file, 0700 for a folder, owned by whoever runs the process.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import NoReturn

from bailiwick.errors import IdentityError

MAX_BYTES = 64 * 1024


def write_private(path: Path, content: bytes) -> None:
    """Write a secret to a file of mode 0600, replacing what was there; durable on return.

    Folders that are missing are made with mode 0700. A crash leaves the old file or the new one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_folder(path.parent)


def read_private(path: Path, what: str) -> bytes:
    """Read a secret. `what` (`key`, `session`) begins the code and names it in the message.

    Raises `IdentityError`: `<what>_missing`, `<what>_unreadable` (not a plain file, too long) or
    `<what>_exposed` (another user can read or replace it).
    """
    # The file that is looked at is the file that is read: no link is followed, no pipe waited for.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        _refuse(path, what, "missing", "does not exist", "create it, or restore it from its backup")
    except OSError as error:
        reason = f"cannot be opened: {error.strerror}"
        _refuse(path, what, "unreadable", reason, "make it a plain file of this user, mode 0600")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            _refuse(path, what, "unreadable", "is not a plain, short file", "restore the file")
        check_private(path, status, what, 0o600)
        return os.read(descriptor, MAX_BYTES)
    finally:
        os.close(descriptor)


def check_private(path: Path, status: os.stat_result, what: str, mode: int) -> None:
    """Check that only this user can read or replace a path. Raises `IdentityError`."""
    if status.st_uid != os.geteuid():
        reason = "belongs to another user"
        _refuse(path, what, "exposed", reason, "run as its owner, or give the file to this user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        help = f"run `chmod {mode:o} {path}`, and replace the secret if others could have read it"
        _refuse(path, what, "exposed", "is open to the group or to everyone", help)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse(path: Path, what: str, code: str, reason: str, help: str) -> NoReturn:
    raise IdentityError(
        f"the {what} at `{path}` {reason}", code=f"{what}_{code}", help=help
    ) from None
