"""What is told, and when: the notices that stand in one commit with what they tell of. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from bailiwick.config import Settings
from bailiwick.nouns import Action, Approval, Ask
from bailiwick.nouns.notices import Channel, Event, Notice, ServiceLevel
from bailiwick.transactions import PutNotice
from bailiwick.values import JSON
from bailiwick.vocabulary import decimals_of, is_currency

# How a request ended, whether a vote closed it or the action was refused: it is told once.
_ENDS = {"denied_by_people": "denied", "approval_expired": "expired"}


def asked(
    settings: Settings,
    action: Action,
    approval: Approval,
    levels: Mapping[str, ServiceLevel],
    facts: Mapping[str, JSON],
) -> tuple[PutNotice, ...]:
    """Give the notices of a new request: that it is asked, and for later what is due by then."""
    found: list[Notice] = []
    for queue in _queues(approval.asks):
        level = levels.get(queue, ServiceLevel(queue=queue))
        told = list(_told(settings, action, approval.asks, "asked", queue))
        if level.remind_after_us is not None:
            found += (
                replace(each, due_at_us=level.remind_after_us)
                for each in _told(settings, action, approval.asks, "reminder", queue)
            )
        if level.escalate_after_us is not None:
            due = _notice(settings, action, approval.asks, "escalation", "none", queue=queue)
            after_us, to = level.escalate_after_us, level.escalate_to
            found.append(replace(due, due_at_us=after_us, escalate_to=to))
        found += told
    return _of(approval, found, amount=amount_class(facts), from_us=approval.requested_at_us)


def escalated(
    settings: Settings, action: Action, approval: Approval, notice: Notice, now_us: int
) -> tuple[PutNotice, ...]:
    """Give the notices to the queue that may vote as well from now on."""
    found = list(_told(settings, action, approval.asks, "asked", notice.escalate_to))
    return _of(approval, found, amount=notice.amount, from_us=now_us)


def decided(
    settings: Settings, action: Action, asks: Sequence[Ask], outcome: str, now_us: int
) -> tuple[PutNotice, ...]:
    """Give the notices that a request is over: granted, denied, or withdrawn."""
    outcome = _ENDS.get(outcome, outcome)
    times = {"created_at_us": now_us, "due_at_us": now_us}
    return tuple(
        PutNotice(notice=replace(each, id=f"{each.id}_{outcome}", outcome=outcome, **times))
        for queue in _queues(asks)
        for each in _told(settings, action, asks, "decided", queue)
    )


def amount_class(facts: Mapping[str, JSON]) -> str:
    """Say of an amount only between which powers of ten of its currency it lies."""
    value, currency = facts.get("value"), facts.get("currency")
    if type(value) is not int or not isinstance(currency, str) or not is_currency(currency):
        return ""
    whole = abs(value) // 10 ** decimals_of(currency)
    if whole < 1:
        return f"below 1 {currency}"
    low = 10 ** (len(str(whole)) - 1)
    return f"{low} to {low * 10} {currency}"


def _queues(asks: Sequence[Ask]) -> Sequence[str]:
    return tuple(dict.fromkeys(ask.queue for ask in asks))


def _told(
    settings: Settings, action: Action, asks: Sequence[Ask], event: Event, queue: str
) -> Iterator[Notice]:
    """A notice for each channel that reaches the queue."""
    email, webhook = settings.notify.email, settings.notify.webhook
    if email is not None and email.to.get(queue):
        yield _notice(settings, action, asks, event, "email", queue=queue)
    if webhook is not None:
        yield _notice(settings, action, asks, event, "webhook", queue=queue)


def _notice(
    settings: Settings,
    action: Action,
    asks: Sequence[Ask],
    event: Event,
    channel: Channel,
    *,
    queue: str,
) -> Notice:
    tell, resource = settings.notify.tell, action.resource
    shown = f"{resource.type}:{resource.id}" if resource and "resource" in tell else ""
    return Notice(
        id=f"ntc_{action.id}_{event}_{queue}_{channel}",
        tenant=action.tenant,
        event=event,
        channel=channel,
        queue=queue,
        action=action.id,
        request_digest="",
        agent=action.agent,
        tool=action.tool,
        rules=tuple(sorted(ask.rule for ask in asks)),
        due_at_us=0,
        created_at_us=0,
        subject=action.subject if "subject" in tell else "",
        resource=shown,
    )


def _of(
    approval: Approval, found: Sequence[Notice], *, amount: str, from_us: int
) -> tuple[PutNotice, ...]:
    """The notices as they are due for a request; one that is asked anew has ids of its own."""
    digest = approval.request_digest
    return tuple(
        PutNotice(
            notice=replace(
                each,
                id=f"{each.id}_{digest[:12]}",
                request_digest=digest,
                due_at_us=from_us + each.due_at_us,
                created_at_us=from_us,
                expires_at_us=approval.expires_at_us,
                amount=amount,
            )
        )
        for each in found
    )
