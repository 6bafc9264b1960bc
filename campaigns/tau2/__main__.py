"""`python -m campaigns.tau2`: see the package. Prints one line of JSON, and exits 1 on a miss."""

import argparse
import sys

from campaigns.ending import carried_out
from campaigns.tau2.campaign import run
from campaigns.tau2.shop import Material


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Keeps a shop's written policy by rules.")
    parser.add_argument("--tasks", type=int, default=114, help="how many, from the first on")
    parser.add_argument("--each", type=int, default=10, help="counter-examples of each kind")
    given = parser.parse_args()
    return carried_out(
        Material, lambda folder, material: run(folder, material, given.tasks, given.each)
    )


if __name__ == "__main__":
    sys.exit(main())
