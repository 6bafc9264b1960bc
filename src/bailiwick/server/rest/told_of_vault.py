"""What people are told of the vault, its keys and the ledger, as one struct an answer."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from bailiwick.server.rest.told import AnswerBody


class VaultErased(AnswerBody, frozen=True, kw_only=True):
    """How much is erased."""

    epoch: int
    erased: int
    run_keys: int
    undoing: Sequence[str]
    run: str | UnsetType = UNSET
    action: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET


class HoldRow(AnswerBody, frozen=True, kw_only=True):
    """A legal hold."""

    kind: str
    target: str
    by: str
    reason: str
    since_us: int


class HoldPlaced(AnswerBody, frozen=True, kw_only=True):
    """What is kept from now on."""

    epoch: int
    covers: int
    run: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET


class HoldReleased(AnswerBody, frozen=True, kw_only=True):
    """What is held no more."""

    epoch: int
    run: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET


class OverdueRow(AnswerBody, frozen=True, kw_only=True):
    """A run that is kept past its time, and what is open in it."""

    run: str
    open: Sequence[str]
    actions: Sequence[str]
    since_us: int


class KeysRewrapped(AnswerBody, frozen=True, kw_only=True):
    """One step of bringing runs under the newest vault key."""

    key: str
    looked: int
    rewrapped: int
    lost: int
    next: str | None


class LeafProof(AnswerBody, frozen=True, kw_only=True):
    """A record and its receipt (`.tlog-proof`), base64."""

    index: int
    record: str
    receipt: str


class Proofs(AnswerBody, frozen=True, kw_only=True):
    """Records with receipts, and the log's public key by which to verify them."""

    vkey: str
    proofs: Sequence[LeafProof]


class LedgerRecord(AnswerBody, frozen=True, kw_only=True):
    """A record at its place in the log, base64, and its leaf hash, hexadecimal.

    Of another tenant's record there is the hash alone.
    """

    index: int
    record: str | None
    hash: str


class RecordsTold(AnswerBody, frozen=True, kw_only=True):
    """A page of the log. `next` is `first` of the page after it; null at the log's end."""

    records: Sequence[LedgerRecord]
    size: int
    next: int | None


class RestoreAccepted(AnswerBody, frozen=True, kw_only=True):
    """The heads that are accepted."""

    epoch: int
    heads: Sequence[str]
