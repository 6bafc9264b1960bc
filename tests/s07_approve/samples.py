"""People with keys of their own, a refund that two rules ask about, and votes on it."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bailiwick import approval as organ
from bailiwick.nouns import (
    Action,
    Approval,
    Ask,
    Caller,
    Capability,
    Decision,
    HttpBinding,
    Person,
    Resource,
    Role,
    Situation,
    Tool,
    Vote,
)
from bailiwick.values import JSON, canonical, parse

NOW_US = 1_795_000_000_000_000
HOUR_US = 3_600_000_000

OVER_50 = Ask(rule="over-50", queue="finance", quorum=2, text_hash="a1" * 32)
NEW_PAYEE = Ask(rule="new-payee", queue="legal", quorum=1, text_hash="b2" * 32)

CALLER = Caller(
    tenant="acme",
    agent="refund-desk",
    subject="dana",
    capability=Capability(
        id="cap-1",
        run="run-1",
        grants=(),
        issued_at_us=NOW_US,
        expires_at_us=NOW_US + HOUR_US,
        key_thumbprint="thumb",
    ),
    actors=("piet",),
)
TOOL = Tool(
    name="payments.refund",
    description="Give money back.",
    effect="write",
    traits=("money",),
    owner="olga",
    schema={"type": "object"},
    binding=HttpBinding(method="POST", base_url="https://pay.example", path="/refunds"),
    digest="c3" * 32,
    resource_type="Charge",
    expect="after.refund.amount == args.amount_minor",
    reverser="payments.cancel_refund",
    credential="payments-write",
)
SITUATION = Situation(
    arguments={"charge": "ch_1", "amount_minor": 7500},
    canonical=b"",
    resource=Resource(type="Charge", id="ch_1"),
    facts={"value": 7500, "currency": "EUR"},
    input={},
    before={"charge": {"refunded_minor": 0}},
    destination="acct_9",
)
DECISION = Decision(effect="ask", asks=(OVER_50, NEW_PAYEE), release="r1")
ACTION = Action(
    id="act-1",
    tenant="acme",
    agent="refund-desk",
    subject="dana",
    run="run-1",
    tool="payments.refund",
    tool_digest="c3" * 32,
    name="n",
    attempt=1,
    state="parked",
    version=1,
    arguments_mac="mac",
    caller=CALLER,
    created_at_us=NOW_US,
    updated_at_us=NOW_US,
)


def key(name: str) -> Ed25519PrivateKey:
    """A person's own key, the same each time."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def public(name: str) -> str:
    """The public half, as an account holds it."""
    raw = key(name).public_key().public_bytes_raw()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def person(
    name: str, *queues: str, roles: tuple[Role, ...] = ("approver",), enabled: bool = True
) -> Person:
    return Person(
        tenant="acme",
        name=name,
        roles=roles,
        queues=queues,
        public_key=public(name),
        enabled=enabled,
    )


PEOPLE: Mapping[str, Person] = {
    each.name: each
    for each in (
        person("bob", "finance"),
        person("carol", "finance"),
        person("lena", "legal"),
        person("both", "finance", "legal"),
        person("dana", "finance", "legal"),  # the subject
        person("piet", "finance", "legal"),  # acts for the subject
        person("olga", "finance"),  # owns the agent
        person("gone", "finance", enabled=False),
        person("boss", "finance", "legal", roles=("admin",)),
        person("hr", "people"),
    )
}


def asking(*asks: Ask, situation: Situation = SITUATION) -> Approval:
    """An open request on the refund; without rules named, by both."""
    decision = replace(DECISION, asks=asks or DECISION.asks)
    return organ.request(
        ACTION, situation, decision, TOOL, now_us=NOW_US, park_until_us=NOW_US + HOUR_US
    )


def vote(
    name: str,
    on: Approval,
    choice: Literal["approve", "deny"] = "approve",
    *,
    reason: str = "",
    signed_by: str | None = None,
) -> Vote:
    """A vote, signed by the person named or by another."""
    unsigned = Vote(
        action=on.action,
        person=name,
        choice=choice,
        request_digest=on.request_digest,
        reason=reason,
        cast_at_us=NOW_US + 1,
        signature="",
    )
    return organ.sign_vote(unsigned, key(signed_by or name))


def voted(on: Approval, *votes: Vote | str) -> Approval:
    """The request with votes; a name alone approves."""
    return replace(on, votes=tuple(vote(v, on) if isinstance(v, str) else v for v in votes))


def rules(
    on: Approval, now_us: int = NOW_US + 2, people: Mapping[str, Person] = PEOPLE
) -> set[str]:
    """The rules that the votes satisfy."""
    return set(organ.evidence(on, on.request_digest, people, CALLER, now_us))


def document(situation: Situation = SITUATION, *asks: Ask) -> dict[str, JSON]:
    """The request document as it is read back from where it was kept."""
    decision = replace(DECISION, asks=asks or DECISION.asks)
    return parse(canonical(organ.request_document(ACTION, situation, decision, TOOL)))
