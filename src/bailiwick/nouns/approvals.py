"""What people are asked, and their votes."""

from typing import Literal

from msgspec import Struct


class Ask(Struct, frozen=True, kw_only=True):
    """A rule that people may satisfy: how many of which queue, over which text of the rule."""

    rule: str
    queue: str
    quorum: int
    text_hash: str


class Vote(Struct, frozen=True, kw_only=True):
    """One person's signed statement over a request digest. An unsigned row does not count.

    `on_behalf_of` is whose vote it is, if another person lent it to the one who signs.
    """

    action: str
    person: str
    choice: Literal["approve", "deny"]
    request_digest: str
    reason: str
    cast_at_us: int
    signature: str
    on_behalf_of: str = ""


class Approval(Struct, frozen=True, kw_only=True):
    """A request to people about one action, and their votes; evidence for the policy.

    `escalated` are pairs of queues: people of the second may vote for the first as well.
    """

    action: str
    tenant: str
    request_digest: str
    asks: tuple[Ask, ...]
    state: Literal["open", "granted", "denied", "expired", "consumed", "withdrawn"]
    requested_at_us: int
    expires_at_us: int
    votes: tuple[Vote, ...] = ()
    escalated: tuple[tuple[str, str], ...] = ()

    def serving(self, ask: Ask) -> frozenset[str]:
        """Give the queues whose people may vote for an asking rule."""
        return frozenset((ask.queue, *(to for queue, to in self.escalated if queue == ask.queue)))
