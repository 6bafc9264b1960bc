"""A few tasks of `make bfcl`."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.repo.sources import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv-bfcl" / "ready").exists() and "CI" not in os.environ,
    reason="`make test` and `make bfcl` install BFCL",
)


@pytest.mark.claim("real.gold-state")
@pytest.mark.claim("real.mutants-refused")
def test_tasks_reach_their_gold_state_and_no_mutant_calls_anything() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "campaigns.bfcl", "--tasks", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    line: dict[str, Any] = json.loads(told.stdout)
    assert line["reached_gold"] == line["tasks"] == 5
    assert line["done"] == line["same_results"] == line["calls"] > 5
    assert (line["refused"], line["called"]) == (line["mutants"], 0)
    assert len(line["by_kind"]) == 6
