"""Signed notes and checkpoints: C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature.

A checkpoint is a note of three lines (origin, size, root) that the log signs with Ed25519 (type
0x01) and a witness cosigns with a time (type 0x04). Signatures of unknown keys are ignored, as
the format demands; one bad signature of a known key spoils the note.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bailiwick.errors import LedgerError
from bailiwick.ledger.tree import HASH_BYTES, MAX_SIZE

ED25519 = 0x01
COSIGNATURE = 0x04

MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 64

_DASH = "\u2014 "
_SECRET = "PRIVATE+KEY"  # noqa: S105 - a prefix of the format, not a secret
_ALGORITHMS = frozenset({ED25519, COSIGNATURE})
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII).fullmatch
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key that may sign notes: its name, its algorithm (0x01 or 0x04), 32 bytes."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes by which signatures name this key."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return sha256(named).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as text: `name+hex(id)+base64(algorithm ‖ public)`."""
        return f"{self.name}+{self.id.hex()}+{base64_text(bytes([self.algorithm]) + self.public)}"


@dataclass(frozen=True, slots=True)
class NoteSigner:
    """A private key that signs notes, and its public half. Never shown by `repr`."""

    key: NoteKey
    private: Ed25519PrivateKey = field(repr=False, compare=False)

    @property
    def skey(self) -> str:
        """The private key as text, for its file: whoever reads it can sign as the log."""
        name, algorithm = self.key.name, bytes([self.key.algorithm])
        seed = self.private.private_bytes_raw()
        return f"{_SECRET}+{name}+{self.key.id.hex()}+{base64_text(algorithm + seed)}"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note: the key's name and id, and the bytes after the id."""

    name: str
    key_id: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note as parsed. Its text means nothing before `verify` has returned."""

    text: str
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: the log's origin, the number of records, the root over them."""

    origin: str
    size: int
    root: bytes


def signer(name: str, seed: bytes, algorithm: int = ED25519) -> NoteSigner:
    """Make the signer of a name from its 32 secret bytes (RFC 8032 private key)."""
    _check_name(name)
    if len(seed) != 32 or algorithm not in _ALGORITHMS:
        raise LedgerError("the signing key is not an Ed25519 key", code="note_key_invalid")
    private = Ed25519PrivateKey.from_private_bytes(seed)
    return NoteSigner(NoteKey(name, algorithm, private.public_key().public_bytes_raw()), private)


def parse_vkey(text: str) -> NoteKey:
    """Read a public key from its text form. Raises `LedgerError` (`note_key_invalid`)."""
    name, key_id, encoded = _three(text)
    key = NoteKey(name, *_key_material(encoded))
    if key.id.hex() != key_id:
        _bad_key("its id does not fit its bytes")
    return key


def parse_skey(text: str) -> NoteSigner:
    """Read a private key from its text form; no message repeats any part of it."""
    if not text.startswith(_SECRET + "+"):
        _bad_key(f"a private key begins with `{_SECRET}+`")
    name, key_id, encoded = _three(text[len(_SECRET) + 1 :])
    algorithm, seed = _key_material(encoded)
    result = signer(name, seed, algorithm)
    if result.key.id.hex() != key_id:
        _bad_key("its id does not fit its bytes")
    return result


def sign(text: str, signers: Iterable[NoteSigner]) -> bytes:
    """Sign a text that ends in a newline with Ed25519 keys (type 0x01); give the note's bytes."""
    return assemble(text, [(each.key, each.private.sign(text.encode())) for each in signers])


def assemble(text: str, signatures: Sequence[tuple[NoteKey, bytes]]) -> bytes:
    """Make a note from Ed25519 signatures that were made elsewhere over the text's UTF-8 bytes.

    Each signature is checked first: a note that nobody can verify is never given out.
    """
    _check_text(text)
    if not signatures:
        raise LedgerError("a note needs a signature", code="note_unsigned")
    lines = []
    for key, signature in signatures:
        if key.algorithm != ED25519:
            raise LedgerError("a cosigning key cannot sign a note", code="note_key_invalid")
        _check_signature(key, text, signature)
        lines.append(_signature_line(key, signature))
    return f"{text}\n{''.join(lines)}".encode()


def cosign(data: bytes, witness: NoteSigner, time_s: int) -> bytes:
    """Give a witness's signature line (type 0x04) over a checkpoint, to be appended to it.

    `time_s` is in seconds since the epoch. The caller must have verified the checkpoint's
    signature and that it extends the last one cosigned: this function only signs.
    """
    if witness.key.algorithm != COSIGNATURE or not 0 < time_s <= MAX_SIZE:
        raise LedgerError("only a cosigning key may cosign", code="note_key_invalid")
    text = parse(data).text
    parse_checkpoint(text)
    signed = witness.private.sign(_cosigned(text, time_s))
    return _signature_line(witness.key, time_s.to_bytes(8, "big") + signed).encode()


def parse(data: bytes) -> Note:
    """Take a signed note apart, strictly. Raises `LedgerError` (`note_malformed`)."""
    if len(data) > MAX_NOTE_BYTES:
        _malformed(f"it is larger than {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        _malformed("it is not UTF-8")
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        _malformed("it has no blank line before its signatures, or no newline at its end")
    text += "\n"
    _check_text(text)
    signatures = tuple(map(_parse_signature, lines[:-1].split("\n")))
    if len(signatures) > MAX_SIGNATURES:
        _malformed(f"it has more than {MAX_SIGNATURES} signatures")
    return Note(text, signatures)


def verify(data: bytes, keys: Sequence[NoteKey]) -> tuple[Note, tuple[NoteKey, ...]]:
    """Give the note and those of `keys` that signed it; at least one has.

    Raises `LedgerError`: `signature_invalid` if any signature of a known key is bad,
    `signature_missing` if no known key signed.
    """
    known = {(key.name, key.id): key for key in keys}
    note = parse(data)
    signed: dict[NoteKey, None] = {}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is not None:
            _check_signature(key, note.text, signature.data)
            signed[key] = None
    if not signed:
        raise LedgerError(
            "no known key signed the note",
            code="signature_missing",
            help="check that the key given is the one of this log",
        )
    return note, tuple(signed)


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Give the three lines that are signed. Raises `LedgerError` for what cannot be one."""
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{base64_text(checkpoint.root)}\n"
    if parse_checkpoint(text) != checkpoint:
        _malformed("its origin is empty or of several lines")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint: exactly three lines, as this log writes them.

    The format allows extension lines; this log never writes any, so one that appears is refused.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        _malformed("a checkpoint of this log has exactly three lines")
    origin, size, root = lines[:3]
    if not origin:
        _malformed("the origin is empty")
    digest = decode_base64(root, "root")
    if len(digest) != HASH_BYTES:
        _malformed("the root is not 32 bytes")
    return Checkpoint(origin, decode_decimal(size, "tree size"), digest)


def sign_checkpoint(checkpoint: Checkpoint, log: NoteSigner) -> bytes:
    """Sign a tree head as the log whose key has the origin's name."""
    if log.key.name != checkpoint.origin or log.key.algorithm != ED25519:
        raise LedgerError(
            "the log's key must be an Ed25519 key that has the origin as its name",
            code="note_key_invalid",
        )
    return sign(checkpoint_text(checkpoint), [log])


def verify_checkpoint(
    data: bytes, log_keys: Sequence[NoteKey], witnesses: Sequence[NoteKey] = ()
) -> Checkpoint:
    """Give the tree head if one of the log's keys signed it, and every one of `witnesses`.

    Several keys of the log are accepted so that a roll of its key can overlap. The origin must
    be the name of the key that signed. Raises `LedgerError`.
    """
    note, signed = verify(data, [*log_keys, *witnesses])
    checkpoint = parse_checkpoint(note.text)
    if not any(
        key in log_keys and key.name == checkpoint.origin and key.algorithm == ED25519
        for key in signed
    ):
        raise LedgerError("the log itself did not sign the checkpoint", code="signature_missing")
    missing = [key.name for key in witnesses if key not in signed]
    if missing:
        raise LedgerError(
            f"the witness `{missing[0]}` did not sign the checkpoint", code="witness_missing"
        )
    return checkpoint


def decode_base64(text: str, what: str) -> bytes:
    """Decode standard base64 in its one canonical form, else raise `LedgerError`.

    Python's decoder accepts `QR==` for `QQ==`; a changed character must not go unseen.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        data = b""
    if base64_text(data) != text:
        raise LedgerError(f"the {what} is not canonical base64", code="base64_not_canonical")
    return data


def decode_decimal(text: str, what: str) -> int:
    """Decode an ASCII decimal without sign or leading zeros, at most 2^63 - 1."""
    if not _DECIMAL(text) or int(text) > MAX_SIZE:
        raise LedgerError(f"the {what} is not a plain decimal number", code="decimal_invalid")
    return int(text)


def base64_text(data: bytes) -> str:
    """Encode as standard base64, the one form that `decode_base64` accepts."""
    return base64.b64encode(data).decode("ascii")


def _three(text: str) -> tuple[str, str, str]:
    parts = text.split("+", 2)
    if len(parts) != 3 or not _KEY_ID(parts[1]):
        _bad_key("it is not of the form `name+id+base64`")
    _check_name(parts[0])
    return parts[0], parts[1], parts[2]


def _key_material(encoded: str) -> tuple[int, bytes]:
    material = decode_base64(encoded, "key")
    if len(material) != 33 or material[0] not in _ALGORITHMS:
        _bad_key("it is not an Ed25519 key (type 0x01, or 0x04 for a witness)")
    return material[0], material[1:]


def _check_name(name: str) -> None:
    if not _names_key(name):
        _bad_key("its name is empty or has spaces or a plus sign")


def _names_key(name: str) -> bool:
    return bool(name) and not any(char.isspace() or char < " " or char == "+" for char in name)


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        _malformed("its text does not end in a newline")
    if any(char < " " and char != "\n" for char in text):
        _malformed("it has control characters")


def _parse_signature(line: str) -> NoteSignature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        _malformed("a signature line is not of the form `\u2014 name base64`")
    if not _names_key(name):
        _malformed("the name in a signature line is empty or has spaces or a plus sign")
    data = decode_base64(encoded, "signature")
    if len(data) < 5:
        _malformed("a signature is too short")
    return NoteSignature(name, data[:4], data[4:])


def _signature_line(key: NoteKey, signature: bytes) -> str:
    return f"{_DASH}{key.name} {base64_text(key.id + signature)}\n"


def _cosigned(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def _check_signature(key: NoteKey, text: str, data: bytes) -> None:
    message, signature = text.encode(), data
    if key.algorithm == COSIGNATURE:
        time_s, signature = int.from_bytes(data[:8], "big"), data[8:]
        message = _cosigned(text, time_s)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except InvalidSignature:
        raise LedgerError(
            f"the signature of `{key.name}` does not fit the note",
            code="signature_invalid",
            help="the note or its signature was changed; do not trust any part of it",
        ) from None


def _malformed(why: str) -> NoReturn:
    raise LedgerError(f"the note is malformed: {why}", code="note_malformed")


def _bad_key(why: str) -> NoReturn:
    raise LedgerError(f"the key is malformed: {why}", code="note_key_invalid")
