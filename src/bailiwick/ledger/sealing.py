"""The vault's cryptography: payloads sealed per run, run keys wrapped by a key kept elsewhere.

A sealed payload is `nonce(12) ‖ AES-256-GCM(salt(32) ‖ JCS)`. Salt and payload lie in one
ciphertext under one run key, so that they are erased together: deleting the wrapped key leaves
commitments that nobody can open. Randomness is an argument everywhere; a nonce is 12 fresh random
bytes and never used twice with one key (2^32 payloads a run are far out of reach).
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bailiwick.errors import LedgerError
from bailiwick.ledger.records import SALT_BYTES, commitment

KEY_BYTES = 32
NONCE_BYTES = 12


class RunKey:
    """A run's data key, ready for use: keep it in a cache, it may be used by several threads.

    It shows neither its bytes nor anything derived from them.
    """

    __slots__ = ("_aead", "_key")

    def __init__(self, key: bytes) -> None:
        """Take 32 random bytes. Raises `LedgerError` (`key_length`) for any other number."""
        self._aead = _aead(key)
        self._key = key

    def wrap(self, kek: bytes, *, tenant: str, run: str, nonce: bytes) -> bytes:
        """Encrypt this key under `kek` (32 bytes) for one run of one tenant, 60 bytes.

        To roll the wrapping key: `unwrap` with the old one, `wrap` with the new one.
        """
        return nonce + _encrypt(_aead(kek), nonce, self._key, _wrapping(tenant, run))

    @classmethod
    def unwrap(cls, keks: Sequence[bytes], wrapped: bytes, *, tenant: str, run: str) -> "RunKey":
        """Decrypt a run's key with that of the wrapping keys which wrapped it.

        Raises `LedgerError` (`run_key_invalid`) when it was none of them, or when the wrapped key
        was changed or belongs to another run or tenant.
        """
        for kek in keks:
            with suppress(InvalidTag):
                return cls(_decrypt(_aead(kek), wrapped, _wrapping(tenant, run)))
        raise LedgerError(
            f"the key of run `{run}` cannot be unwrapped",
            code="run_key_invalid",
            help="restore the vault key that wrapped it; `bailiwick keys list` names the others",
        )

    def seal(self, *, aad: bytes, salt: bytes, nonce: bytes, payload: bytes) -> "Sealed":
        """Encrypt canonical JSON and commit to it, with one salt for both.

        `aad` is where the payload lives (see `place`), `salt` 32 and `nonce` 12 random bytes.
        """
        committed = commitment(salt, payload)
        return Sealed(nonce + _encrypt(self._aead, nonce, salt + payload, aad), committed)

    def open(self, ciphertext: bytes, *, aad: bytes) -> "Opened":
        """Decrypt a sealed payload.

        Raises `LedgerError` (`sealed_invalid`) when it was changed, belongs to another place or
        was sealed under another run's key.
        """
        try:
            plain = _decrypt(self._aead, ciphertext, aad)
        except InvalidTag:
            raise LedgerError(
                "the sealed payload was changed, or belongs to another place or run",
                code="sealed_invalid",
                help="treat the vault's row as damaged; the record's commitment still stands",
            ) from None
        return Opened(plain[:SALT_BYTES], plain[SALT_BYTES:])


class Sealed(NamedTuple):
    """A payload as the vault keeps it, and the commitment that goes into the record (hex)."""

    ciphertext: bytes
    commitment: str


class Opened(NamedTuple):
    """A payload in clear and its salt: together they open the commitment in the record."""

    salt: bytes
    payload: bytes

    @property
    def commitment(self) -> str:
        """The commitment that the record must hold if this is the payload it speaks of."""
        return commitment(self.salt, self.payload)


def place(*parts: str) -> bytes:
    """Name where a payload lives (tenant, run, action, `arguments`, say), as associated data.

    Each part is preceded by its length, so no two lists of parts give the same bytes.
    """
    return b"bailiwick/vault/v1\x00" + b"".join(map(framed, parts))


def framed(part: str) -> bytes:
    """A part of a place: a place with one more part is the place, then this."""
    encoded = part.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _wrapping(tenant: str, run: str) -> bytes:
    return b"bailiwick/run-key/v1\x00" + place(tenant, run)


def _aead(key: bytes) -> AESGCM:
    if len(key) != KEY_BYTES:
        raise LedgerError("an encryption key has 32 bytes", code="key_length")
    return AESGCM(key)


def _encrypt(aead: AESGCM, nonce: bytes, plain: bytes, aad: bytes) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise LedgerError("a nonce has 12 bytes", code="nonce_length")
    return aead.encrypt(nonce, plain, aad)


def _decrypt(aead: AESGCM, sealed: bytes, aad: bytes) -> bytes:
    if len(sealed) < NONCE_BYTES + 16:
        raise InvalidTag
    return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
