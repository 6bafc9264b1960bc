"""How an agent proves itself to the token endpoint as an OAuth client (RFC 7523, section 2.2).

Its assertion is signed with a registered key, `aud` our issuer or token endpoint, and lives for at
most five minutes. It is used once, in whichever process and after whichever restart: its name is
written down until its time is over, before anything is given for it.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from msgspec import Struct

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.agents import check_account
from bailiwick.identity.jose import (
    ALG,
    MAX_CHARS,
    SECOND,
    Kind,
    decode,
    malformed,
    read_public_jwk,
)
from bailiwick.identity.tokens import check_times
from bailiwick.ports import ControlState, World
from bailiwick.transactions import Blocked, Commit, UseOnce
from bailiwick.values import JSON, canonical, parse

MAX_SECONDS = 300
_JTI = 256
# What RFC 9864 calls Ed25519 many clients still call EdDSA; the key says that it is the same.
_ALGORITHMS = (ALG, "EdDSA")
_HEADER = {"alg", "typ", "kid"}

CLIENT = Kind(
    noun="client assertion",
    typ="JWT",
    key_member="kid",
    malformed="assertion_malformed",
    forged="assertion_forged",
    help="sign a new one with the agent's registered key",
)


class ClientClaims(Struct, frozen=True, kw_only=True):
    """What a client's assertion says; other members are its own business."""

    iss: str
    sub: str
    aud: str | tuple[str, ...]
    jti: str
    exp: int
    iat: int
    nbf: int | None = None


async def check_client(
    world: World,
    control: ControlState,
    assertion: str,
    audiences: Collection[str],
    *,
    now_us: int,
) -> tuple[str, str]:
    """The agent that signed an assertion, and the id of the key that it signed with.

    Raises `IdentityError`: `assertion_malformed`, `assertion_forged`, `assertion_wrong_audience`,
    `assertion_not_yet_valid`, `assertion_expired`, `assertion_replayed`, `agent_unknown`,
    `agent_disabled`, `agent_key_unknown`; `StoreUnavailable` if it cannot be written down.
    """
    claims, key_id = _proved(control, assertion, audiences, now_us)
    named = canonical(["client assertion", claims.sub, claims.jti])
    once = UseOnce(name=hashlib.sha256(named).hexdigest(), until_us=claims.exp * SECOND)
    used = await world.store.commit(Commit(tenant=control.tenant, ops=(once,)))
    if isinstance(used, Blocked):
        raise IdentityError(
            "the assertion was used before", code="assertion_replayed", help=CLIENT.help
        )
    return claims.sub, key_id


def _proved(
    control: ControlState, assertion: str, audiences: Collection[str], now_us: int
) -> tuple[ClientClaims, str]:
    """What an assertion says that holds, and the id of the key that it is signed with."""
    header, claims = _read(assertion)
    standing = control.standings.get(claims.sub)
    keys = standing.keys if standing else {}
    kid = header.get("kid")
    # A client may name its key as it likes; the thumbprint is how we do.
    named = [kid] if isinstance(kid, str) and kid in keys else sorted(keys)
    own = [each for each in named if keys[each].get("kty") == "OKP"]
    key_id = next((each for each in own if _signed(assertion, keys[each])), None)
    if key_id is None:
        raise IdentityError(
            "the assertion is signed by no key that its agent has registered",
            code=CLIENT.forged,
            help="register the agent's key, and sign with it",
        )
    check_account(control, claims.sub, key_id)
    named_for = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    if (
        claims.iss != claims.sub
        or claims.exp - claims.iat > MAX_SECONDS
        or not 0 < len(claims.jti) <= _JTI
    ):
        malformed(CLIENT)
    if len(named_for) != 1 or named_for[0] not in audiences:
        raise IdentityError(
            "the assertion is for another issuer",
            code="assertion_wrong_audience",
            help=f"set `aud` to one of {', '.join(audiences)}",
        )
    check_times("assertion", max(claims.iat, claims.nbf or 0), claims.exp, now_us)
    return claims, key_id


def subjects_of(key: Mapping[str, JSON], agent: str) -> tuple[str, ...]:
    """For whom a registered key may ask for tokens, the first by default: its own agent."""
    named = key.get("subjects", ())
    listed = tuple(map(str, named)) if isinstance(named, (list, tuple)) else ()
    return (f"agent:{agent}", *listed)


def _read(assertion: str) -> tuple[Mapping[str, JSON], ClientClaims]:
    parts = assertion.split(".") if len(assertion) <= MAX_CHARS else []
    if len(parts) != 3:
        malformed(CLIENT)
    try:
        header = parse(decode(parts[0]))
        claims = msgspec.convert(parse(decode(parts[1])), ClientClaims)
    except (ValueError, BadInput, msgspec.ValidationError):
        malformed(CLIENT)
    # `typ` may be absent (RFC 7519, 5.1); members that would change what is signed are refused.
    if not header.keys() <= _HEADER or header.get("alg") not in _ALGORITHMS:
        malformed(CLIENT)
    if str(header.get("typ", "JWT")).lower() not in ("jwt", "client-authentication+jwt"):
        malformed(CLIENT)
    return header, claims


def _signed(assertion: str, jwk: Mapping[str, Any]) -> bool:
    signed, _, signature = assertion.rpartition(".")
    public = read_public_jwk({name: jwk[name] for name in ("kty", "crv", "x")})
    try:
        public.verify(decode(signature), signed.encode("ascii"))
    except (InvalidSignature, ValueError):
        return False
    return True
