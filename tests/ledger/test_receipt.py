"""Receipts: whoever has the record, the receipt and the log's key needs nothing else."""

import base64
from collections.abc import Callable, Iterator

import pytest

import bailiwick_verify
from bailiwick.errors import LedgerError
from bailiwick.ledger.note import cosign
from bailiwick.ledger.receipt import (
    MAX_RECEIPT_BYTES,
    Receipt,
    encode_receipt,
    parse_receipt,
    verify_receipt,
)
from bailiwick.ledger.records import encode
from bailiwick.ledger.tree import inclusion_proof
from tests.ledger.samples import LOG, STRANGER, WITNESS, SampleLog, kill, signed, story


def receipt_of(log: SampleLog, index: int, checkpoint: bytes = b"") -> bytes:
    """The receipt file of one record."""
    proof = inclusion_proof(index, log.size, log.node_at)
    return encode_receipt(Receipt(index, proof, checkpoint or log.checkpoint))


def flips(data: bytes) -> Iterator[bytes]:
    """Every way to change one bit."""
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def holds(record: bytes, receipt: bytes) -> tuple[bool, bool]:
    """What the organ and the separate verifier say of a receipt."""
    key = bailiwick_verify.read_key(LOG.key.vkey)
    try:
        verify_receipt(receipt, record, [LOG.key])
        ours = True
    except LedgerError:
        ours = False
    try:
        bailiwick_verify.verify_receipt(record, receipt, [key])
        theirs = True
    except bailiwick_verify.NotVerified:
        theirs = False
    return ours, theirs


@pytest.mark.claim("ledger.receipt-offline")
def test_every_record_has_a_receipt_that_verifies_from_bytes_alone() -> None:
    log = signed(story(20))
    for index, record in enumerate(log.records):
        receipt = receipt_of(log, index)
        head = verify_receipt(receipt, record, [LOG.key])
        assert (head.size, head.root) == (log.size, log.root)
        assert holds(record, receipt) == (True, True)
        assert holds(log.records[index - 1], receipt) == (False, False)


@pytest.mark.claim("ledger.any-changed-byte-receipt")
def test_every_changed_bit_of_a_receipt_or_its_record_is_found() -> None:
    log = signed([encode(kill(epoch)) for epoch in range(11)])
    record, receipt = log.records[6], receipt_of(log, 6)
    assert holds(record, receipt) == (True, True)
    assert all(holds(record, changed) == (False, False) for changed in flips(receipt))
    assert all(holds(changed, receipt) == (False, False) for changed in flips(record))


def test_a_receipt_has_the_form_that_the_specification_gives() -> None:
    log = signed(story(2))
    lines = receipt_of(log, 1).decode().split("\n")
    sibling = base64.b64encode(log.nodes[0, 0]).decode()
    assert lines[:4] == ["c2sp.org/tlog-proof@v1", "index 1", sibling, ""]
    assert "\n".join(lines[4:]).encode() == log.checkpoint


def test_a_log_of_one_record_needs_no_hashes() -> None:
    log = signed(story(1))
    receipt = receipt_of(log, 0)
    assert parse_receipt(receipt).proof == ()
    assert holds(log.records[0], receipt) == (True, True)


def test_a_receipt_has_a_largest_size_and_a_longest_proof() -> None:
    plain = parse_receipt(receipt_of(signed(story(2)), 0))
    deepest = Receipt(plain.index, (bytes(32),) * 63, plain.checkpoint)
    assert parse_receipt(encode_receipt(deepest)) == deepest
    for proof, checkpoint in (
        ((bytes(32),) * 64, plain.checkpoint),
        ((bytes(31),), plain.checkpoint),
        (plain.proof, bytes(MAX_RECEIPT_BYTES)),
    ):
        with pytest.raises(LedgerError) as caught:
            parse_receipt(encode_receipt(Receipt(0, proof, checkpoint)))
        assert caught.value.code == "receipt_malformed"


def test_extra_data_is_read_but_never_vouched_for() -> None:
    log = signed(story(2))
    plain = parse_receipt(receipt_of(log, 0))
    receipt = encode_receipt(Receipt(plain.index, plain.proof, plain.checkpoint, b"for free"))
    assert parse_receipt(receipt).extra == b"for free"
    assert receipt.split(b"\n")[1] == b"extra Zm9yIGZyZWU="
    with pytest.raises(LedgerError) as caught:
        verify_receipt(receipt, log.records[0], [LOG.key])
    assert caught.value.code == "receipt_extra"
    assert holds(log.records[0], receipt) == (False, False)


def test_a_receipt_under_another_key_is_refused() -> None:
    log = signed(story(3), STRANGER)
    assert holds(log.records[0], receipt_of(log, 0)) == (False, False)


def test_a_receipt_can_demand_its_witness() -> None:
    log = signed(story(3))
    witnessed = log.checkpoint + cosign(log.checkpoint, WITNESS, 1_795_000_000)
    record, receipt = log.records[2], receipt_of(log, 2, witnessed)
    assert verify_receipt(receipt, record, [LOG.key], [WITNESS.key]).size == log.size
    with pytest.raises(LedgerError) as caught:
        verify_receipt(receipt_of(log, 2), record, [LOG.key], [WITNESS.key])
    assert caught.value.code == "witness_missing"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.replace("@v1", "@v2"),
        lambda text: text.replace("index 3", "index 03"),
        lambda text: text.replace("index 3", "index -3"),
        lambda text: text.replace("index 3\n", ""),
        lambda text: text.replace("index 3", "index 4"),
        lambda text: text.replace("index 3", "index 5"),
        lambda text: text.replace("index 3", "extra \nindex 3"),
        lambda text: text.replace("index 3", "extra QR==\nindex 3"),
        lambda text: text.replace("index 3\n", "index 3\nQUJD\n"),
        lambda text: text.replace("=\n\n", "=\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("index 3\n", "index 3\n" + "A" * 43 + "=\n"),
        lambda text: text.replace("index 3\n", "index 3\n" + ("A" * 43 + "=\n") * 64),
        lambda text: text.split("index")[0] + "\n" + text.split("\n\n", 1)[1],
        lambda text: text.split("\n\n")[0],
        lambda text: text.split("\n\n")[0] + "\n",
        lambda text: text + "x",
        lambda text: "\ufeff" + text,
    ],
)
def test_a_malformed_receipt_is_refused(change: Callable[[str], str]) -> None:
    log = signed(story(4))
    receipt = change(receipt_of(log, 3).decode()).encode()
    assert receipt != receipt_of(log, 3)
    assert holds(log.records[3], receipt) == (False, False)
