"""What people sign ahead of an action: standing approvals, and delegations of their votes.

Only the signature of its person makes a statement count; the store's row around it says whether it
was ended. Money is minor units of a currency; times are microseconds since the epoch, UTC.
"""

from msgspec import Struct


class SignedRule(Struct, frozen=True, kw_only=True):
    """A rule that a standing approval satisfies: of which queue, over which text of the rule."""

    rule: str
    queue: str
    text_hash: str


class StandingApproval(Struct, frozen=True, kw_only=True, tag="standing"):
    """One person's yes ahead: to which rules, for which calls, how many, how much, until when.

    `tool` is a name, `prefix.*` or `*`; `resource` is `Type:id`, `Type:*` or `*`. Without
    `max_value` it covers nothing that has a value.
    """

    id: str
    tenant: str
    person: str
    agent: str
    tool: str
    resource: str
    rules: tuple[SignedRule, ...]
    max_actions: int
    from_us: int
    until_us: int
    reason: str
    max_value: int | None = None
    currency: str | None = None
    signature: str = ""

    @property
    def node(self) -> str:
        """The budget node on which its uses are counted."""
        return f"standing:{self.id}"


class Delegation(Struct, frozen=True, kw_only=True, tag="delegation"):
    """A person's votes for one queue, lent to another person from a time until a time."""

    id: str
    tenant: str
    person: str
    to: str
    queue: str
    from_us: int
    until_us: int
    reason: str
    signature: str = ""


class BreakGlass(Struct, frozen=True, kw_only=True, tag="break-glass"):
    """One person's word in an emergency that named asking rules pass, for a short time."""

    id: str
    tenant: str
    person: str
    agent: str
    tool: str
    rules: tuple[SignedRule, ...]
    from_us: int
    until_us: int
    reason: str
    signature: str = ""


Statement = StandingApproval | Delegation | BreakGlass


class Mandate(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A signed statement as it stands in the store: it runs until its time is over or it is ended.

    `by` is who made it: the signer, and who consented. A broken glass is reviewed by another
    person, whose `finding` is kept.
    """

    statement: Statement
    by: tuple[str, ...]
    ended_at_us: int | None = None
    ended_by: str = ""
    reviewed_by: str = ""
    reviewed_at_us: int | None = None
    finding: str = ""
