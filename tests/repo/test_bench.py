"""`make bench` prints one figure a line, under the names that the bars are written for."""

import json
import subprocess
import sys

import pytest

from tests.repo.sources import ROOT

MEMBERS = ["name", "value", "unit", "peer", "ratio"]
OURS = {
    "bare.c1.p50_ms",
    "bare.c64.per_s",
    "act.write.c1.p50_ms",
    "act.write.c64.per_s",
    "act.write.c1.p50_ms.telemetry",
    "act.write.c64.per_s.telemetry",
    "bare.decide.100.us",
    "policy.decide.1000.us",
    "policy.backtest.100k.s",
    "ledger.verify.100k.s",
    "import.s",
    "memory.100k.mb",
    "gateway.read.added.p50_ms",
    "gateway.write.added.p50_ms",
    "gateway.c16.per_s",
    "gateway.start.s",
    "gateway.memory.mb",
}
FURTHER = {
    "bare.pg.c1.p50_ms",
    "bare.pg.c64.per_s",
    "act.write.pg.c1.p50_ms",
    "act.write.pg.c64.per_s",
    "act.write.c1.full_ratio",
    "act.write.pg.c1.full_ratio",
    "probe.fdatasync.p50_us",
    "import.bare_python.s",
    "gateway.read.direct.p50_ms",
    "gateway.write.direct.p50_ms",
    "gateway.direct.c16.per_s",
}
PEERS = {"ctrlrun", "agent-governance-toolkit", "FastMCP's proxy", "ContextForge"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark as `make bench` does."""
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )


def test_a_quick_run_prints_every_figure_and_nothing_else() -> None:
    run = bench("--quick")
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert all(list(line) == MEMBERS for line in lines)
    assert all(line["value"] > 0 for line in lines)
    ours = {line["name"]: line for line in lines if line["peer"] is None}
    assert ours.keys() == OURS | FURTHER
    theirs = [line for line in lines if line["peer"] is not None]
    assert len(ours) + len(theirs) == len(lines)
    assert {line["peer"] for line in theirs} <= PEERS
    for line in lines:
        name = line["name"]
        if line["peer"] is not None:
            assert line["ratio"] == pytest.approx(line["value"] / ours[name]["value"], rel=0.01)
        elif name.startswith("act.write.") and not name.endswith("full_ratio"):
            bare = name.replace("act.write", "bare").removesuffix(".telemetry")
            assert line["ratio"] == pytest.approx(line["value"] / ours[bare]["value"], rel=0.01)
        elif name == "policy.decide.1000.us":
            engine = ours["bare.decide.100.us"]["value"]
            assert line["ratio"] == pytest.approx(line["value"] / engine, rel=0.01)
        elif name.startswith("gateway.") and line["ratio"] is not None:
            direct = name.replace("added", "direct").replace("gateway.c16", "gateway.direct.c16")
            assert line["ratio"] == pytest.approx(line["value"] / ours[direct]["value"], rel=0.01)
        else:
            assert line["ratio"] is None


def test_what_is_not_measured_is_said() -> None:
    run = bench("--only", "act.sleep")
    assert run.returncode == 2
    assert "no line begins with `act.sleep`" in run.stderr
