"""How an agent obtains a token: an assertion signed with its registered key (RFC 7523, section 3).

The assertion answers this process's challenge (`nonce`), so it is worth nothing elsewhere or after
a restart; that is why remembering the used ones in this process's memory is enough.
"""

from collections.abc import Mapping, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from bailiwick.errors import IdentityError
from bailiwick.identity.agents import check_account
from bailiwick.identity.jose import (
    SECOND,
    Kind,
    encode,
    malformed,
    public_jwk,
    read_claims,
    read_header,
    sign_statement,
)
from bailiwick.identity.keyring import Random
from bailiwick.identity.proofs import make_proof
from bailiwick.identity.tokens import audience, check_times, issue
from bailiwick.nouns import Credential, Grant, Manifest
from bailiwick.ports import ControlState, World
from bailiwick.values import JSON, shown

MAX_SECONDS = 60

ASSERTION = Kind(
    noun="assertion",
    typ="client-authentication+jwt",
    key_member="kid",
    malformed="assertion_malformed",
    forged="assertion_forged",
    help="sign a new assertion with the agent's registered key",
)


class AssertionClaims(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an assertion says. `iss` and `sub` are the agent's name, `nonce` our challenge."""

    iss: str
    sub: str
    aud: str
    jti: str
    iat: int
    exp: int
    nonce: str


class SeenAssertions:
    """The assertions used within their life; bounded. When it is full, none is taken."""

    def __init__(self, limit: int = 10_000) -> None:
        """Start empty. `limit` is the number of assertions kept."""
        self._ends: dict[tuple[str, str, str], int] = {}
        self._limit = limit

    def use(self, tenant: str, agent: str, jti: str, ends_s: int, now_us: int) -> None:
        """Take an assertion, once. Raises `assertion_replayed` or `assertions_full`."""
        used = (tenant, agent, jti)
        if used in self._ends:
            raise IdentityError(
                "the assertion was used before", code="assertion_replayed", help=ASSERTION.help
            )
        if len(self._ends) >= self._limit:
            self._ends = {id: end for id, end in self._ends.items() if end > now_us}
        if len(self._ends) >= self._limit:
            raise IdentityError(
                "too many assertions were used within a minute",
                code="assertions_full",
                help="wait a minute, and keep a token for as long as it lives",
            )
        self._ends[used] = ends_s * SECOND


def make_assertion(
    key: Ed25519PrivateKey, agent: str, *, tenant: str, nonce: str, now_us: int, random: Random
) -> str:
    """Sign an assertion of an agent's identity for the process whose challenge is `nonce`."""
    now_s = now_us // SECOND
    claims: dict[str, JSON] = {
        "iss": agent,
        "sub": agent,
        "aud": audience(tenant),
        "jti": encode(random(16)),
        "iat": now_s,
        "exp": now_s + MAX_SECONDS,
        "nonce": nonce,
    }
    return sign_statement(ASSERTION, public_jwk(key)["kid"], claims, key)


def exchange(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    assertion: str,
    seen: SeenAssertions,
    *,
    subject: str,
    grants: Sequence[Grant],
    run: str | None,
    now_us: int,
) -> str:
    """Exchange an agent's assertion for a token bound to the key that signed it.

    The assertion says who the agent is and nothing else: who calls this vouches for `subject`.
    Raises `IdentityError`: `assertion_malformed`, `assertion_forged`, `assertion_not_yet_valid`,
    `assertion_expired`, `assertion_wrong_audience`, `assertion_replayed`, `assertions_full`,
    `agent_key_unknown`, and what `issue` raises.
    """
    agent, key_id = prover(world, control, assertion, seen, now_us=now_us)
    manifest = manifests.get(agent)
    if manifest is None:
        raise IdentityError(
            f"the agent `{shown(agent)}` has no manifest in the active release",
            code="agent_unknown",
            help="release a manifest for it",
        )
    return issue(
        world,
        control,
        manifest,
        key_id=key_id,
        subject=subject,
        grants=grants,
        run=run,
        now_us=now_us,
    )


def own_credential(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    key: Ed25519PrivateKey,
    *,
    agent: str,
    seen: SeenAssertions,
    subject: str,
    grants: Sequence[Grant],
    run: str | None,
) -> Credential:
    """A token and its proof for an agent whose key this process has. Raises as `exchange` does."""
    tenant, nonce, now_us = control.tenant, world.tokens.nonce, world.now_us()
    token = exchange(
        world,
        control,
        manifests,
        make_assertion(key, agent, tenant=tenant, nonce=nonce, now_us=now_us, random=world.random),
        seen,
        subject=subject,
        grants=grants,
        run=run,
        now_us=now_us,
    )
    proof = make_proof(key, token, tenant=tenant, nonce=nonce, now_us=now_us, random=world.random)
    return Credential(token=token, proof=proof)


def prover(
    world: World, control: ControlState, assertion: str, seen: SeenAssertions, *, now_us: int
) -> tuple[str, str]:
    """The agent that signed an assertion and the id of the key it signed with.

    Raises what `exchange` raises of the assertion itself.
    """
    key_id = read_header(ASSERTION, assertion)["kid"]
    if not isinstance(key_id, str):
        malformed(ASSERTION)
    owners = [account for account in control.standings.values() if key_id in account.keys]
    if not owners:
        raise IdentityError(
            "the assertion names a key that no agent has registered",
            code="agent_key_unknown",
            help="register the agent's key",
        )
    registered = owners[0].keys[key_id]
    jwk = {name: value for name, value in registered.items() if name != "subjects"}
    claims = read_claims(ASSERTION, assertion, jwk, AssertionClaims)
    if claims.iss != claims.sub or claims.exp - claims.iat > MAX_SECONDS:
        malformed(ASSERTION)
    if (claims.aud, claims.nonce) != (audience(control.tenant), world.tokens.nonce):
        raise IdentityError(
            "the assertion is for another tenant or process",
            code="assertion_wrong_audience",
            help="answer the challenge of the process that is asked",
        )
    check_times("assertion", claims.iat, claims.exp, now_us)
    check_account(control, claims.sub, key_id)
    seen.use(control.tenant, claims.sub, claims.jti, claims.exp, now_us)
    return claims.sub, key_id
