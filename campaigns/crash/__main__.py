"""`python -m campaigns.crash`: see the package. Prints one line of JSON, and exits 1 on a fault."""

import argparse
import json
import sys
import time
from pathlib import Path

from campaigns.crash.campaign import ALL_KINDS, run

# By store: how many kills, and the seconds after which no more are made. Two processes and a server
# are slower to kill than one with a file.
KILLS = {"sqlite": 2000, "postgres": 1000}
SECONDS = {"sqlite": 780.0, "postgres": 1500.0}
OUT = Path(__file__).resolve().parents[1] / "out"


def main() -> int:
    """Run a campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Kills processes that refund.")
    parser.add_argument("--kills", type=int, help=f"how many, at least (default: {KILLS})")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    parser.add_argument(
        "--seconds", type=float, help=f"kill for no longer than this (default: {SECONDS})"
    )
    parser.add_argument("--lanes", type=int, default=8, help="how many projects at a time")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--folder", type=Path, default=OUT / "crash", help="is emptied first")
    given = parser.parse_args()
    kills = given.kills or KILLS[given.store]
    seed = given.seed if given.seed is not None else time.time_ns() % 2**32
    print(f"seed {seed}, in {given.folder}", file=sys.stderr)
    result = run(
        given.folder.resolve(),
        kills=kills,
        seed=seed,
        seconds=given.seconds or SECONDS[given.store],
        lanes=given.lanes,
        shared=given.store == "postgres",
    )
    for finding in result.findings[:20]:
        print(f"{finding.number or 'fault'}: {finding.text}", file=sys.stderr)
    keyed = sum(result.kills[kind.name] for kind in ALL_KINDS if kind.key_settles)
    print(f"unresolved where the key settles: {result.share:.2%} of {keyed}", file=sys.stderr)
    print(json.dumps(result.line))
    return 0 if result.holds(kills) else 1


if __name__ == "__main__":
    sys.exit(main())
