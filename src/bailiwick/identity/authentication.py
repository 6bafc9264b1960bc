"""Step 2: who proposes, by what right, and whether that right still stands.

A token and its proof are checked whole once; the answer is remembered for as long as the control
epoch stays what it was and the token lives. What depends on the proposal is looked at every time.
"""

from collections import OrderedDict
from collections.abc import Mapping

from bailiwick.errors import IdentityError
from bailiwick.identity.dpop import check_holder
from bailiwick.identity.grants import tool_granted
from bailiwick.identity.jose import encode
from bailiwick.identity.keyring import Random
from bailiwick.identity.proofs import check_proof
from bailiwick.identity.tokens import read_token
from bailiwick.nouns import Caller, Credential, Manifest, Proposal, Refusal, Resource
from bailiwick.ports import ControlState, World
from bailiwick.values import shown

STEP = 2
_MAX_NAMED = 20


class VerifiedTokens:
    """The tokens that this process has checked, the latest used; keeps `ports.TokenCache`.

    It belongs to one event loop. It never shows what it holds.
    """

    def __init__(self, random: Random, limit: int = 4096) -> None:
        """Start empty, with a new challenge. `limit` is the number of tokens kept."""
        self._callers: OrderedDict[tuple[str, str, str], tuple[Caller, int]] = OrderedDict()
        self._limit = limit
        self._nonce = encode(random(16))

    def __repr__(self) -> str:
        return f"VerifiedTokens({len(self._callers)} of {self._limit})"

    @property
    def nonce(self) -> str:
        """This process's challenge, which a proof must hold."""
        return self._nonce

    def get(self, credential: Credential) -> tuple[Caller, int] | None:
        """The caller and the epoch under which the token was checked."""
        shown_as = (credential.token, credential.proof, credential.door)
        known = self._callers.get(shown_as)
        if known is not None:
            self._callers.move_to_end(shown_as)
        return known

    def put(self, credential: Credential, caller: Caller, epoch: int) -> None:
        """Remember a checked token; the one not used for longest goes when there are too many."""
        shown_as = (credential.token, credential.proof, credential.door)
        self._callers[shown_as] = (caller, epoch)
        self._callers.move_to_end(shown_as)
        if len(self._callers) > self._limit:
            self._callers.popitem(last=False)


def authenticate(
    world: World,
    control: ControlState,
    manifests: Mapping[str, Manifest],
    proposal: Proposal,
    now_us: int,
) -> Caller | Refusal:
    """Settle who proposes: the whole check of the credential, then that it fits the proposal.

    Codes of a refusal: token_malformed, token_forged, token_unknown_key, token_wrong_audience,
    token_not_yet_valid, token_expired, proof_missing, proof_invalid, token_revoked, agent_unknown,
    agent_disabled, tool_not_granted, run_mismatch.
    """
    try:
        caller = check_credential(world, control, proposal.credential, now_us)
    except IdentityError as error:
        return _refusal(error)
    if proposal.tenant != caller.tenant:
        return Refusal(
            step=STEP,
            code="token_wrong_audience",
            message="the token was issued for another tenant",
            help="use the token of the tenant that is asked",
        )
    refusal = _uncovered(manifests, caller, proposal.tool)
    if refusal is not None:
        return refusal
    if proposal.run is not None and proposal.run != caller.capability.run:
        return Refusal(
            step=STEP,
            code="run_mismatch",
            message=f"the token belongs to another run than `{shown(proposal.run)}`",
            help="leave out the run, or ask for a token of that run",
        )
    return caller


def standing(
    control: ControlState,
    manifests: Mapping[str, Manifest],
    caller: Caller,
    tool: str | None = None,
) -> Refusal | None:
    """Whether a caller who was authenticated once may still act; expiry is not looked at.

    With a `tool`, that tool must still be in the manifests; without one, every tool that was
    granted. Codes: token_revoked, agent_unknown, agent_disabled, tool_not_granted.
    """
    try:
        check_standing(control, caller)
    except IdentityError as error:
        return _refusal(error)
    granted = dict.fromkeys(name for grant in caller.capability.grants for name in grant.tools)
    for name in (tool,) if tool is not None else granted:
        refusal = _uncovered(manifests, caller, name)
        if refusal is not None:
            return refusal
    return None


def not_granted(tool: str, resource: Resource) -> Refusal:
    """The no to a tool on a resource that no grant covers. Code `resource_not_granted`."""
    touched = shown(f"{resource.type}:{resource.id}")
    return Refusal(
        step=STEP,
        code="resource_not_granted",
        message=f"no grant of the token covers `{shown(tool)}` on `{touched}`",
        help="ask for a token that covers the resource",
    )


def check_credential(
    world: World, control: ControlState, credential: Credential, now_us: int
) -> Caller:
    """Who holds a credential, checked whole or remembered. Raises `IdentityError`.

    What is remembered holds only for the tenant and the epoch it was checked under.
    """
    known = world.tokens.get(credential)
    if known is not None:
        caller, epoch = known
        if (
            epoch == control.epoch
            and caller.tenant == control.tenant
            and now_us < caller.capability.expires_at_us
        ):
            return caller
    caller = read_token(world.keys, control.tenant, credential, now_us)
    if caller.capability.key_thumbprint and credential.door:
        check_holder(credential.proof, credential.token, caller, credential.door)
    elif caller.capability.key_thumbprint:
        check_proof(credential.proof, credential.token, caller, world.tokens.nonce, now_us)
    check_standing(control, caller)
    world.tokens.put(credential, caller, control.epoch)
    return caller


def check_standing(control: ControlState, caller: Caller) -> None:
    """Check that nothing the caller stands on was taken away, for every agent of the delegation.

    Each agent must be enabled and have a key of the chain registered. Raises `IdentityError`:
    `agent_unknown`, `agent_disabled`, `token_revoked`.
    """
    if not control.revoked.isdisjoint(caller.key_ids):
        raise IdentityError(
            "the token, a key or a delegation that it stands on was revoked",
            code="token_revoked",
            help="ask the agent's owner; a new token needs a key in good standing",
        )
    for agent in (caller.agent, *caller.actors):
        account = control.standings.get(agent)
        if account is None:
            raise IdentityError(
                f"there is no agent `{shown(agent)}`",
                code="agent_unknown",
                help="register the agent",
            )
        if not account.enabled:
            raise IdentityError(
                f"the agent `{shown(agent)}` is disabled",
                code="agent_disabled",
                help="ask an administrator to enable it",
            )
        if account.keys.keys().isdisjoint(caller.key_ids):
            raise IdentityError(
                f"the key of the agent `{shown(agent)}` is no longer registered",
                code="token_revoked",
                help="ask for a new token with a registered key",
            )


def _uncovered(manifests: Mapping[str, Manifest], caller: Caller, tool: str) -> Refusal | None:
    """Why a tool is not the caller's to use: no grant, or no longer in a manifest of the chain."""
    for grant in caller.capability.grants:
        if tool_granted(grant.tools, tool):
            break
    else:
        covered = dict.fromkeys(each for grant in caller.capability.grants for each in grant.tools)
        return _tool_not_granted(
            f"no grant of the token covers the tool `{shown(tool)}`",
            f"it covers {', '.join(list(covered)[:_MAX_NAMED]) or 'none'}; ",
        )
    for agent in (caller.agent, *caller.actors):
        manifest = manifests.get(agent)
        if manifest is None:
            return Refusal(
                step=STEP,
                code="agent_unknown",
                message=f"the agent `{shown(agent)}` has no manifest in the active release",
                help="release a manifest for it",
            )
        if not tool_granted(manifest.tools, tool):
            return _tool_not_granted(
                f"the tool `{shown(tool)}` is not in the manifest of `{shown(agent)}`"
            )
    return None


def _refusal(error: IdentityError) -> Refusal:
    return Refusal(step=STEP, code=error.code, message=error.message, help=error.help)


def _tool_not_granted(message: str, covered: str = "") -> Refusal:
    return Refusal(
        step=STEP,
        code="tool_not_granted",
        message=message,
        help=f"{covered}ask for a token that covers the tool, if the manifest allows it",
    )
