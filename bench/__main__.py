"""`python -m bench`: measures everything, each subject in a process of its own.

The writes are measured in rounds (bare, ours, ours with telemetry, each peer), so that figures that
are compared are of the same minute; a line holds the median over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.lines import (
    DECIDE,
    DECIDE_BARE,
    FULL_RATIO,
    GATEWAY,
    GATEWAY_PEERS,
    P50,
    PG_BARE_P50,
    PG_BARE_RATE,
    PG_FULL_RATIO,
    PG_P50,
    PG_RATE,
    RATE,
    TELEMETRY,
    Line,
    gateway_lines,
    line,
    shared_lines,
    table,
    write_lines,
)

ROOT = Path(__file__).resolve().parents[1]
# A subject of a peer: its module, its name, and the environment that `make bench` prepares.
PEERS = {
    "peer_ctrlrun": ("ctrlrun", ".venv-bench-ctrlrun"),
    "peer_agt": ("agent-governance-toolkit", ".venv-bench-agt"),
}
TIMEOUT_S = 1800
# Of the spans that were made, so many must have arrived: what was dropped costs nothing.
ARRIVED = 0.95

MEANING = """\
Standard output has one JSON object a line, {"name", "value", "unit", "peer", "ratio"}; everything
else goes to standard error. `peer` names whose figure it is, and is null for ours. `ratio` is, for
our writes (act.*), the value divided by the bare pipeline's of the same run and store, for our
decision by the engine's alone, and for the gateway by what asking the server directly gives; for a
peer's line, the peer's value divided by ours; null where neither means anything. A `full_ratio` is
one caller's median with a million past actions, divided by that without any. Lower is better for
times, memory and full_ratio, higher for rates. The exit code is 0 if everything could be measured,
whatever was found.
"""


class Scale(NamedTuple):
    """How long and how much is measured."""

    rounds: int
    seconds: float
    records: int
    actions: int
    past: int
    imports: int


FULL = Scale(3, seconds=1.5, records=100_000, actions=100_000, past=1_000_000, imports=7)
QUICK = Scale(1, seconds=0.15, records=4_000, actions=2_000, past=1_000, imports=1)


class Part(NamedTuple):
    """Something to measure, and the names of the lines that it gives."""

    names: tuple[str, ...]
    measure: Callable[[Scale], Iterator[Line]]


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=MEANING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, help=f"of the writes (default: {FULL.rounds})")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="everything once, with few records and actions: shows that it runs, not how fast",
    )
    parser.add_argument("--only", default="", metavar="NAME", help="lines whose name begins so")
    given = parser.parse_args()
    scale = QUICK if given.quick else FULL
    scale = scale._replace(rounds=given.rounds or scale.rounds)
    parts = [p for p in PARTS if any(name.startswith(given.only) for name in p.names)]
    if not parts:
        names = ", ".join(name for part in PARTS for name in part.names)
        parser.error(f"no line begins with `{given.only}`; there are {names}")
    began = time.perf_counter()
    lines: list[Line] = []
    for part in parts:
        for each in part.measure(scale):
            lines.append(each)
            if each.name.startswith(given.only):
                print(each.json(), flush=True)
    say(f"\nafter {time.perf_counter() - began:.0f} s")
    for row in table(lines):
        say(row)
    if given.quick:
        say("a quick run: these figures say little")
    return 0


# --- the parts -----------------------------------------------------------------------------------


def probe(scale: Scale) -> Iterator[Line]:
    """What every commit waits for."""
    yield line("probe.fdatasync.p50_us", ours("bench.probe", scale.seconds)["p50_us"], "us")


def writes(scale: Scale) -> Iterator[Line]:
    """The bare pipeline, ours without and with telemetry, and the peers, in rounds."""
    peers = {subject: name for subject, (name, folder) in PEERS.items() if _python(folder).exists()}
    for name in {name for name, _ in PEERS.values()} - set(peers.values()):
        say(f"{name} is left out: `make bench` prepares its environment")
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(1, scale.rounds + 1):
        for subject in ("bare", "act", "telemetry", *peers):
            took = write(subject, scale.seconds)
            found.setdefault(subject, []).append(took)
            say_round(number, scale, subject, took)
    yield from write_lines({subject: medians(all) for subject, all in found.items()}, peers)


def medians(all: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Each figure's median over the rounds."""
    return {key: statistics.median(took[key] for took in all) for key in all[0]}


def say_round(number: int, scale: Scale, subject: str, took: Mapping[str, float]) -> None:
    """Tell people what a round found."""
    say(
        f"round {number} of {scale.rounds}: {subject:12} "
        f"{took['c1.p50_ms']:7.3f} ms {took['c64.per_s']:8.0f} 1/s"
    )


def write(subject: str, seconds: float) -> dict[str, float]:
    """Measure one subject of the writes once."""
    if subject in PEERS:
        return peer(subject, seconds)
    if subject != "telemetry":
        return ours("bench.subject", seconds, subject)
    with subprocess.Popen(
        [sys.executable, "-m", "bench.receiver"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as receiver:
        assert receiver.stdout is not None
        url = receiver.stdout.readline().strip()
        found = ours("bench.subject", seconds, "act", url)
        told, _ = receiver.communicate(timeout=TIMEOUT_S)
    arrived = json.loads(told)["spans"]
    if not ARRIVED * found["calls"] <= arrived <= found["calls"]:
        raise SystemExit(f"of {found['calls']} actions {arrived} spans arrived")
    return found


def shared(scale: Scale) -> Iterator[Line]:
    """The bare pipeline and ours on a PostgreSQL server, in rounds."""
    found: dict[str, list[dict[str, float]]] = {"pg-bare": [], "pg": []}
    for number in range(1, scale.rounds + 1):
        for subject, all in found.items():
            all.append(took := write(subject, scale.seconds))
            say_round(number, scale, subject, took)
    yield from shared_lines(*map(medians, found.values()))


def history(scale: Scale) -> Iterator[Line]:
    """One caller's writes after many past actions, on both stores."""
    for name, store in ((FULL_RATIO, "sqlite"), (PG_FULL_RATIO, "postgres")):
        say(f"a past of {scale.past} actions, on {store}")
        found = ours("bench.history", 2 * scale.seconds, scale.past, store)
        say(
            f"made in {found['made_s']:.0f} s, {found['gb']:.3g} GB; new and full:"
            f" median {found['new_ms']:.3g} and {found['full_ms']:.3g} ms,"
            f" one in a hundred above {found['new_p99_ms']:.3g} and {found['full_p99_ms']:.3g} ms"
        )
        yield line(name, found["ratio"], "x")


def decide(scale: Scale) -> Iterator[Line]:
    """One decision among a thousand rules, beside the engine alone on those of open scope."""
    say("decisions")
    found = ours("bench.decide", scale.seconds)
    yield line(DECIDE_BARE, found["engine_us"], "us")
    yield line(DECIDE, found["us"], "us", beside=found["engine_us"])


def backtest(scale: Scale) -> Iterator[Line]:
    """A release tried on recorded decisions."""
    say(f"a back-test over {scale.actions} actions")
    yield line("policy.backtest.100k.s", ours("bench.backtest", scale.actions)["s"], "s")


def verify(scale: Scale) -> Iterator[Line]:
    """The verifier on the ledger's export."""
    say(f"the verifier on {scale.records} records")
    yield line("ledger.verify.100k.s", ours("bench.verify", scale.records)["s"], "s")


def importing(scale: Scale) -> Iterator[Line]:
    """What importing the package costs."""
    say("the import")
    found = ours("bench.starting", scale.imports)
    yield line("import.s", found["s"], "s")
    yield line("import.bare_python.s", found["bare_python.s"], "s")


def memory(scale: Scale) -> Iterator[Line]:
    """The resident memory after many actions."""
    say(f"the memory after {scale.actions} actions")
    found = ours("bench.subject", 0, "memory", scale.actions)
    say(f"{found['anonymous']:.0f} MiB anonymous, {found['mapped']:.0f} MiB of mapped files")
    yield line("memory.100k.mb", found["resident"], "MiB")


def gateway(scale: Scale) -> Iterator[Line]:
    """What `bailiwick up` adds to an MCP call, and what it takes to run."""
    for name, peer in GATEWAY_PEERS.items():
        if not _python(f".venv-bench-{name}").exists():
            say(f"{peer} is left out: `make bench` prepares its environment")
    say("the gateway, with twenty upstreams")
    yield from gateway_lines(ours("bench.gateway", scale.seconds))


PARTS = (
    Part(("probe.fdatasync.p50_us",), probe),
    Part(
        ("bare.c1.p50_ms", "bare.c64.per_s", P50, RATE, P50 + TELEMETRY, RATE + TELEMETRY), writes
    ),
    Part((PG_BARE_P50, PG_BARE_RATE, PG_P50, PG_RATE), shared),
    Part((FULL_RATIO, PG_FULL_RATIO), history),
    Part((DECIDE_BARE, DECIDE), decide),
    Part(("policy.backtest.100k.s",), backtest),
    Part(("ledger.verify.100k.s",), verify),
    Part(("import.s", "import.bare_python.s"), importing),
    Part(("memory.100k.mb",), memory),
    Part(GATEWAY, gateway),
)


# --- processes -----------------------------------------------------------------------------------


def ours(module: str, *arguments: object) -> dict[str, float]:
    """Run a module of this package by this interpreter; give what it found."""
    return _found([sys.executable, "-m", module, *map(str, arguments)], dict(os.environ))


def peer(subject: str, seconds: float) -> dict[str, float]:
    """Run a module of this package by a peer's interpreter, which knows nothing of ours."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    program = [str(_python(PEERS[subject][1])), "-m", f"bench.{subject}", str(seconds)]
    return _found(program, environment)


def _python(folder: str) -> Path:
    return ROOT / folder / "bin" / "python"


def _found(program: Sequence[str], environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(program)} failed:\n{done.stderr[-4000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def say(text: str) -> None:
    """Tell people, on standard error."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
