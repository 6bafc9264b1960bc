"""What importing the package costs: `python -m bench.starting TIMES`.

The median of whole runs of a new interpreter, with and without the import; nothing is subtracted.
"""

import statistics
import subprocess
import sys
import time

from bench.timing import tell


def main() -> None:
    """Time both programs in turn; the first turn, which may write byte code, does not count."""
    found: dict[str, list[float]] = {"import bailiwick": [], "pass": []}
    for turn in range(int(sys.argv[1]) + 1):
        for program, times in found.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            if turn:
                times.append(time.perf_counter() - began)
    tell(
        {
            "s": statistics.median(found["import bailiwick"]),
            "bare_python.s": statistics.median(found["pass"]),
        }
    )


if __name__ == "__main__":
    main()
