"""Capability tokens: JWTs that say who acts for whom, on what, until when, and with which key.

    typ at+jwt (RFC 9068)       act (RFC 8693)                  cnf.jkt (RFC 7800, RFC 9449)
    sub, run, jti, iat, exp     authorization_details (RFC 9396), type `bailiwick_tool`
    aud                         this tenant; or the one door of a bearer's token (RFC 8707)
    parents, keys               the token ids and the keys that a narrowed token stands on

In `authorization_details`, `actions` are tool patterns, `locations` resource patterns, and `limits`
the caps with their budget nodes: the grant's own and all its ancestors'. Times on the wire are
whole seconds; a token lives `token_seconds` of the settings, at most ten minutes. Only a token for
one door may be without `cnf`: few clients of the field's protocols can prove a key. Where one has
it, the key is the client's own (`dpop`), and vouches for no agent.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.agents import check_account
from bailiwick.identity.grants import check_grants, check_within, with_nodes
from bailiwick.identity.jose import (
    CLOCK_SKEW_S,
    MAX_CHARS,
    SECOND,
    Kind,
    encode,
    malformed,
    read_claims,
    read_header,
    sign_statement,
)
from bailiwick.nouns import Caller, Cap, Capability, Credential, Grant, Manifest
from bailiwick.ports import ControlState, Keys, World
from bailiwick.values import JSON, identifier, shown

# As a proposal may name it, and as a record may hold it.
_RUN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/+*#-]{0,127}").fullmatch

MAX_TOKEN_SECONDS = 600
MAX_PARENTS = 8

TOKEN = Kind(
    noun="token",
    typ="at+jwt",
    key_member="kid",
    malformed="token_malformed",
    forged="token_forged",
    help="ask for a new token with the agent's key",
)


class Actor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The `act` claim: who acts, and in `act` for whom they were asked to (RFC 8693, 4.1)."""

    sub: str
    iss: str
    sub_profile: Literal["ai_agent"]
    act: "Actor | None" = None


class Confirmation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `cnf` claim: the thumbprint of the key that the holder must prove (RFC 9449, 6.1)."""

    jkt: str


class Detail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `authorization_details`: a grant on the wire (RFC 9396, section 2)."""

    type: Literal["bailiwick_tool"]
    actions: tuple[str, ...]
    locations: tuple[str, ...]
    limits: tuple[Cap, ...] = ()


class TokenClaims(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a token says. A member that this version does not know might restrict: it refuses."""

    iss: str
    aud: str
    sub: str
    act: Actor
    jti: str
    iat: int
    exp: int
    run: str
    authorization_details: tuple[Detail, ...]
    cnf: Confirmation | None = None
    parents: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def audience(tenant: str) -> str:
    """The issuer and audience of everything signed in a tenant."""
    return f"bailiwick:{tenant}"


def issue(
    world: World,
    control: ControlState,
    manifest: Manifest,
    *,
    key_id: str,
    subject: str,
    grants: Sequence[Grant],
    run: str | None,
    now_us: int,
    door: str = "",
    ends_s: int | None = None,
    holder: str = "",
) -> str:
    """Issue a token to the manifest's agent, bound to the registered key `key_id`.

    With a `door` it is bound to `holder`, the thumbprint of a key of the client's own, or to
    nothing: whoever bears it may use it there. It ends with the registered key, too: when that is
    revoked, and at `ends_s`. The caller vouches for `subject`. Grants
    may be narrower than the manifest, never wider; the nodes of their caps are set here. Without a
    run the token's own id is the run; a grant with limits needs a named one. Raises
    `IdentityError`: `agent_unknown`, `agent_disabled`, `agent_key_unknown`, `grant_malformed`,
    `grant_too_wide`, `run_missing`, `name_invalid`.
    """
    check_account(control, manifest.name, key_id)
    check_grants(grants)
    check_within(manifest.tools, grants, manifest.name)
    if run is None and any(grant.caps for grant in grants):
        raise IdentityError(
            "a grant with limits needs a named run",
            code="run_missing",
            help="name the run: without one the limits would begin anew with each token",
        )
    token_id = new_token_id(world)
    run = _run(run) if run is not None else token_id
    owner: JSON = [control.tenant, manifest.name, _name(subject, "the subject"), run]
    now_s = now_us // SECOND
    latest_s = now_s + min(world.settings.token_seconds, MAX_TOKEN_SECONDS)
    issuer = audience(control.tenant)
    claims = TokenClaims(
        iss=issuer,
        aud=door or issuer,
        sub=subject,
        act=Actor(sub=manifest.name, iss=issuer, sub_profile="ai_agent"),
        cnf=Confirmation(jkt=bound_to) if (bound_to := holder if door else key_id) else None,
        keys=(key_id,) if door else (),
        jti=token_id,
        iat=now_s,
        exp=latest_s if ends_s is None else min(latest_s, ends_s),
        run=run,
        authorization_details=details(with_nodes(grants, owner)),
    )
    return sign_token(world.keys, claims)


def new_token_id(world: World) -> str:
    """A `jti`: 128 random bits. It may stand for a run, so it begins as a name does."""
    return f"t{encode(world.random(16))}"


def details(grants: Sequence[Grant]) -> tuple[Detail, ...]:
    """Grants as they stand in a token."""
    return tuple(
        Detail(
            type="bailiwick_tool",
            actions=grant.tools,
            locations=grant.resources,
            limits=grant.caps,
        )
        for grant in grants
    )


def sign_token(keys: Keys, claims: TokenClaims) -> str:
    """Sign claims with the current token key. Raises `IdentityError` `token_too_large`."""
    kid, key = keys.sign_token()
    assert isinstance(key, Ed25519PrivateKey)
    token = sign_statement(TOKEN, kid, msgspec.to_builtins(claims), key)
    if len(token) > MAX_CHARS:
        raise IdentityError(
            f"the token would be longer than {MAX_CHARS} characters",
            code="token_too_large",
            help="ask for fewer tools, resources and limits, or use `prefix.*`",
        )
    return token


def read_token(keys: Keys, tenant: str, credential: Credential, now_us: int) -> Caller:
    """Who a token names, once signature, issuer, audience and times hold.

    Raises `IdentityError`: `token_malformed`, `token_forged`, `token_unknown_key`,
    `token_wrong_audience`, `token_not_yet_valid`, `token_expired`.
    """
    token, door = credential.token, credential.door
    kid = read_header(TOKEN, token)["kid"]
    if not isinstance(kid, str):
        malformed(TOKEN)
    jwk = keys.verify_token(kid)
    if jwk is None:
        raise IdentityError(
            "the token names a key that is not ours", code="token_unknown_key", help=TOKEN.help
        )
    claims = read_claims(TOKEN, token, jwk, TokenClaims)
    issuer = audience(tenant)
    if (claims.iss, claims.aud) != (issuer, door or issuer) or not (claims.cnf or door):
        raise IdentityError(
            "the token was issued for another tenant or another door",
            code="token_wrong_audience",
            help="use the token of the tenant and the address that are asked",
        )
    check_times("token", claims.iat, claims.exp, now_us)
    return _caller(tenant, kid, claims)


def check_times(noun: str, issued_s: int, expires_s: int, now_us: int) -> None:
    """Check the times of a statement. Raises `<noun>_not_yet_valid` or `<noun>_expired`.

    A clock may be five seconds behind the issuer's; nothing is valid after its end.
    """
    if now_us < (issued_s - CLOCK_SKEW_S) * SECOND:
        raise IdentityError(
            f"the {noun} is from the future",
            code=f"{noun}_not_yet_valid",
            help="compare the clocks of the two machines",
        )
    if now_us >= expires_s * SECOND:
        raise IdentityError(
            f"the {noun} has expired", code=f"{noun}_expired", help="ask for a new one"
        )


def _caller(tenant: str, kid: str, claims: TokenClaims) -> Caller:
    bound_to = () if claims.cnf is None else (claims.cnf.jkt,)
    # At a door the key that is proved is registered for nobody: the agent's stands in `keys`.
    vouching = () if claims.keys and not claims.parents else bound_to
    actors = []
    actor: Actor | None = claims.act
    while actor is not None:
        actors.append(actor.sub)
        actor = actor.act
    if len(claims.parents) > MAX_PARENTS or len(actors) > len(claims.parents) + 1:
        malformed(TOKEN)
    return Caller(
        tenant=tenant,
        agent=actors[0],
        subject=claims.sub,
        actors=tuple(actors[1:]),
        key_ids=tuple(dict.fromkeys((kid, claims.jti, *vouching, *claims.parents, *claims.keys))),
        capability=Capability(
            id=claims.jti,
            run=claims.run,
            grants=tuple(
                Grant(tools=entry.actions, resources=entry.locations, caps=entry.limits)
                for entry in claims.authorization_details
            ),
            issued_at_us=claims.iat * SECOND,
            expires_at_us=claims.exp * SECOND,
            key_thumbprint="".join(bound_to),
            parents=claims.parents,
        ),
    )


def _run(text: str) -> str:
    if not _RUN(text):
        raise IdentityError(
            f"the run `{shown(text)}` is not a name",
            code="name_invalid",
            help="use at most 128 letters, digits and `_ . : / + * # -`; records hold it in clear",
        )
    return text


def _name(text: str, what: str) -> str:
    try:
        return identifier(text, what)
    except BadInput as error:
        raise IdentityError(error.message, code="name_invalid", help=error.help) from None
