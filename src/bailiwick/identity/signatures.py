"""Plain Ed25519 signatures (RFC 8032) over bytes that somebody else puts together."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bailiwick.identity.jose import decode, encode


def sign(key: Ed25519PrivateKey, message: bytes) -> str:
    """Sign a message; the 64 bytes of the signature as base64url."""
    return encode(key.sign(message))


def verify(public_key: str, message: bytes, signature: str) -> bool:
    """Whether a signature holds. `public_key` is base64url of 32 bytes; malformed ones do not."""
    try:
        key = Ed25519PublicKey.from_public_bytes(decode(public_key))
        key.verify(decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
