"""`python -m campaigns.tau2`: see the package. Prints one line of JSON, and exits 1 on a miss."""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

from campaigns.tau2.campaign import run
from campaigns.tau2.shop import Material


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Keeps a shop's written policy by rules.")
    parser.add_argument("--tasks", type=int, default=114, help="how many, from the first on")
    parser.add_argument("--each", type=int, default=10, help="counter-examples of each kind")
    given = parser.parse_args()
    try:
        material = Material()
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(run(Path(folder) / "project", material, given.tasks, given.each))
    for finding in result.findings[:20]:
        print(finding, file=sys.stderr)
    print(f"{time.monotonic() - begun_s:.1f} s", file=sys.stderr)
    print(json.dumps(result.line))
    return 0 if result.holds else 1


if __name__ == "__main__":
    sys.exit(main())
