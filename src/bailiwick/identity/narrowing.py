"""Handing on: a token for a child, with less than the parent has and never more (RFC 8693).

A child draws on every budget node of its ancestors: however many children a parent makes, together
they spend what the parent may spend.
"""

from collections.abc import Mapping, Sequence

from bailiwick.errors import IdentityError
from bailiwick.identity.agents import check_account
from bailiwick.identity.authentication import check_credential
from bailiwick.identity.grants import check_grants, check_within, narrowed
from bailiwick.identity.jose import SECOND, key_thumbprint, read_public_jwk
from bailiwick.identity.tokens import (
    MAX_PARENTS,
    MAX_TOKEN_SECONDS,
    Actor,
    Confirmation,
    TokenClaims,
    audience,
    details,
    new_token_id,
    sign_token,
)
from bailiwick.nouns import Caller, Credential, Grant, Manifest
from bailiwick.ports import ControlState, World
from bailiwick.values import JSON, shown


def narrow(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    parent: Credential,
    key: Mapping[str, JSON],
    *,
    grants: Sequence[Grant],
    now_us: int,
    agent: str | None = None,
    seconds: int = MAX_TOKEN_SECONDS,
) -> str:
    """A token for whoever holds the public JWK `key`, narrower than the parent's in every way.

    Each grant lies within one of the parent's and may have limits of its own, at most the
    parent's; the token ends after `seconds`, with the parent's at the latest. For another `agent`
    the key must be registered to it, its manifest must hold the tools, and it joins the `act`
    chain, once. Raises `IdentityError`: what the parent's credential fails on, `grant_too_wide`,
    `grant_malformed`, `delegation_too_deep`, `delegation_circular`, `agent_unknown`,
    `agent_disabled`, `agent_key_unknown`, `key_malformed`.
    """
    giver = check_credential(world, control, parent, now_us)
    read_public_jwk(key)
    key_id = key_thumbprint(key)
    check_grants(grants)
    if len(giver.capability.parents) >= MAX_PARENTS:
        raise IdentityError(
            f"the token was handed on {MAX_PARENTS} times already",
            code="delegation_too_deep",
            help="ask an agent nearer to the first one",
        )
    receiver = giver.agent if agent is None else agent
    chain = (giver.agent, *giver.actors)
    if receiver != giver.agent:
        _check_receiver(control, manifests, receiver, key_id, grants)
        if receiver in chain:
            raise IdentityError(
                f"the agent `{shown(receiver)}` is in the delegation already",
                code="delegation_circular",
                help="hand on to an agent that is not in the chain",
            )
        chain = (receiver, *chain)
    now_s = now_us // SECOND
    ends_s = min(
        now_s + min(seconds, world.settings.token_seconds, MAX_TOKEN_SECONDS),
        giver.capability.expires_at_us // SECOND,
    )
    claims = _child(
        giver, chain, key_id, grants, token_id=new_token_id(world), times_s=(now_s, ends_s)
    )
    return sign_token(world.keys, claims)


def _check_receiver(
    control: ControlState,
    manifests: Mapping[str, Manifest],
    receiver: str,
    key_id: str,
    grants: Sequence[Grant],
) -> None:
    check_account(control, receiver, key_id)
    manifest = manifests.get(receiver)
    check_within(manifest.tools if manifest else (), grants, receiver)


def _child(
    giver: Caller,
    chain: Sequence[str],
    key_id: str,
    grants: Sequence[Grant],
    *,
    token_id: str,
    times_s: tuple[int, int],
) -> TokenClaims:
    held = giver.capability
    parents = (held.id, *held.parents)
    issuer = audience(giver.tenant)
    # The depth keeps a child's nodes apart from its ancestors', the key from its siblings'.
    owner: JSON = [giver.tenant, chain[0], giver.subject, held.run, key_id, len(parents)]
    act: Actor | None = None
    for name in reversed(chain):
        act = Actor(sub=name, iss=issuer, sub_profile="ai_agent", act=act)
    assert act is not None
    return TokenClaims(
        iss=issuer,
        aud=issuer,
        sub=giver.subject,
        act=act,
        cnf=Confirmation(jkt=key_id),
        jti=token_id,
        iat=times_s[0],
        exp=times_s[1],
        run=held.run,
        authorization_details=details(narrowed(held.grants, grants, owner)),
        parents=parents,
        keys=tuple(id for id in giver.key_ids if id not in parents),
    )
