"""Room that is kept for what must still be written when the disk is full: outcomes, and kills.

A file beside the database that holds nothing. New effects stop at the watermark, but other programs
may fill the disk to its end; then the file is given up, once, by a commit or by the owner who opens
the database, and made again when there is room.
"""

import os
from contextlib import suppress
from pathlib import Path

RESERVE_BYTES = 4 * 1024 * 1024
# Where there is little room, keeping some of it back would do more harm than good.
_LEAST_FREE = 4 * RESERVE_BYTES
# What opening the database makes: SQLite's index of the write-ahead log, the log, the bell.
_OPENING_BYTES = 1024 * 1024


class Reserve:
    """The file, which may not be there."""

    def __init__(self, database: Path) -> None:
        self._file = Path(f"{database}.reserve")

    def keep(self, free_bytes: int) -> None:
        """Make the file if it is not there and the disk has room for it."""
        if free_bytes < _LEAST_FREE or self._file.exists():
            return
        with suppress(OSError):
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, RESERVE_BYTES)
            except OSError:
                self.give_up()
                raise
            finally:
                os.close(handle)

    def make_room(self) -> None:
        """Let go of the room if there is not even enough to open the database."""
        room = os.statvfs(self._file.parent)
        if room.f_bavail * room.f_frsize < _OPENING_BYTES:
            self.give_up()

    def give_up(self) -> bool:
        """Let go of the room; False if there was none to let go of."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True
