"""Proof of the token's key with each request at a door: DPoP as HTTP has it (RFC 9449).

A proof names the request (`htm`, `htu`), the token (`ath`) and itself (`jti`). It is fresh for a
minute and counts once, in whichever process and after whichever restart: its name is written down
until its time is over. The key is the client's own, and vouches for nobody: who it is and what it
may, the token says. There is no nonce of the server's: a proof that is made ahead is worth nothing
after a minute.
"""

import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.jose import (
    ALG,
    CLOCK_SKEW_S,
    MAX_CHARS,
    SECOND,
    decode,
    encode,
    key_thumbprint,
    read_public_jwk,
)
from bailiwick.nouns import Caller
from bailiwick.ports import World
from bailiwick.transactions import Blocked, Commit, UseOnce
from bailiwick.values import canonical, parse

# What RFC 9864 calls Ed25519 many clients still call EdDSA; the key says that it is the same.
ALGORITHMS = (ALG, "EdDSA")
_FRESH_S = 60
_JTI = 256
_HELP = "make a new proof for each request: with the token's key, `htm`, `htu`, `iat`, `jti`, `ath`"


class RequestProof(Struct, frozen=True, kw_only=True):
    """The proof that came with a request, and the request as we know it.

    `address` is the request's own, under our public name and without its query.
    """

    text: str
    method: str
    address: str

    def __repr__(self) -> str:
        return f"RequestProof({self.method} {self.address})"


class DpopClaims(Struct, frozen=True, kw_only=True):
    """What a proof says (RFC 9449, section 4.2); other members are the client's own business."""

    jti: str
    htm: str
    htu: str
    iat: int
    ath: str = ""


def check_holder(proof: str, token: str, caller: Caller, door: str) -> None:
    """Check that who shows a token at a door has its key. Which request it is for, the door checks.

    Raises `IdentityError`: `proof_missing`, `proof_invalid`.
    """
    if not proof:
        raise IdentityError(
            "the token is bound to a key, and comes without a proof of it",
            code="proof_missing",
            help="send `Authorization: DPoP …` and a `DPoP` header (RFC 9449)",
        )
    claims, thumbprint = _read(proof)
    if thumbprint != caller.capability.key_thumbprint:
        raise _invalid("the proof is by another key than the token's")
    if claims.ath != _hash(token):
        raise _invalid("the proof is for another token")
    asked, ours = _plain(claims.htu), _plain(door)
    if asked[:2] != ours[:2] or not f"{asked[2]}/".startswith(f"{ours[2]}/"):
        raise _invalid("the proof is for another address")


def thumbprint_of(proof: RequestProof, now_us: int) -> str:
    """The key that made a proof for exactly this request, now. Raises `proof_invalid`."""
    claims, thumbprint = _read(proof.text)
    if claims.htm != proof.method:
        raise _invalid("the proof is for another method")
    if _plain(claims.htu) != _plain(proof.address):
        raise _invalid("the proof is for another address")
    now_s = now_us // SECOND
    if not now_s - _FRESH_S <= claims.iat <= now_s + CLOCK_SKEW_S:
        raise _invalid("the proof is older than a minute, or from the future")
    return thumbprint


async def use_proof(world: World, proof: RequestProof) -> None:
    """Write down that a checked proof was used, once.

    Raises `IdentityError` `proof_replayed`; `StoreUnavailable` if it cannot be written down.
    """
    claims, thumbprint = _read(proof.text)
    named = canonical(["dpop", thumbprint, claims.jti])
    until_us = (claims.iat + _FRESH_S + CLOCK_SKEW_S) * SECOND
    once = UseOnce(name=hashlib.sha256(named).hexdigest(), until_us=until_us)
    used = await world.store.commit(Commit(tenant=world.settings.tenant, ops=(once,)))
    if isinstance(used, Blocked):
        raise IdentityError("the proof was used before", code="proof_replayed", help=_HELP)


def _read(proof: str) -> tuple[DpopClaims, str]:
    """What a proof says, and the thumbprint of the key that signed it."""
    parts = proof.split(".") if len(proof) <= MAX_CHARS else []
    if len(parts) != 3:
        raise _invalid("there is not one proof that can be read")
    try:
        header: dict[str, Any] = parse(decode(parts[0]))
        claims = msgspec.convert(parse(decode(parts[1])), DpopClaims)
        jwk = header.get("jwk")
        # A member that would change what is signed, or a private key, is refused.
        if header.keys() != {"typ", "alg", "jwk"} or not isinstance(jwk, dict):
            raise ValueError("header")
        if header["typ"] != "dpop+jwt" or header["alg"] not in ALGORITHMS:
            raise ValueError("kind")
        if not 0 < len(claims.jti) <= _JTI:
            raise ValueError("name")
        public = read_public_jwk({name: each for name, each in jwk.items() if name != "alg"})
        public.verify(decode(parts[2]), f"{parts[0]}.{parts[1]}".encode("ascii"))
    except (ValueError, BadInput, msgspec.ValidationError, IdentityError):
        raise _invalid(f"the proof is not a `dpop+jwt` of an Ed25519 key ({ALG}, EdDSA)") from None
    except InvalidSignature:
        raise _invalid("the signature of the proof does not hold") from None
    return claims, key_thumbprint(jwk)


def _plain(address: str) -> tuple[str, str, str]:
    """An address without query and fragment, and in one spelling (RFC 3986, 6.2.2.1)."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise _invalid("the proof's address cannot be read") from None
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    host = parts.hostname or ""
    return parts.scheme, host if port in (None, usual) else f"{host}:{port}", parts.path


def _hash(token: str) -> str:
    return encode(hashlib.sha256(token.encode()).digest())


def _invalid(reason: str) -> IdentityError:
    return IdentityError(reason, code="proof_invalid", help=_HELP)
