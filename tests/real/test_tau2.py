"""A few tasks of `make tau2`, and a counter-example of each kind."""

import pytest

from tests.real.campaigns import needs, told

pytestmark = needs("tau2")


@pytest.mark.claim("real.gold-state")
@pytest.mark.claim("real.written-policy-kept")
def test_a_written_policy_is_kept_and_keeps_nobody_from_what_it_allows() -> None:
    line = told("tau2", "--tasks", "8", "--each", "1")
    assert line["reached_gold"] == line["tasks"] == 8
    assert (line["false_blocks"], line["done"] + line["refused_by_both"]) == (0, line["calls"])
    assert line["blocked"] == line["counter_examples"] >= len(line["by_kind"])
    assert len(line["by_kind"]) > 25
    # Nobody but the rules stood in the way of these.
    assert line["unchecked_by_shop"] > 0
