"""What people are asked, and the digest that their votes sign."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from bailiwick.errors import ApprovalError
from bailiwick.nouns import Action, Approval, Ask, Cap, Decision, Situation, Tool
from bailiwick.values import JSON, digest

DOCUMENT_TYPE = "bailiwick.approval-request.v1"


class RequestDocument(TypedDict):
    """All that a vote is about, as JSON. `value` is in minor units of `currency`.

    `over_budget` are the caps that the action does not fit, which a yes lifts for it; not what
    stands against them by now, which moves by itself.

    The release is not in it: a new release voids votes only where it changes the tool or the text
    of a rule that asks.
    """

    type: str
    action: str
    tenant: str
    agent: str
    subject: str
    actors: list[JSON]
    tool: str
    tool_digest: str
    arguments: Mapping[str, JSON]
    resource_type: str
    resource_id: str
    value: JSON
    currency: JSON
    before: Mapping[str, JSON]
    credential: str | None
    destination: str | None
    over_budget: list[JSON]
    rules: list[JSON]


def request_document(
    action: Action,
    situation: Situation,
    decision: Decision,
    tool: Tool,
    over: Sequence[Cap] = (),
) -> RequestDocument:
    """State what is asked: who, what, on what, with what, after what, and for which rules.

    Arguments, resource, value and pre-state are those of `situation`, the tool's digest is that of
    `tool`, both as of now: whatever has changed since the last request changes the digest.
    """
    return RequestDocument(
        type=DOCUMENT_TYPE,
        action=action.id,
        tenant=action.tenant,
        agent=action.agent,
        subject=action.subject,
        actors=list(action.caller.actors),
        tool=tool.name,
        tool_digest=tool.digest,
        arguments=situation.arguments,
        resource_type=situation.resource.type,
        resource_id=situation.resource.id,
        value=situation.facts.get("value"),
        currency=situation.facts.get("currency"),
        before=situation.before,
        credential=tool.credential,
        destination=situation.destination,
        over_budget=[
            {"node": cap.node, "unit": cap.unit, "period": cap.period, "limit": cap.limit}
            for cap in over
        ],
        rules=asked_rules(decision.asks),
    )


def asked_rules(asks: tuple[Ask, ...]) -> list[JSON]:
    """Give the rules that ask as JSON, in the order of their ids."""
    return [
        {"rule": ask.rule, "queue": ask.queue, "quorum": ask.quorum, "text_hash": ask.text_hash}
        for ask in sorted(asks, key=lambda ask: ask.rule)
    ]


def digest_of(document: Mapping[str, object]) -> str:
    """Give the request digest: SHA-256 of the document's canonical form, 64 hex digits."""
    return digest(document)


def request(
    action: Action,
    situation: Situation,
    decision: Decision,
    tool: Tool,
    *,
    now_us: int,
    park_until_us: int,
    over: Sequence[Cap] = (),
) -> Approval:
    """Open the request to people that a decision to ask calls for; it ends at `park_until_us`.

    Raises `ApprovalError` (`request_invalid`) for a decision that no people can satisfy: nothing
    is asked, a rule asks twice, or for fewer than one person.
    """
    rules = {ask.rule for ask in decision.asks}
    if not rules or len(rules) < len(decision.asks) or min(a.quorum for a in decision.asks) < 1:
        raise ApprovalError(
            f"the decision on action `{action.id}` asks for nothing that people can give",
            code="request_invalid",
            help="each asking rule needs an id of its own and a quorum of at least one",
        )
    return Approval(
        action=action.id,
        tenant=action.tenant,
        request_digest=digest_of(request_document(action, situation, decision, tool, over)),
        asks=decision.asks,
        state="open",
        requested_at_us=now_us,
        expires_at_us=park_until_us,
    )
