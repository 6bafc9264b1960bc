"""Proof that the holder of a token holds its key: DPoP (RFC 9449) for actions.

`htm` is `ACT` and `htu` the audience, for a proposal has no method or address of its own; `ath`
ties the proof to one token, `nonce` to one process. A proof lives as long as its token: it is
checked once and remembered with it.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from bailiwick.errors import IdentityError
from bailiwick.identity.jose import (
    CLOCK_SKEW_S,
    SECOND,
    Kind,
    encode,
    key_thumbprint,
    malformed,
    public_jwk,
    read_claims,
    read_header,
    sign_statement,
)
from bailiwick.identity.keyring import Random
from bailiwick.identity.tokens import audience
from bailiwick.nouns import Caller
from bailiwick.values import JSON

METHOD = "ACT"

PROOF = Kind(
    noun="proof",
    typ="dpop+jwt",
    key_member="jwk",
    malformed="proof_invalid",
    forged="proof_invalid",
    help="make a new proof with the token's key and this process's challenge",
)


class ProofClaims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a proof says (RFC 9449, section 4.2). `ath` is base64url of the token's SHA-256."""

    jti: str
    htm: str
    htu: str
    iat: int
    ath: str
    nonce: str


def make_proof(
    key: Ed25519PrivateKey, token: str, *, tenant: str, nonce: str, now_us: int, random: Random
) -> str:
    """Prove possession of the token's key to the process whose challenge is `nonce`."""
    claims: dict[str, JSON] = {
        "jti": encode(random(16)),
        "htm": METHOD,
        "htu": audience(tenant),
        "iat": now_us // SECOND,
        "ath": _token_hash(token),
        "nonce": nonce,
    }
    jwk = {name: value for name, value in public_jwk(key).items() if name != "kid"}
    return sign_statement(PROOF, jwk, claims, key)


def check_proof(proof: str, token: str, caller: Caller, nonce: str, now_us: int) -> None:
    """Check a proof against the token it comes with, whose caller was read.

    Raises `IdentityError` `proof_missing` or `proof_invalid`.
    """
    if not proof:
        raise IdentityError(
            "the token comes without a proof of its key", code="proof_missing", help=PROOF.help
        )
    jwk = read_header(PROOF, proof)["jwk"]
    if not isinstance(jwk, dict):
        malformed(PROOF)
    try:
        claims = read_claims(PROOF, proof, jwk, ProofClaims)
    except IdentityError as error:
        raise _invalid(error.message) from None
    earliest_us = caller.capability.issued_at_us - CLOCK_SKEW_S * SECOND
    latest_us = now_us + CLOCK_SKEW_S * SECOND
    if key_thumbprint(jwk) != caller.capability.key_thumbprint:
        raise _invalid("the proof is by another key than the token's")
    if claims.ath != _token_hash(token):
        raise _invalid("the proof is for another token")
    if claims.nonce != nonce:
        raise _invalid("the proof answers another challenge")
    if (claims.htm, claims.htu) != (METHOD, audience(caller.tenant)):
        raise _invalid("the proof is for another use")
    if not earliest_us <= claims.iat * SECOND <= latest_us:
        raise _invalid("the proof is older than the token or from the future")


def _token_hash(token: str) -> str:
    return encode(hashlib.sha256(token.encode()).digest())


def _invalid(reason: str) -> IdentityError:
    return IdentityError(reason, code="proof_invalid", help=PROOF.help)
