"""The bell: a control change is heard by every process at once, without reading the database.

Eight bytes in a file beside it, mapped into memory. Whoever commits a control change rings before
the commit returns: the bytes become other random ones. Who sees the bytes he last saw knows that
no control change has returned since, which is all that a fence has to know; who sees others reads
the epoch, and so does everybody after a tenth of a second, in case the one who should have rung
died first. The bell is a hint for reading only: every commit compares the epoch itself.

Whoever stands beside the owner where nothing can be written does without: the bell sounds new to
him each time.
"""

import mmap
import os
from pathlib import Path

_BYTES = 8


class Bell:
    """The mapped bytes. `alone` insists on them; raises `OSError`."""

    def __init__(self, file: Path, *, alone: bool) -> None:
        self._map: mmap.mmap | None = None
        try:
            handle = os.open(f"{file}.bell", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # Written, since a file that is only made longer has no room on the disk: on a full
                # one the first ring would end the process. Whoever hears it reads the epoch once.
                os.pwrite(handle, os.urandom(_BYTES), 0)
                self._map = mmap.mmap(handle, _BYTES)
            finally:
                os.close(handle)
        except OSError:
            if alone:
                raise

    def heard(self) -> bytes:
        """The bytes as they are now. Bytes torn by a ring in progress differ as well."""
        return os.urandom(_BYTES) if self._map is None else self._map[:]

    def ring(self) -> None:
        """Make every process read the epoch again."""
        if self._map is not None:
            self._map[:] = os.urandom(_BYTES)

    def close(self) -> None:
        """Unmap the file."""
        if self._map is not None:
            self._map.close()
