"""Receipts: the offline proof that one record is in the log (C2SP tlog-proof, `.tlog-proof`).

A receipt is a text file: the record's index, its inclusion proof and a signed checkpoint. With
the record's bytes and the log's public key it can be verified by anyone, without the log.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from bailiwick.errors import LedgerError
from bailiwick.ledger.note import (
    MAX_NOTE_BYTES,
    Checkpoint,
    NoteKey,
    decode_base64,
    decode_decimal,
    verify_checkpoint,
)
from bailiwick.ledger.tree import HASH_BYTES, leaf_hash, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
MAX_RECEIPT_BYTES = 2 * MAX_NOTE_BYTES
MAX_PROOF = 63


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as parsed: the leaf's index, the hashes from its sibling up, the signed head.

    `extra` is application data that nothing authenticates; this log leaves it empty.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""


def encode_receipt(receipt: Receipt) -> bytes:
    """Give the receipt file's bytes."""
    lines = [HEADER]
    if receipt.extra:
        lines.append("extra " + b64encode(receipt.extra).decode())
    lines.append(f"index {receipt.index}")
    lines += [b64encode(item).decode() for item in receipt.proof]
    return "\n".join(lines).encode() + b"\n\n" + receipt.checkpoint


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt file, strictly. Raises `LedgerError` (`receipt_malformed` and others).

    The checkpoint is not looked into: `verify_receipt` does that.
    """
    if len(data) > MAX_RECEIPT_BYTES:
        _malformed(f"it is larger than {MAX_RECEIPT_BYTES} bytes")
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        _malformed("its proof is not ASCII")
    if not blank or lines[0] != HEADER:
        _malformed(f"it does not begin with `{HEADER}`, or has no blank line")
    extra = b""
    if len(lines) > 1 and lines[1].startswith("extra "):
        extra = decode_base64(lines.pop(1)[len("extra ") :], "extra data")
        if not extra:
            _malformed("its extra data is empty; the line must then be left out")
    if len(lines) < 2 or not lines[1].startswith("index "):
        _malformed("it has no index")
    index = decode_decimal(lines[1][len("index ") :], "index")
    proof = tuple(decode_base64(line, "proof") for line in lines[2:])
    if len(proof) > MAX_PROOF or any(len(item) != HASH_BYTES for item in proof):
        _malformed("its proof is longer than any tree, or holds something other than hashes")
    return Receipt(index, proof, checkpoint, extra)


def verify_receipt(
    data: bytes,
    record: bytes,
    log_keys: Sequence[NoteKey],
    witnesses: Sequence[NoteKey] = (),
) -> Checkpoint:
    """Give the tree head under which the receipt proves `record` to be, else raise `LedgerError`.

    Extra data is refused: nothing protects it, and a reader could believe it.
    """
    receipt = parse_receipt(data)
    if receipt.extra:
        raise LedgerError(
            "the receipt carries extra data, which nothing protects",
            code="receipt_extra",
            help="remove the line that begins with `extra`",
        )
    head = verify_checkpoint(receipt.checkpoint, log_keys, witnesses)
    verify_inclusion(
        index=receipt.index,
        size=head.size,
        leaf=leaf_hash(record),
        proof=receipt.proof,
        root=head.root,
    )
    return head


def _malformed(why: str) -> NoReturn:
    raise LedgerError(f"the receipt is malformed: {why}", code="receipt_malformed")
