"""The short form of `make away`: under load the server goes, and comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.away.__main__ import ALLOWED

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.claim("store.server-restart")
def test_two_processes_under_load_lose_and_double_nothing_while_their_server_is_away(
    tmp_path: Path,
) -> None:
    told = subprocess.run(
        [
            *(sys.executable, "-m", "campaigns.away", "--folder", str(tmp_path / "away")),
            *("--gone", "3", "--beside", "1", "--callers", "4"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    # The exit code looks at times as well, which a busy machine may stretch.
    assert told.stdout, told.stderr
    line = json.loads(told.stdout)
    assert (line["lost"], line["doubled"], line["faults"]) == (0, 0, 0), told.stderr
    assert line["refused"].keys() <= ALLOWED
    assert line["refused"]["store_unreachable"] > 20
    assert line["done"] > 8
    # A refusal waits for nothing, and what was under way had its answer from the same process.
    assert line["longest_s"] < 3
    assert line["goes_on_s"] < 30
