"""Signed notes, checkpoints, keys: the format's own example, and everything it must refuse."""

import base64
from collections.abc import Callable

import pytest

from bailiwick.errors import LedgerError
from bailiwick.ledger.note import (
    COSIGNATURE,
    MAX_SIGNATURES,
    Checkpoint,
    NoteKey,
    assemble,
    checkpoint_text,
    cosign,
    decode_base64,
    decode_decimal,
    parse,
    parse_checkpoint,
    parse_skey,
    parse_vkey,
    sign,
    sign_checkpoint,
    signer,
    verify,
    verify_checkpoint,
)
from bailiwick.ledger.tree import EMPTY_ROOT
from tests.ledger.samples import LOG, ORIGIN, ROLLED, STRANGER, WITNESS, word

# The example in the C2SP signed-note specification.
SPEC_VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6"
    "TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()

HEAD = Checkpoint(ORIGIN, 7, word("root"))


def refused(call: Callable[[], object]) -> str:
    """Run a call that must raise, and give the code."""
    with pytest.raises(LedgerError) as caught:
        call()
    return caught.value.code


def test_the_specifications_example_verifies() -> None:
    key = parse_vkey(SPEC_VKEY)
    assert key.vkey == SPEC_VKEY
    note, signed = verify(SPEC_NOTE, [key])
    assert note.text == "This is an example message.\n"
    assert signed == (key,)


def test_keys_survive_their_text_forms() -> None:
    for each in (LOG, WITNESS):
        assert parse_vkey(each.key.vkey) == each.key
        again = parse_skey(each.skey)
        assert again.key == each.key
        assert again.skey == each.skey


@pytest.mark.parametrize(("algorithm", "length"), [(2, 32), (6, 1312), (1, 31), (4, 33)])
def test_keys_of_other_algorithms_or_lengths_are_refused(algorithm: int, length: int) -> None:
    well_formed = NoteKey("example.com/foo", algorithm, bytes(length)).vkey
    assert refused(lambda: parse_vkey(well_formed)) == "note_key_invalid"


@pytest.mark.parametrize(
    "text",
    [
        "",
        LOG.key.vkey,
        LOG.skey.removeprefix("PRIVATE+KEY+"),
        LOG.skey.replace("PRIVATE", "PUBLIC", 1),
        LOG.skey.replace(LOG.key.id.hex(), ROLLED.key.id.hex()),
    ],
)
def test_a_private_key_of_another_form_is_refused(text: str) -> None:
    assert refused(lambda: parse_skey(text)) == "note_key_invalid"


def test_a_private_key_shows_itself_nowhere_else() -> None:
    seed = base64.b64encode(word("log key")).decode()[4:-4]
    assert seed not in repr(LOG)
    with pytest.raises(LedgerError) as caught:
        parse_skey(LOG.skey[:-8] + "AAAAAAAA")
    assert LOG.skey[-20:-8] not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+530d903a",
        SPEC_VKEY.replace("530d903a", "530D903A"),
        SPEC_VKEY.replace("530d903a", "530d903b"),
        SPEC_VKEY.replace("example.com/foo", "example.com/fop"),
        SPEC_VKEY.replace("example.com/foo", "example com"),
        SPEC_VKEY.replace("example.com/foo", ""),
        SPEC_VKEY[:-1],
        SPEC_VKEY[:-1] + "l",
        SPEC_VKEY.replace("Aeky", "Auky"),
    ],
)
def test_a_key_changed_anywhere_is_refused(text: str) -> None:
    assert refused(lambda: parse_vkey(text)) in ("note_key_invalid", "base64_not_canonical")


def test_a_note_needs_one_known_signature_and_ignores_the_unknown() -> None:
    text = checkpoint_text(HEAD)
    both = sign(text, [LOG, STRANGER])
    assert verify(both, [LOG.key])[1] == (LOG.key,)
    assert verify(both, [STRANGER.key, LOG.key])[1] == (LOG.key, STRANGER.key)
    assert refused(lambda: verify(both, [ROLLED.key])) == "signature_missing"
    assert refused(lambda: verify(both, [])) == "signature_missing"


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    text = checkpoint_text(HEAD)
    good, other = (
        sign(text, [LOG]),
        sign(checkpoint_text(Checkpoint(ORIGIN, 8, HEAD.root)), [ROLLED]),
    )
    mixed = good + other.splitlines(keepends=True)[-1]
    assert verify(mixed, [LOG.key])[1] == (LOG.key,)
    assert refused(lambda: verify(mixed, [LOG.key, ROLLED.key])) == "signature_invalid"


def test_sixteen_large_signatures_are_accepted_and_a_flood_is_not() -> None:
    line = "\u2014 other.example/w " + base64.b64encode(bytes(5000)).decode() + "\n"
    note = sign(checkpoint_text(HEAD), [LOG])
    assert verify_checkpoint(note + (line * 16).encode(), [LOG.key]) == HEAD
    assert refused(lambda: parse(note + (line * 60).encode())) == "note_malformed"
    short = "\u2014 w AAAAAAA=\n".encode()
    assert parse(note + short * (MAX_SIGNATURES - 1)).text == checkpoint_text(HEAD)
    assert refused(lambda: parse(note + short * MAX_SIGNATURES)) == "note_malformed"


@pytest.mark.parametrize("name", ["", "a b", "a\u00a0b", "a+b", "a\x00b"])
def test_a_key_is_named_without_spaces_or_plus_signs(name: str) -> None:
    assert refused(lambda: signer(name, word("key"))) == "note_key_invalid"
    line = f"\u2014 {name} AAAAAAA=\n".encode()
    code = refused(lambda: parse(sign_checkpoint(HEAD, LOG) + line))
    assert code in ("note_malformed", "base64_not_canonical")


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note[:-1],
        lambda note: note + b"\n",
        lambda note: note.replace(b"\n\n", b"\n"),
        lambda note: note.replace(b"\n\n", b"\n\n\n"),
        lambda note: note.replace("\u2014".encode(), b"-"),
        lambda note: note.replace(b"\n", b"\r\n"),
        lambda note: b"\xff" + note,
        lambda note: b"\t" + note,
        lambda note: note.replace(b" ledger", b"  ledger"),
        lambda note: note.replace(b"=\n", b"\n"),
        lambda note: note.split(b"\n\n")[0] + b"\n\n",
        lambda note: note.split(b"\n\n")[0] + b"\n",
        lambda note: b"",
    ],
)
def test_a_malformed_note_is_refused(change: Callable[[bytes], bytes]) -> None:
    note = change(sign_checkpoint(HEAD, LOG))
    assert refused(lambda: verify_checkpoint(note, [LOG.key])) in (
        "note_malformed",
        "base64_not_canonical",
        "signature_invalid",
    )


ROOT_LINE = base64.b64encode(HEAD.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n7\n{ROOT_LINE}\nextension\n",
        f"{ORIGIN}\n7\n{ROOT_LINE}\n\n",
        f"{ORIGIN}\n7\n{ROOT_LINE}",
        f"{ORIGIN}\n7\n",
        f"\n7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n07\n{ROOT_LINE}\n",
        f"{ORIGIN}\n+7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n-7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n 7\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\u0667\n{ROOT_LINE}\n",
        f"{ORIGIN}\n9223372036854775808\n{ROOT_LINE}\n",
        f"{ORIGIN}\n7\n{ROOT_LINE} \n",
        f"{ORIGIN}\n7\n{ROOT_LINE[:-4]}\n",
        f"{ORIGIN}\n7\n{ROOT_LINE.rstrip('=')}\n",
    ],
)
def test_a_checkpoint_has_three_exact_lines(text: str) -> None:
    assert refused(lambda: parse_checkpoint(text)) in (
        "note_malformed",
        "decimal_invalid",
        "base64_not_canonical",
    )


@pytest.mark.parametrize("size", [0, 1, 256, 2**63 - 1])
def test_a_checkpoint_survives_its_text(size: int) -> None:
    head = Checkpoint(ORIGIN, size, EMPTY_ROOT)
    assert parse_checkpoint(checkpoint_text(head)) == head
    assert verify_checkpoint(sign_checkpoint(head, LOG), [LOG.key]) == head


@pytest.mark.parametrize(
    "head",
    [
        Checkpoint("", 1, EMPTY_ROOT),
        Checkpoint("two\nlines", 1, EMPTY_ROOT),
        Checkpoint(ORIGIN, -1, EMPTY_ROOT),
        Checkpoint(ORIGIN, 2**63, EMPTY_ROOT),
        Checkpoint(ORIGIN, 1, b"short"),
    ],
)
def test_what_cannot_be_a_checkpoint_is_not_signed(head: Checkpoint) -> None:
    assert refused(lambda: checkpoint_text(head)) in ("note_malformed", "decimal_invalid")


def test_only_the_key_with_the_origins_name_speaks_for_the_log() -> None:
    other = signer("other.example", word("other"))
    assert refused(lambda: sign_checkpoint(HEAD, other)) == "note_key_invalid"
    forged = sign(checkpoint_text(HEAD), [other])
    assert refused(lambda: verify_checkpoint(forged, [other.key])) == "signature_missing"


def test_a_log_whose_key_was_rolled_is_verified_with_either_key() -> None:
    for each in (LOG, ROLLED):
        note = sign_checkpoint(HEAD, each)
        assert verify_checkpoint(note, [LOG.key, ROLLED.key]) == HEAD


@pytest.mark.claim("ledger.witness-required-when-named")
def test_a_named_witness_must_have_cosigned_and_its_time_is_signed() -> None:
    bare = sign_checkpoint(HEAD, LOG)
    line = cosign(bare, WITNESS, 1_795_000_000)
    assert verify_checkpoint(bare + line, [LOG.key], [WITNESS.key]) == HEAD
    assert refused(lambda: verify_checkpoint(bare, [LOG.key], [WITNESS.key])) == "witness_missing"
    assert verify_checkpoint(bare + line, [LOG.key]) == HEAD
    prefix, encoded = line.decode().rstrip("\n").rsplit(" ", 1)
    signature = bytearray(base64.b64decode(encoded))
    for at in range(4, len(signature)):
        signature[at] ^= 1
        changed = f"{prefix} {base64.b64encode(signature).decode()}\n".encode()
        signature[at] ^= 1
        note = bare + changed
        code = refused(lambda note=note: verify_checkpoint(note, [LOG.key], [WITNESS.key]))  # type: ignore[misc]
        assert code == "signature_invalid"


def test_a_witness_alone_is_not_the_log() -> None:
    text = checkpoint_text(HEAD)
    namesake = signer(ORIGIN, word("log key"), COSIGNATURE)
    head, tail = sign_checkpoint(HEAD, LOG), cosign(sign_checkpoint(HEAD, LOG), namesake, 1)
    alone = head.split(b"\n\n")[0] + b"\n\n" + tail
    assert refused(lambda: verify_checkpoint(alone, [], [namesake.key])) == "signature_missing"
    assert refused(lambda: verify_checkpoint(alone, [namesake.key])) == "signature_missing"
    assert refused(lambda: sign(text, [namesake])) == "note_key_invalid"
    assert refused(lambda: cosign(head, LOG, 1)) == "note_key_invalid"
    assert refused(lambda: cosign(head, WITNESS, 0)) == "note_key_invalid"
    assert refused(lambda: cosign(sign("no head\n", [LOG]), WITNESS, 1)) == "note_malformed"


def test_notes_are_signed_by_someone_and_end_in_a_newline() -> None:
    assert refused(lambda: sign("text\n", [])) == "note_unsigned"
    assert refused(lambda: sign("text", [LOG])) == "note_malformed"
    assert refused(lambda: sign("te\txt\n", [LOG])) == "note_malformed"


def test_a_signature_made_elsewhere_is_checked_before_it_is_given_out() -> None:
    text = checkpoint_text(HEAD)
    signature = LOG.private.sign(text.encode())
    assert assemble(text, [(LOG.key, signature)]) == sign_checkpoint(HEAD, LOG)
    for key, data in ((ROLLED.key, signature), (LOG.key, signature[:-1]), (LOG.key, bytes(64))):
        pairs = [(key, data)]
        assert refused(lambda pairs=pairs: assemble(text, pairs)) == "signature_invalid"  # type: ignore[misc]


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_a_signing_key_has_32_bytes(seed: bytes) -> None:
    assert refused(lambda: signer(ORIGIN, seed)) == "note_key_invalid"


@pytest.mark.claim("ledger.base64-canonical")
@pytest.mark.parametrize(
    "text",
    ["QR==", "QUJ=", "QQ", "QQ=", "QQ===", " QQ==", "QQ==\n", "Q Q=", "QQ==QQ==", "_-__", "\u0661"],
)
def test_base64_has_one_spelling(text: str) -> None:
    assert decode_base64("QQ==", "value") == b"A"
    assert refused(lambda: decode_base64(text, "value")) == "base64_not_canonical"


@pytest.mark.parametrize(
    "text", ["", "00", "01", "-1", "+1", "1 ", "1\n", "1e3", "\u0661", "9" * 20]
)
def test_decimals_have_one_spelling(text: str) -> None:
    assert decode_decimal("10", "value") == 10
    assert refused(lambda: decode_decimal(text, "value")) == "decimal_invalid"
