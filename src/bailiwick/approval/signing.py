"""A person's Ed25519 signature (RFC 8032) over a statement, as text and back."""

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bailiwick.nouns import Person


def signature(key: Ed25519PrivateKey, statement: bytes) -> str:
    """Give the signature, 64 bytes as base64url without padding (RFC 7515 §2)."""
    return _text(key.sign(statement))


def is_signed(person: Person, signature: str, statement: bytes) -> bool:
    """Say whether a signature over a statement is the person's own."""
    key, given = _bytes(person.public_key, 32), _bytes(signature, 64)
    if key is None or given is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(given, statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str, length: int) -> bytes | None:
    """Decode base64url in its one canonical form, or None."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and _text(raw) == text else None
