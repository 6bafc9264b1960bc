"""Step 12, report: what operators see of an action. It cannot change the answer.

Watch      how long each of the twelve steps took
report     tell of one action; a failing backend is counted and otherwise ignored
changed    tell of a control change, likewise
Silent     the door that tells nobody; `Several` tells each of several

`otlp` sends spans (`spans`) and metrics (`metrics`) to a collector (`collector`), `events` writes
lines of JSON; both from threads behind a bounded queue (`postbox`).
"""

from bailiwick.telemetry.watch import Several, Silent, Watch, changed, report

__all__ = ["Several", "Silent", "Watch", "changed", "report"]
