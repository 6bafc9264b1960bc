"""A few tasks of `make bfcl`."""

import pytest

from tests.real.campaigns import needs, told

pytestmark = needs("bfcl")


@pytest.mark.claim("real.gold-state")
@pytest.mark.claim("real.mutants-refused")
def test_tasks_reach_their_gold_state_and_no_mutant_calls_anything() -> None:
    line = told("bfcl", "--tasks", "5")
    assert line["reached_gold"] == line["tasks"] == 5
    assert line["done"] == line["same_results"] == line["calls"] > 5
    assert (line["refused"], line["called"]) == (line["mutants"], 0)
    assert len(line["by_kind"]) == 6
