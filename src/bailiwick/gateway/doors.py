"""A door: one address of ours, and what is shown at it becomes a credential for the spine.

A bearer shows a capability that was issued for this address, or an access key, which is exchanged
here for one. What is wrong with it, identity says.
"""

from collections import OrderedDict

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from bailiwick import identity
from bailiwick.errors import IdentityError
from bailiwick.nouns import Caller, Credential, Outcome
from bailiwick.ports import Bundle, World
from bailiwick.values import digest

# A capability is exchanged for a fresh one when less than this is left of it.
_RENEW_US = 60_000_000
_KEPT = 4096
_NOT_COVERED = ("tool_not_granted", "resource_not_granted")


class BearerDoor:
    """One address at which agents show bearer tokens (RFC 6750), the audience of their tokens."""

    def __init__(self, world: World, address: str) -> None:
        """`address` is the resource indicator (RFC 8707): what a token must be issued for."""
        self.address = address
        self._world = world
        # By the digest of the access key, so that no secret is kept; with the epoch and the end.
        self._exchanged: OrderedDict[tuple[str, str | None], tuple[Credential, int, int]] = (
            OrderedDict()
        )

    async def credential(self, bearer: str, run: str | None = None) -> Credential:
        """What a bearer shows, as the spine takes it. Raises `IdentityError` for an access key.

        A capability is not looked at here: the spine does. `run` is the one that a call names.
        """
        if not identity.is_access_key(bearer):
            return Credential(token=bearer, proof="", door=self.address)
        world = self._world
        tenant, now_us = world.settings.tenant, await world.store.now_us()
        control = await world.store.control(tenant)
        known_as = (digest(bearer), run)
        known = self._exchanged.get(known_as)
        if known is not None and known[1] == control.epoch and now_us < known[2]:
            self._exchanged.move_to_end(known_as)
            return known[0]
        bundle = await world.bundle(tenant, control.release)
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

    async def caller(self, bearer: str) -> Caller:
        """Who a bearer is. Raises `IdentityError` for a credential that does not hold."""
        world = self._world
        if not bearer:
            raise IdentityError(
                "the request has no bearer's credential",
                code="token_missing",
                help="send `Authorization: Bearer …` with an access key or a token",
            )
        credential = await self.credential(bearer)
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


def principal(caller: Caller) -> AuthenticatedUser:
    """Who a session of the older revision belongs to: it answers to nobody else."""
    return AuthenticatedUser(
        AccessToken(token="", client_id=caller.agent, scopes=[], subject=caller.subject)
    )
