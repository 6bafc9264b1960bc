"""Step 7, approve: what people are asked, their signed votes, and what the votes prove.

Pure but for `closed` and `weigh`, which read the votes. Who calls what:

    request              opens the request that a decision to ask calls for
    request_document     what is asked; `digest_of` it is what votes sign
    check_vote           before a vote is cast, made by `sign_vote` over `vote_statement`
    hindrance            why a person could not vote; `lenders`, whose vote else they could cast
    evidence, denied     the rules that valid votes satisfy; the vote that denies
    tally, conflicts     who counts for which rule; what ties a person to an action
    lines                the request as text for a person
    closed               the no that a parked action has had already
    electorate           who may vote, with the votes that they lent to each other
    standing_for         the standing approvals that cover a call; `voices`, what they count for
    weigh                the step itself: today's request, and the evidence there is for it
"""

from bailiwick.approval.ahead import broken_for, standing_for, voices
from bailiwick.approval.conflicts import all_conflicts, conflicts
from bailiwick.approval.electorate import (
    NOBODY,
    Ahead,
    Electorate,
    People,
    electorate,
    lenders,
    queues_of,
)
from bailiwick.approval.request import digest_of, request, request_document
from bailiwick.approval.showing import lines
from bailiwick.approval.statements import (
    is_signed_by,
    mandate_digest,
    mandate_statement,
    sign_mandate,
)
from bailiwick.approval.votes import (
    check_vote,
    denied,
    evidence,
    hindrance,
    objection,
    sign_vote,
    tally,
    vote_statement,
)
from bailiwick.approval.weighing import closed, weigh

__all__ = [
    "NOBODY",
    "Ahead",
    "Electorate",
    "People",
    "all_conflicts",
    "broken_for",
    "check_vote",
    "closed",
    "conflicts",
    "denied",
    "digest_of",
    "electorate",
    "evidence",
    "hindrance",
    "is_signed_by",
    "lenders",
    "lines",
    "mandate_digest",
    "mandate_statement",
    "objection",
    "queues_of",
    "request",
    "request_document",
    "sign_mandate",
    "sign_vote",
    "standing_for",
    "tally",
    "voices",
    "vote_statement",
    "weigh",
]
