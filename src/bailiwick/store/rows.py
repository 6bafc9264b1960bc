"""What the rows of either database hold, read back into nouns."""

from collections.abc import Iterable, Sequence

import msgspec

from bailiwick import transactions
from bailiwick.nouns import (
    Action,
    Approval,
    Balance,
    LegalHold,
    ModeSetting,
    Person,
    Release,
    Standing,
    Stop,
    Vote,
)
from bailiwick.nouns.mandates import Mandate
from bailiwick.nouns.notices import Notice
from bailiwick.ports import RunRow
from bailiwick.store.balances import bucket

# Delivering takes at most a minute; whoever dies meanwhile is followed by another after that.
NOTICE_LEASE_US = 90_000_000

encode = msgspec.json.Encoder().encode
decode_action = msgspec.json.Decoder(Action).decode
decode_stop = msgspec.json.Decoder(Stop).decode
decode_mode = msgspec.json.Decoder(ModeSetting).decode
decode_standing = msgspec.json.Decoder(Standing).decode
decode_person = msgspec.json.Decoder(Person).decode
decode_release = msgspec.json.Decoder(Release).decode
decode_mandate = msgspec.json.Decoder(Mandate).decode
decode_notice = msgspec.json.Decoder(Notice).decode
decode_json = msgspec.json.Decoder().decode
decode_approval = msgspec.json.Decoder(Approval).decode
_decode_hold = msgspec.json.Decoder(LegalHold).decode
_decode_vote = msgspec.json.Decoder(Vote).decode


def approval_of(state: str, body: bytes, votes: Sequence[bytes]) -> Approval:
    """An approval request in its state, with the votes on it."""
    cast = tuple(_decode_vote(vote) for vote in votes)
    return msgspec.structs.replace(decode_approval(body), state=state, votes=cast)


def change_of(
    id: str, kind: str, body: bytes, proposed_by: str, expires_at_us: int
) -> transactions.PutChange:
    """A control change that waits for a second person."""
    return transactions.PutChange(
        id=id,
        kind=kind,
        body=decode_json(body),
        proposed_by=proposed_by,
        expires_at_us=expires_at_us,
    )


def run_of(
    wrapped_key: bytes,
    started_at_us: int,
    parked_us: int,
    parked_until_us: int,
    classes: str | None,
) -> RunRow:
    """A run as it stands; `classes` with commas between them."""
    return RunRow(
        wrapped_key=wrapped_key or None,
        started_at_us=started_at_us,
        parked_us=parked_us,
        parked_until_us=parked_until_us,
        classes=frozenset(classes.split(",")) if classes else frozenset(),
    )


def escalated(body: bytes, queue: str, to: str) -> bytes:
    """An approval request on which people of another queue may vote as well."""
    approval = decode_approval(body)
    pairs = dict.fromkeys((*approval.escalated, (queue, to)))
    return encode(msgspec.structs.replace(approval, escalated=tuple(pairs)))


def balance_of(node: str, unit: str, bucket: str, spent: int, held: int) -> Balance:
    """What a budget node has spent and holds in a bucket."""
    return Balance(node=node, unit=unit, bucket=bucket, spent=spent, held=held)


def current_buckets(now_us: int) -> dict[str, str]:
    """The names of the buckets that a moment falls in, by period."""
    return {period: bucket(period, now_us) for period in ("day", "hour", "minute")}


def standing_holds(bodies: Iterable[bytes]) -> tuple[LegalHold, ...]:
    """The legal holds that nobody has lifted."""
    return tuple(hold for hold in map(_decode_hold, bodies) if not hold.lifted_by)


def is_contradicted(action: Action) -> bool:
    """Whether the world contradicts what was done, and nobody has resolved it yet."""
    return action.state == "done" and action.verdict == "contradicted"
