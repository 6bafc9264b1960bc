"""`python -m campaigns.bfcl`: see the package. Prints one line of JSON, and exits 1 on a miss."""

import argparse
import sys

from campaigns.bfcl.campaign import run
from campaigns.bfcl.material import Material
from campaigns.ending import carried_out


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Carries BFCL's stateful tasks through the spine.")
    parser.add_argument("--tasks", type=int, default=200, help="how many, from the first on")
    given = parser.parse_args()
    return carried_out(Material, lambda folder, material: run(folder, material, given.tasks))


if __name__ == "__main__":
    sys.exit(main())
