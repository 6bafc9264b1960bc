"""`python -m campaigns.bfcl`: see the package. Prints one line of JSON, and exits 1 on a miss."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from campaigns.bfcl.campaign import run
from campaigns.bfcl.material import Material


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Carries BFCL's stateful tasks through the spine.")
    parser.add_argument("--tasks", type=int, default=200, help="how many, from the first on")
    given = parser.parse_args()
    try:
        material = Material()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(run(Path(folder) / "project", material, given.tasks))
    for finding in result.findings[:20]:
        print(finding, file=sys.stderr)
    print(f"{time.monotonic() - begun_s:.1f} s", file=sys.stderr)
    print(json.dumps(result.line))
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
