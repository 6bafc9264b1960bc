"""The agents' accounts: which keys an agent may prove, and the key file of an agent of the project.

A key's id is its RFC 7638 thumbprint: the same in the account, in `cnf.jkt` and in a revocation.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick.errors import BadInput, IdentityError
from bailiwick.identity.jose import (
    key_thumbprint,
    private_jwk,
    public_jwk,
    read_private_jwk,
    read_public_jwk,
)
from bailiwick.identity.keyring import Random
from bailiwick.identity.private_files import read_private, write_private
from bailiwick.nouns import Standing
from bailiwick.ports import ControlState
from bailiwick.values import JSON, identifier, parse, shown

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def register_agent(
    name: str,
    jwk: Mapping[str, JSON],
    standing: Standing | None = None,
    *,
    now_us: int | None = None,
    subjects: Sequence[str] = (),
) -> Standing:
    """The account of an agent with this public key, added to the keys of `standing` if given.

    `standing` is the account as it is; without one a new, enabled account is made. `now_us` is
    kept as the time of a key that is new. `subjects` are those that its holder may speak for at the
    token endpoint, beside the agent itself. Raises `BadInput` for one that is no name, and
    `IdentityError`: `agent_name_invalid`, `key_malformed`.
    """
    if not NAME.fullmatch(name) or (standing is not None and standing.agent != name):
        raise IdentityError(
            f"`{shown(name)}` cannot be the name of this agent",
            code="agent_name_invalid",
            help="use up to 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit",
        )
    read_public_jwk(jwk)
    kid = key_thumbprint(jwk)
    key: dict[str, JSON] = {member: jwk[member] for member in ("kty", "crv", "x")}
    if subjects:
        key["subjects"] = [identifier(each, "the subject") for each in subjects]
    since_us = dict(standing.since_us) if standing else {}
    if now_us is not None:
        since_us.setdefault(kid, now_us)
    return Standing(
        agent=name,
        since_us=since_us,
        enabled=standing.enabled if standing else True,
        keys={**(standing.keys if standing else {}), kid: {**key, "kid": kid}},
    )


def create_agent_key(path: Path, random: Random) -> dict[str, JSON]:
    """Make a key for an agent of the project, write it to a 0600 file, give the public JWK.

    A key that is there is not replaced: raises `IdentityError` `agent_key_exists`.
    """
    if path.exists():
        raise IdentityError(
            f"there is a key at `{path}` already",
            code="agent_key_exists",
            help="use it, or name another file",
        )
    key = Ed25519PrivateKey.from_private_bytes(random(32))
    jwk = public_jwk(key)
    write_private(path, msgspec.json.encode(private_jwk(key, str(jwk["kid"]))))
    return jwk


def read_agent_key(path: Path) -> Ed25519PrivateKey:
    """Read an agent's private key. Raises `IdentityError` `agent_key_<what is wrong>`."""
    content = read_private(path, "agent_key")
    try:
        return read_private_jwk(parse(content))
    except (BadInput, IdentityError):
        raise IdentityError(
            f"the agent key at `{path}` is damaged",
            code="agent_key_malformed",
            help="restore it, or make a new one and register it",
        ) from None


def check_account(control: ControlState, agent: str, key_id: str) -> Mapping[str, JSON]:
    """The registered key of an agent that may act now.

    Raises `IdentityError`: `agent_unknown`, `agent_disabled`, `agent_key_unknown` (not registered
    to this agent, or revoked).
    """
    standing = control.standings.get(agent)
    if standing is None:
        raise IdentityError(
            f"there is no agent `{shown(agent)}`",
            code="agent_unknown",
            help="register the agent, or correct the name",
        )
    if not standing.enabled:
        raise IdentityError(
            f"the agent `{shown(agent)}` is disabled",
            code="agent_disabled",
            help="ask an administrator to enable it",
        )
    if key_id not in standing.keys or key_id in control.revoked:
        raise IdentityError(
            f"the key is not registered to the agent `{shown(agent)}`, or was revoked",
            code="agent_key_unknown",
            help="register the agent's key",
        )
    return standing.keys[key_id]
