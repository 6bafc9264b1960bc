"""The spine's working state: what `act` goes through, step by step, besides the organs.

opening     a proposal, parsed, bounded and named; its case, or the earlier action's answer
carrying    what is asked of the organs for a case
answering   what is told of a stored action, or of a no
refusals    the noes that no organ owns
"""

from bailiwick.cases.answering import (
    answer,
    blocked,
    concluded,
    contended,
    content_of,
    denied,
    doubt,
    look,
    refused,
    running,
)
from bailiwick.cases.carrying import (
    breaker_marks,
    can_be_looked_up,
    execute,
    question,
    read_before,
    reconcile,
    started,
    verify,
)
from bailiwick.cases.opening import (
    asked_before,
    open_case,
    propose,
    reopen,
)

__all__ = [
    "answer",
    "asked_before",
    "blocked",
    "breaker_marks",
    "can_be_looked_up",
    "concluded",
    "contended",
    "content_of",
    "denied",
    "doubt",
    "execute",
    "look",
    "open_case",
    "propose",
    "question",
    "read_before",
    "reconcile",
    "refused",
    "reopen",
    "running",
    "started",
    "verify",
]
