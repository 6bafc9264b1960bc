"""A transaction as data: guards and writes, carried out in order and all or none.

The spine and the organs say what must hold and what is to be written; a store carries it out. So
the order of a transaction stands in one place, and every store has the same one.
"""

from collections.abc import Mapping

from msgspec import Struct

from bailiwick.nouns import (
    Action,
    Approval,
    Cap,
    Hold,
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
from bailiwick.values import JSON


class EpochIs(Struct, frozen=True, kw_only=True):
    """Guard: the tenant's control epoch is still the one that was judged under.

    With `room` the disk must also be above its watermark, so that outcomes still fit.
    """

    epoch: int
    room: bool = False


class InsertAction(Struct, frozen=True, kw_only=True):
    """Write: a new action. Blocked as `duplicate_name` when its name and attempt are taken."""

    action: Action


class MoveAction(Struct, frozen=True, kw_only=True):
    """Guard and write: replace the action if its stored version is `action.version - 1`."""

    action: Action


class Take(Struct, frozen=True, kw_only=True):
    """Guard and write: hold the amounts, if `spent + held + amount <= limit` at every node.

    Nodes are locked in one order, hottest last; buckets come from the store's clock. People have
    lifted the caps of `lift` for this action, whose row must be written in the same commit.
    """

    action: str
    holds: tuple[Hold, ...]
    lift: tuple[Cap, ...] = ()


class Settle(Struct, frozen=True, kw_only=True):
    """Write: turn the action's holds into spending, `spent` by unit, and give back the rest.

    A unit that is not named is spent as held. The action's row must be written in the same commit.
    """

    action: str
    spent: Mapping[str, int] = {}


class Claim(Struct, frozen=True, kw_only=True):
    """Guard and write: the effect key is this action's. Blocked as `effect_key_held`."""

    key: str
    action: str


class Free(Struct, frozen=True, kw_only=True):
    """Write: the action gives up its effect key."""

    key: str
    action: str


class OpenApproval(Struct, frozen=True, kw_only=True):
    """Write: an approval request; it replaces one of the same action with another digest."""

    approval: Approval


class CloseApproval(Struct, frozen=True, kw_only=True):
    """Guard and write: the approval is in a state of `expect` and moves to `state`."""

    action: str
    expect: tuple[str, ...]
    state: str


class CastVote(Struct, frozen=True, kw_only=True):
    """Guard and write: one vote a person and action, on an open approval of that digest."""

    vote: Vote


class PutMandate(Struct, frozen=True, kw_only=True):
    """Write: what a person signed ahead, as it stands now; it counts until a time, by the clock."""

    mandate: Mandate
    counts_until_us: int


class UseMandate(Struct, frozen=True, kw_only=True):
    """Guard and write: the mandate has not run out by the store's clock; the action drew on it."""

    mandate: str
    action: str
    until_us: int


class PutNotice(Struct, frozen=True, kw_only=True):
    """Write, once: something to tell people, when it is due."""

    notice: Notice


class MoveNotice(Struct, frozen=True, kw_only=True):
    """Guard and write: a waiting notice after one attempt more, `notice.attempts`."""

    notice: Notice


class Escalate(Struct, frozen=True, kw_only=True):
    """Guard and write: people of `to` may vote for `queue` too, on the open request."""

    action: str
    request_digest: str
    queue: str
    to: str


class PutPayload(Struct, frozen=True, kw_only=True):
    """Write: a sealed payload of an action, whose row a proposal or result is written with."""

    action: str
    run: str
    kind: str
    sealed: bytes
    commitment: str


class PutRun(Struct, frozen=True, kw_only=True):
    """Write, once: a run with its wrapped vault key. The first writer's key stands.

    A run whose key was dropped is given this one.
    """

    run: str
    agent: str
    wrapped_key: bytes


class RunIsClosed(Struct, frozen=True, kw_only=True):
    """Guard: nothing of the run is parked, in flight or in doubt. Blocked as `run_open`.

    It holds to the end of the transaction only in one that raises the epoch.
    """

    run: str


class Erase(Struct, frozen=True, kw_only=True):
    """Guard and write: an action's payloads are gone with their salts; its row as `MoveAction`."""

    action: Action


class DropRunKey(Struct, frozen=True, kw_only=True):
    """Guard and write: a run without a payload loses its key. Blocked as `run_kept`."""

    run: str


class AddParked(Struct, frozen=True, kw_only=True):
    """Write: the run waited for people since a time; that does not count as run time."""

    run: str
    since_us: int


class Carry(Struct, frozen=True, kw_only=True):
    """Write: the run has been shown data of these classes; it stays so."""

    run: str
    classes: tuple[str, ...]


class Append(Struct, frozen=True, kw_only=True):
    """Write: a ledger record, unsequenced. `hash` is its RFC 6962 leaf hash, hex."""

    kind: str
    action: str | None
    body: bytes
    hash: str


class MarkBreaker(Struct, frozen=True, kw_only=True):
    """Write: count a failure of the target, or forget them after a success.

    The newest `keep` outcomes are kept in order; with 0 they are forgotten too.
    """

    target: str
    failed: bool
    threshold: int
    open_for_us: int
    keep: int = 0


class RaiseEpoch(Struct, frozen=True, kw_only=True):
    """Write, exclusive: a control change; every judgement made before is made again."""


class PutStop(Struct, frozen=True, kw_only=True):
    """Write: pull a kill switch."""

    stop: Stop


class LiftStop(Struct, frozen=True, kw_only=True):
    """Guard and write: lift a kill switch that is pulled."""

    scope: str
    target: str


class PutMode(Struct, frozen=True, kw_only=True):
    """Write: how far an agent may go with a tool; it replaces the setting for the same two."""

    setting: ModeSetting


class PutLegalHold(Struct, frozen=True, kw_only=True):
    """Write: a legal hold, new or lifted; it replaces the one on the same run or subject."""

    hold: LegalHold


class PutRound(Struct, frozen=True, kw_only=True):
    """Write: how far one of the housekeeper's rounds got, and when it goes on."""

    name: str
    reached: str
    due_at_us: int


class PutStanding(Struct, frozen=True, kw_only=True):
    """Write: an agent's account."""

    standing: Standing


class Revoke(Struct, frozen=True, kw_only=True):
    """Write: a key id, token id or delegation loses its standing for good."""

    id: str
    by: str
    reason: str


class PutPerson(Struct, frozen=True, kw_only=True):
    """Write: a person's account. `secret` is the password hash and the sealed signing key."""

    person: Person
    secret: Mapping[str, JSON]


class PutRelease(Struct, frozen=True, kw_only=True):
    """Write, once: a release's files."""

    release: Release


class Activate(Struct, frozen=True, kw_only=True):
    """Write: the release that decides from now on."""

    digest: str


class PutChange(Struct, frozen=True, kw_only=True):
    """Write: a proposed control change that waits for a second person."""

    id: str
    kind: str
    body: Mapping[str, JSON]
    proposed_by: str
    expires_at_us: int


class CloseChange(Struct, frozen=True, kw_only=True):
    """Guard and write: a waiting control change is decided."""

    id: str
    decided_by: str
    state: str


class UseOnce(Struct, frozen=True, kw_only=True):
    """Guard and write: a name that counts once until a time. Blocked as `used_before`.

    What was used is forgotten some time after that time, by the store's clock.
    """

    name: str
    until_us: int


_Acting = EpochIs | InsertAction | MoveAction | Take | Settle | Claim | Free | PutRun | AddParked
_Keeping = Carry | OpenApproval | CloseApproval | CastVote | PutPayload | Append | MarkBreaker
_Ahead = PutMandate | UseMandate | PutNotice | MoveNotice | Escalate
_Standing = RaiseEpoch | PutStop | LiftStop | PutMode | PutStanding | Revoke | PutPerson | UseOnce
_Releasing = PutRelease | Activate | PutChange | CloseChange
_Erasing = RunIsClosed | Erase | DropRunKey | PutLegalHold | PutRound
Op = _Acting | _Keeping | _Ahead | _Standing | _Releasing | _Erasing


class Commit(Struct, frozen=True, kw_only=True):
    """One transaction: operations in order, all or none. It is durable when the call returns."""

    tenant: str
    ops: tuple[Op, ...]


class Entries(Struct, frozen=True, kw_only=True):
    """What the ledger adds to a commit: a record and payloads, and the record's leaf hash, hex."""

    ops: tuple[Op, ...]
    hash: str


class Committed(Struct, frozen=True, kw_only=True):
    """The transaction is durable; `at_us` is the store's clock inside it."""

    at_us: int


class Blocked(Struct, frozen=True, kw_only=True):
    """A guard did not hold and nothing was written: which one, and who or what is in the way.

    `code` is one of epoch_moved, disk_low, duplicate_name, action_moved, over_budget,
    run_key_moved, run_open, run_kept, effect_key_held, approval_moved, already_voted, not_stopped,
    change_moved, mandate_over, notice_moved, used_before.
    """

    code: str
    details: Mapping[str, JSON] = {}
