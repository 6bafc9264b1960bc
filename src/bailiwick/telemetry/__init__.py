"""Step 12, report: what operators see of an action. It cannot change the answer.

Watch      how long each of the twelve steps took
report     tell of one action; a failing backend is counted and otherwise ignored
Silent     the door that tells nobody; `otlp.OtlpTelemetry` is one that does
"""

from bailiwick.telemetry.watch import Silent, Watch, report

__all__ = ["Silent", "Watch", "report"]
