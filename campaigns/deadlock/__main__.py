"""`python -m campaigns.deadlock`: see the package. One line of JSON; exit code 1 on a fault."""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psycopg

from bailiwick.config import Settings
from bailiwick.store.postgres import open_doors
from bailiwick.testing.postgres import serving

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4
MOST_BUSY = 0.01
_LONGER_S = 120.0


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Takes from nested budgets in four processes.")
    parser.add_argument("--seconds", type=float, default=600.0, help="for how long")
    parser.add_argument("--seed", type=int, default=None, help="for the same choices again")
    parser.add_argument("--store", default=None, help="an empty database, instead of one's own")
    parser.add_argument(
        "--unordered", action="store_true", help="lock balances in no order: deadlocks are found"
    )
    given = parser.parse_args()
    how = ("unordered",) if given.unordered else ()
    seed = given.seed if given.seed is not None else time.time_ns() % 2**32
    print(f"seed {seed}", file=sys.stderr)
    if given.store is not None:
        return _campaign(given.store, given.seconds, seed, how)
    with serving() as server:
        return _campaign(server.url(server.create()), given.seconds, seed, how)


def _campaign(store: str, seconds: float, seed: int, how: Sequence[str]) -> int:
    open_doors(Settings(store=store))
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "campaigns.deadlock.taking"),
                *(store, str(seconds), str(seed + number), f"p{number}", *how),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    outputs = [process.communicate(timeout=seconds + _LONGER_S)[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("a process of the campaign failed")
    found = [json.loads(output) for output in outputs]
    told, spent = Counter[str](), Counter[str]()
    for each in found:
        told.update(each["told"])
        spent.update(each["spent"])
    with psycopg.connect(store) as connection:
        rows = connection.execute(
            "select node || ' ' || unit, sum(spent), sum(held) from budgets group by node, unit"
        ).fetchall()
        counted = connection.execute(
            "select deadlocks from pg_stat_database where datname = current_database()"
        ).fetchone()
    line = {
        "commits": told["commits"],
        "blocked": told["blocked"],
        "deadlocks": int(counted[0]) if counted else -1,
        "busy": told["fault store_busy"],
        "faults": told.total() - told["commits"] - told["blocked"] - told["fault store_busy"],
        "budgets_off": sum(spent[name] != used or held != 0 for name, used, held in rows),
    }
    faults = {name: count for name, count in told.items() if name.startswith("fault")}
    print(f"{len(rows)} balances; {faults or 'no faults'}", file=sys.stderr)
    print(json.dumps(line))
    worked = all(each["told"].get("commits") for each in found)
    rarely_busy = line["busy"] <= line["commits"] * MOST_BUSY
    sound = not (line["deadlocks"] or line["faults"] or line["budgets_off"])
    holds = worked and rarely_busy and sound
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
