"""What people are told of requests, and within what time: the nouns of notifying them."""

from typing import Literal

from msgspec import Struct

Event = Literal["asked", "reminder", "escalation", "decided"]
Channel = Literal["email", "webhook", "none"]


class ServiceLevel(Struct, frozen=True, kw_only=True):
    """Within what time a queue answers, in microseconds from the request; None: no such time.

    From the escalation on, people of the queue `escalate_to` may vote as well.
    """

    queue: str
    remind_after_us: int | None = None
    escalate_after_us: int | None = None
    escalate_to: str = ""
    expire_after_us: int | None = None


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to tell one queue by one channel, when it is due; an escalation is told to nobody.

    It holds names and an amount's class, and no payload. `attempts` is the compare-and-swap
    counter; `said` the code of the fault by which the last attempt failed.
    """

    id: str
    tenant: str
    event: Event
    channel: Channel
    queue: str
    action: str
    request_digest: str
    agent: str
    tool: str
    rules: tuple[str, ...]
    due_at_us: int
    created_at_us: int
    expires_at_us: int = 0
    amount: str = ""
    subject: str = ""
    resource: str = ""
    outcome: str = ""
    escalate_to: str = ""
    attempts: int = 0
    state: Literal["waiting", "sent", "dropped", "failed"] = "waiting"
    said: str = ""
