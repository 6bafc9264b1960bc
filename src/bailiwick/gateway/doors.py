"""Who speaks to the gateway, as the spine takes him: what is wrong with a credential, it says.

At a door, one address of ours, a bearer shows a capability that was issued for this address, or an
access key, which is exchanged here for one. A capability that is bound to a key is shown with a
proof of it for each request (DPoP, RFC 9449). Over pipes the process has the agent's key and proves
it.
"""

import hashlib
import json
from collections import OrderedDict
from typing import Protocol

from msgspec import Struct

from bailiwick import identity
from bailiwick.errors import IdentityError
from bailiwick.nouns import Caller, Credential, Grant, Outcome
from bailiwick.ports import Bundle, ControlState, World
from bailiwick.wiring import agent_key_file

# A capability is exchanged for a fresh one when less than this is left of it.
_RENEW_US = 60_000_000
_KEPT = 4096
_NOT_COVERED = ("tool_not_granted", "resource_not_granted")


class Shown(Struct, frozen=True, kw_only=True):
    """What a request shows: its credential, by `Bearer` or with a proof by `DPoP`."""

    credential: str = ""
    proof: identity.RequestProof | None = None

    def __repr__(self) -> str:
        return "Shown(…)"

    @property
    def scheme(self) -> str:
        """How it is shown, as the `Authorization` header says it."""
        return "Bearer" if self.proof is None else "DPoP"


class BearerDoor:
    """One address at which agents show bearer tokens (RFC 6750), the audience of their tokens."""

    def __init__(self, world: World, address: str) -> None:
        """`address` is the resource indicator (RFC 8707): what a token must be issued for."""
        self.address = address
        self._world = world
        # By the digest of the access key, so that no secret is kept; with the epoch and the end.
        self._exchanged: OrderedDict[tuple[bytes, str | None], tuple[Credential, int, int]] = (
            OrderedDict()
        )

    async def credential(self, shown: Shown, run: str | None = None) -> Credential:
        """What a request shows, as the spine takes it. Raises `IdentityError` for an access key.

        A capability is not looked at here: the spine does. `run` is the one that a call is in; a
        capability has its own.
        """
        store = self._world.store
        control = await store.control(self._world.settings.tenant)
        return await self._as_credential(shown, run, control, await store.now_us())

    async def _as_credential(
        self, shown: Shown, run: str | None, control: ControlState, now_us: int
    ) -> Credential:
        """An access key is exchanged once, until that ends or the control epoch moves."""
        bearer = shown.credential
        if not identity.is_access_key(bearer):
            proof = "" if shown.proof is None else shown.proof.text
            return Credential(token=bearer, proof=proof, door=self.address)
        world = self._world
        known_as = (hashlib.sha256(bearer.encode()).digest(), run)
        known = self._exchanged.get(known_as)
        if known is not None and known[1] == control.epoch and now_us < known[2]:
            self._exchanged.move_to_end(known_as)
            return known[0]
        bundle = await world.bundle(world.settings.tenant, control.release)
        credential = identity.open_door(
            world,
            control,
            bundle.manifests,
            bearer,
            door=self.address,
            run=run,
            now_us=now_us,
        )
        ends_us = identity.check_credential(
            world, control, credential, now_us
        ).capability.expires_at_us
        self._exchanged[known_as] = credential, control.epoch, ends_us - _RENEW_US
        if len(self._exchanged) > _KEPT:
            self._exchanged.popitem(last=False)
        return credential

    async def admitted(self, shown: Shown) -> "Bearer":
        """Who shows a credential. Raises `IdentityError` if it, or its proof, does not hold."""
        if not shown.credential:
            raise IdentityError(
                "the request has no bearer's credential",
                code="token_missing",
                help="send `Authorization: Bearer …` with an access key or a token",
            )
        world = self._world
        control = await world.store.control(world.settings.tenant)
        now_us = await world.store.now_us()
        credential = await self._as_credential(shown, None, control, now_us)
        caller = identity.check_credential(world, control, credential, now_us)
        if shown.proof is not None:
            await self._proved(shown.proof, caller, now_us)
        return Bearer(self, shown, credential, caller)

    async def _proved(self, proof: identity.RequestProof, caller: Caller, now_us: int) -> None:
        """Take a proof for exactly this request, once."""
        if not caller.capability.key_thumbprint:
            raise IdentityError(
                "the credential is bound to no key, so a proof says nothing of it",
                code="token_unbound",
                help="send it as `Authorization: Bearer …`, or ask for a token with a proof",
            )
        identity.thumbprint_of(proof, now_us)
        await identity.use_proof(self._world, proof)


class Visitor(Protocol):
    """Whoever speaks to the gateway, as the spine takes him."""

    async def credential(self, run: str | None) -> Credential:
        """A credential that holds now, for the run that a call names. Raises `IdentityError`."""

    async def caller(self) -> Caller:
        """Who it is. Raises `IdentityError`."""

    def would_need(self, scope: str) -> None:
        """Hear which scope a call would have been covered by; empty if none would have been."""

    @property
    def principal(self) -> str:
        """Whom what is sealed for it is bound to: the agent and the subject."""


class Bearer:
    """Who shows a credential at a door, with one request."""

    def __init__(
        self, door: BearerDoor, shown: Shown, credential: Credential, caller: Caller
    ) -> None:
        self.who = caller
        self.scheme = shown.scheme
        # The scope to ask for, where the credential did not cover what was asked.
        self.needs = ""
        self._door = door
        self._shown = shown
        self._credential = credential

    async def credential(self, run: str | None) -> Credential:
        """What is shown, as the spine takes it."""
        return self._credential if run is None else await self._door.credential(self._shown, run)

    async def caller(self) -> Caller:
        """Who it is."""
        return self.who

    def would_need(self, scope: str) -> None:
        """Keep it for the answer."""
        self.needs = scope

    @property
    def principal(self) -> str:
        """Its agent and its subject."""
        return json.dumps([self.who.agent, self.who.subject])


class KeyHolder:
    """Who speaks over the pipes of a process that has the agent's key: that key is proved."""

    def __init__(self, world: World, agent: str, subject: str) -> None:
        """Raises `IdentityError` if the project has no key of the agent."""
        self._world = world
        self._agent = agent
        self._subject = subject
        self._key = identity.read_agent_key(agent_key_file(world.settings, agent))
        self._seen = identity.SeenAssertions()
        self._held: dict[str | None, tuple[Credential, int]] = {}

    async def credential(self, run: str | None) -> Credential:
        """A token bound to the agent's key, made anew when the last one is about to end."""
        world = self._world
        now_us = await world.store.now_us()
        held = self._held.get(run)
        if held is not None and now_us < held[1]:
            return held[0]
        control = await world.store.control(world.settings.tenant)
        bundle = await world.bundle(world.settings.tenant, control.release)
        manifest = bundle.manifests.get(self._agent)
        credential = identity.own_credential(
            world,
            control,
            bundle.manifests,
            self._key,
            agent=self._agent,
            seen=self._seen,
            subject=self._subject,
            grants=(Grant(tools=manifest.tools),) if manifest else (),
            run=run,
        )
        ends_us = now_us + world.settings.token_seconds * 1_000_000 - _RENEW_US
        if len(self._held) >= _KEPT:
            self._held.clear()
        self._held[run] = credential, ends_us
        return credential

    @property
    def principal(self) -> str:
        """Its agent and its subject."""
        return json.dumps([self._agent, self._subject])

    def would_need(self, scope: str) -> None:
        """Nothing: its tokens have all that the agent's manifest has."""

    async def caller(self) -> Caller:
        """Who it is."""
        world, credential = self._world, await self.credential(None)
        control = await world.store.control(world.settings.tenant)
        return identity.check_credential(world, control, credential, await world.store.now_us())


def step_up(bundle: Bundle, caller: Caller, tool: str, outcome: Outcome) -> str:
    """The scope to ask for where the credential did not cover a call; empty if none would do.

    A tool that the agent's manifest does not have is had by no token.
    """
    manifest = bundle.manifests.get(caller.agent)
    if outcome.code not in _NOT_COVERED or manifest is None:
        return ""
    return tool if identity.tool_granted(manifest.tools, tool) else ""
