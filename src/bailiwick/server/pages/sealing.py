"""The session's cookie, which any replica can open, so that the server keeps nothing.

It holds the signed statement and the opened signing key, sealed (AES-256-GCM) under a key that is
derived from the project's keyring. Whoever steals it can do what a stolen session file can, until
the session's end or its revocation.
"""

import hashlib
import hmac
from collections.abc import Callable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bailiwick.identity import LogIn
from bailiwick.identity.jose import decode, encode
from bailiwick.ports import Keys

_NONCE = 12


class Seal:
    """Seals sessions into cookies, and makes the tokens that a session's forms carry."""

    def __init__(self, keys: Keys, tenant: str, random: Callable[[int], bytes]) -> None:
        root = keys.secret_key("equality")
        self._sealing = hmac.digest(root, b"bailiwick pages: session cookie", "sha256")
        self._forms = hmac.digest(root, b"bailiwick pages: form token", "sha256")
        self._bound = b"bailiwick session " + tenant.encode()
        self._random = random
        # Cookies know no ports: two projects on one host must not end each other's sessions.
        self.name = "bailiwick-" + hashlib.sha256(self._sealing + self._bound).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"Seal({self.name})"

    def closed(self, login: LogIn) -> str:
        """The cookie's value for a session."""
        held = {"s": login.statement, "k": encode(login.key.private_bytes_raw())}
        nonce = self._random(_NONCE)
        sealed = AESGCM(self._sealing).encrypt(nonce, msgspec.json.encode(held), self._bound)
        return encode(nonce + sealed)

    def opened(self, cookie: str) -> LogIn | None:
        """The session of a cookie's value; None if it is none of ours."""
        try:
            sealed = decode(cookie)
            clear = AESGCM(self._sealing).decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound)
            held = msgspec.json.decode(clear, type=dict[str, str])
            key = Ed25519PrivateKey.from_private_bytes(decode(held["k"]))
            return LogIn(held["s"], key)
        except (InvalidTag, ValueError, KeyError, msgspec.DecodeError):
            return None

    def form_token(self, login: LogIn) -> str:
        """What a form of this session carries, which no other site can know."""
        return encode(hmac.digest(self._forms, login.statement.encode(), "sha256"))

    def is_form_token(self, login: LogIn, given: str) -> bool:
        """Whether a form was one of this session's."""
        return hmac.compare_digest(self.form_token(login).encode(), given.encode())
