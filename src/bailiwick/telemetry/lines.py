"""Lines written to a file or to standard error, whole or not at all as far as a reader can tell."""

import os
from pathlib import Path

STDERR = "stderr"


class Lines:
    """Where lines go. The file is opened for each batch: it may be moved away at any time."""

    def __init__(self, file: Path | None) -> None:
        """None: standard error."""
        self._file = file
        self._torn = False

    def write(self, lines: bytes) -> None:
        """Append lines, each with its end. Raises `OSError`."""
        lines = b"\n" * self._torn + lines
        if self._file is None:
            self._write_to(2, lines)
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(self._file, flags, 0o600)
        try:
            self._write_to(file, lines)
        finally:
            os.close(file)

    def _write_to(self, file: int, data: bytes) -> None:
        # When it fails halfway a line is torn: the next one must begin on a line of its own.
        while data:
            data = data[os.write(file, data) :]
            self._torn = bool(data)
