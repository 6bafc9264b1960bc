"""`python -m campaigns.away`: see the package. Prints one line of JSON, and exits 1 on a fault."""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bailiwick.testing.postgres import PostgresServer, serving
from campaigns.away.calling import SOUND, Attempt, call_of
from campaigns.crash.books import check_budgets, compare, look_inside, read_books
from campaigns.crash.client import found_lane
from campaigns.crash.lanes import Lane, empty
from campaigns.crash.project import project_files
from campaigns.crash.providers import Effect, Provider, running

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "campaigns" / "out"
PROCESSES = 2
ALLOWED = frozenset({"store_unreachable", "commit_unknown"})
# Refused at once, that is, on a machine with other work to do; work goes on within a few looks. A
# COMMIT that was not answered is asked for as long as 20 s before its caller is told.
LONGEST_S, LONGEST_UNDER_WAY_S, GOES_ON_S = 2.0, 25.0, 10.0
# Who says nothing is given 20 s to answer, and then 10 for each of three connections.
FROZEN_S = 50.0
_ENDS_WITHIN_S = 120.0


class Times(NamedTuple):
    """When the server went and came back, in Unix time."""

    gone_s: float
    back_s: float


def main() -> int:
    """Run the campaign and give the exit code."""
    parser = argparse.ArgumentParser(description="Has two processes refund while a server is away.")
    parser.add_argument("--gone", type=float, default=60.0, help="seconds that it is away")
    parser.add_argument(
        "--beside", type=float, default=5.0, help="seconds of load before, and after"
    )
    parser.add_argument("--callers", type=int, default=8, help="of each process")
    parser.add_argument("--folder", type=Path, default=OUT / "away", help="is emptied first")
    parser.add_argument(
        "--frozen", action="store_true", help="it stands still and says nothing, instead of leaving"
    )
    given = parser.parse_args()
    folder = given.folder.resolve()
    empty(folder)
    with serving() as server, running([SOUND], folder / "providers") as providers:
        provider = providers[SOUND.name]
        lane = Lane(0, folder / "lane")
        lane.folder.mkdir()
        files = dict(project_files([(SOUND, provider.port)]))
        files["bailiwick.yaml"] += f"store: {server.url(server.create())}\n"
        asyncio.run(found_lane(lane.folder, files))
        with calling(lane, provider, given.callers) as processes:
            times = leave(server, given)
            attempts = [told(process) for process in processes]
        return judge(lane, provider, attempts, times, extra_s=FROZEN_S if given.frozen else 0.0)


@contextmanager
def calling(lane: Lane, provider: Provider, callers: int) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes, once all are open; in the end none is left."""
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "campaigns.away.calling", str(lane.folder)),
                *(f"p{number}", str(callers), str(provider.port)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "open\n":
                raise SystemExit("a process of the campaign did not open")
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def leave(server: PostgresServer, given: argparse.Namespace) -> Times:
    """Under load, have the server gone for a while; give the load as long again afterwards."""
    time.sleep(given.beside)
    (server.freeze if given.frozen else server.stop)()
    gone_at_s = time.time()
    say("the server is gone")
    time.sleep(given.gone)
    back_at_s = time.time()  # what it needs to recover is part of the return
    (server.thaw if given.frozen else server.start)()
    say("the server is back")
    time.sleep(given.beside)
    return Times(gone_at_s, back_at_s)


def told(process: subprocess.Popen[str]) -> list[Attempt]:
    """Have a process end its calls, and hear what they came to."""
    output, _ = process.communicate(timeout=_ENDS_WITHIN_S)
    if process.returncode != 0:
        raise SystemExit("a process of the campaign failed")
    return [Attempt(*each) for each in json.loads(output)]


def judge(
    lane: Lane,
    provider: Provider,
    attempts: Sequence[Sequence[Attempt]],
    times: Times,
    *,
    extra_s: float,
) -> int:
    """Compare the books, print the line, and give the exit code."""
    every = [attempt for each in attempts for attempt in each]
    lane.calls |= {attempt.key: call_of(attempt.key) for attempt in every}
    lane.read_log()
    effects: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in provider.effects():
        effects[effect.charge].append(effect)
    books = read_books(lane, {SOUND.name: SOUND})
    look_inside(books, lane.folder)
    counts = compare(books, effects)
    check_budgets(books)
    refused = Counter(each.code for each in every if each.status == "unavailable")
    line: dict[str, Any] = {
        "calls": len(lane.calls),
        "done": sum(answers[-1].status == "done" for answers in lane.answers.values()),
        "refused": dict(sorted(refused.items())),
        **timed(attempts, times),
        "lost": counts.lost_acknowledgements + counts.unrecorded_effects + counts.false_found,
        "doubled": counts.duplicate_effects,
        "faults": len(books.findings) + counts.unresolved,
    }
    for finding in books.findings[:20]:
        say(f"{finding.number or 'fault'}: {finding.text}")
    print(json.dumps(line))
    in_time = (
        line["longest_s"] <= LONGEST_S + extra_s
        and line["longest_under_way_s"] <= LONGEST_UNDER_WAY_S + extra_s
        and line["goes_on_s"] <= GOES_ON_S
    )
    told = refused.keys() and refused.keys() <= ALLOWED
    return 0 if told and in_time and not line["faults"] else 1


def timed(attempts: Sequence[Sequence[Attempt]], times: Times) -> dict[str, float]:
    """How long calls took around the time when the server was away, and until all went on."""
    every = [attempt for each in attempts for attempt in each]
    ended = {attempt.key: attempt.began_s + attempt.took_s for attempt in every}  # the last of each
    began = {attempt.key: attempt.began_s for attempt in reversed(every)}
    meanwhile = [each.took_s for each in every if times.gone_s < each.began_s < times.back_s]
    under_way = [
        each.took_s for each in every if each.began_s <= times.gone_s < each.began_s + each.took_s
    ]
    done = [[e.began_s + e.took_s for e in each if e.status == "done"] for each in attempts]
    goes_on = [min(at_s for at_s in each if at_s > times.back_s) for each in done]
    before = [ended[key] for key, at_s in began.items() if at_s < times.back_s]
    return {
        "longest_s": round(max(meanwhile, default=0.0), 2),
        "longest_under_way_s": round(max(under_way, default=0.0), 2),
        "goes_on_s": round(max(goes_on) - times.back_s, 2),
        "settled_s": round(max(before) - times.back_s, 2),
    }


def say(text: str) -> None:
    """Tell people, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
