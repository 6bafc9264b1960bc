"""One fdatasync after a small append: what every commit waits for, on the disk that is measured.

`python -m bench.probe SECONDS` prints the median in microseconds.
"""

import os
import statistics
import tempfile
import time

from bench.subject import OUT
from bench.timing import phase_seconds, tell

_BLOCK = bytes(4096)


def main() -> None:
    """Append and sync for the given time."""
    OUT.mkdir(exist_ok=True)
    found: list[float] = []
    with tempfile.TemporaryFile(dir=OUT) as file:
        until = time.perf_counter() + phase_seconds()
        while (began := time.perf_counter()) < until:
            os.write(file.fileno(), _BLOCK)
            os.fdatasync(file.fileno())
            found.append(time.perf_counter() - began)
    tell({"p50_us": statistics.median(found) * 1_000_000})


if __name__ == "__main__":
    main()
