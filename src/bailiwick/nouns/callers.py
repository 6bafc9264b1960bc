"""Who asks, and by what right: capabilities, accounts of people, standing of agents."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from bailiwick.nouns.budgets import Cap
from bailiwick.values import JSON

# How the id of a run begins that nobody named, and that is a trace's.
TRACE = "trace:"

Role = Literal["viewer", "operator", "approver", "auditor", "admin", "responder"]


class Grant(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of `authorization_details` (RFC 9396): which tools, on which resources.

    `tools` are exact names or `prefix.*`; `resources` are `Type:id`, `Type:*` or `*`. `caps` are
    this grant's own and all its ancestors', so a child can never multiply its parent.
    """

    tools: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    caps: tuple[Cap, ...] = ()


class Capability(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A short-lived right to act; it may only be narrowed.

    It is bound to its holder's key; without a thumbprint it is a bearer's, for one door alone.
    """

    id: str
    run: str
    grants: tuple[Grant, ...]
    issued_at_us: int
    expires_at_us: int
    key_thumbprint: str
    parents: tuple[str, ...] = ()


class Caller(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who proposes: the tenant, the agent, on whose behalf, and by what right.

    `actors` is the delegation chain, nearest first (RFC 8693 `act`). `key_ids` are the keys and
    token ids whose revocation ends this caller's standing.
    """

    tenant: str
    agent: str
    subject: str
    capability: Capability
    actors: tuple[str, ...] = ()
    key_ids: tuple[str, ...] = ()


class Credential(Struct, frozen=True, kw_only=True):
    """What a caller shows: a capability token and the proof that its key is held.

    `door` is the address at which it is shown (the resource of RFC 8707); empty: this process.
    """

    token: str
    proof: str
    door: str = ""

    def __repr__(self) -> str:
        return "Credential(…)"


class Person(Struct, frozen=True, kw_only=True):
    """A human account. `queues` are the approval queues the person answers for."""

    tenant: str
    name: str
    roles: tuple[Role, ...]
    queues: tuple[str, ...]
    public_key: str
    enabled: bool = True


class Standing(Struct, frozen=True, kw_only=True):
    """What an agent's account says now: whether it may act and with which keys (JWK, by kid).

    `since_us` says when each key was registered, where that is known.
    """

    agent: str
    enabled: bool
    keys: Mapping[str, Mapping[str, JSON]]
    since_us: Mapping[str, int] = {}
