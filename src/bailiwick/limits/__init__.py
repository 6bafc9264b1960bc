"""Steps 3, admit, and 5, price: kill switches, breakers, run time, budgets and rates.

Who calls what:

    admit          step 3: stops, open breakers, run seconds
    price          step 5: what an action would hold, and the caps that it does not fit
    breaker_mark   what an effect's outcome does to the breakers; part of step 11's commit
    too_often      step 3 too: whether a step has had its attempts; is_exhausted, whether it had
    covers         whether a stop covers a call: the one rule, for admission and for each send
    stop_ops, lift_ops, needs_second    an operator's switches as operations of a commit
"""

from bailiwick.limits.admission import admit, covers, is_exhausted, too_often
from bailiwick.limits.breakers import breaker_mark, breaker_targets
from bailiwick.limits.pricing import holds_for, misfits, price
from bailiwick.limits.switches import lift_ops, needs_second, stop_ops

__all__ = [
    "admit",
    "breaker_mark",
    "breaker_targets",
    "covers",
    "holds_for",
    "is_exhausted",
    "lift_ops",
    "misfits",
    "needs_second",
    "price",
    "stop_ops",
    "too_often",
]
