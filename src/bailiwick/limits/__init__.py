"""Steps 3, admit, and 5, price: kill switches, modes, breakers, run time, budgets and rates.

Who calls what:

    admit          step 3: stops, modes, attempts, open breakers, run seconds
    price          step 5: what an action would hold, and the caps that it does not fit
    reopens_after_s    when the caps that an action does not fit begin anew
    breaker_mark   what an effect's outcome does to the breakers; part of step 11's commit
    is_exhausted   whether a step has had its attempts, so that its last refusal is the answer
    shadowed       in mode shadow, what would have been decided
    outcome_mark, degraded    an error rate over its bound puts an agent back to reading
    covers         whether a stop covers a call: the one rule, for admission and for each send
    stop_ops, lift_ops, mode_ops    an operator's switches as operations of a commit
    is_tighter, needs_second    whether a change waits for a second person
"""

from bailiwick.limits.admission import admit, covers, is_exhausted
from bailiwick.limits.breakers import breaker_mark, breaker_targets
from bailiwick.limits.modes import (
    degraded,
    is_tighter,
    mode_ops,
    outcome_mark,
    outcomes_of,
    shadowed,
)
from bailiwick.limits.pricing import holds_for, misfits, price, reopens_after_s
from bailiwick.limits.switches import lift_ops, needs_second, stop_ops

__all__ = [
    "admit",
    "breaker_mark",
    "breaker_targets",
    "covers",
    "degraded",
    "holds_for",
    "is_exhausted",
    "is_tighter",
    "lift_ops",
    "misfits",
    "mode_ops",
    "needs_second",
    "outcome_mark",
    "outcomes_of",
    "price",
    "reopens_after_s",
    "shadowed",
    "stop_ops",
]
