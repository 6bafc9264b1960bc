"""The noes of the spine that no organ owns: a name that leads nowhere, a key that was used."""

from bailiwick import identity
from bailiwick.nouns import Action, Caller, Proposal, Refusal
from bailiwick.ports import Bundle
from bailiwick.values import did_you_mean, shown

_MAX_NAMED = 20

CANCELLED = Refusal(
    step=7,
    code="cancelled",
    message="the agent took it back before people had decided",
    help="propose it again if it is wanted after all",
)


def unclassified(bundle: Bundle, asked: Proposal, caller: Caller) -> Refusal:
    """The tool, or the agent, is not in the active release."""
    manifest = bundle.manifests.get(caller.agent)
    if manifest is not None:
        # Of other agents' tools it is told nothing.
        own = [
            name for name in bundle.catalogue.tools if identity.tool_granted(manifest.tools, name)
        ]
        said = f"its tools are {', '.join(sorted(own)[:_MAX_NAMED])}" if own else ""
        return Refusal(
            step=4,
            code="tool_unknown",
            message=f"there is no tool `{shown(asked.tool)}` in the active release",
            help=did_you_mean(asked.tool, own, said or "it has no tool in this release"),
        )
    return Refusal(
        step=2,
        code="agent_unknown",
        message=f"the active release has no manifest of agent `{shown(caller.agent)}`",
        help="add agents/*.yaml and activate a release",
    )


def no_action(id: str) -> Refusal:
    """Nothing has that id that the asker may know of."""
    return Refusal(
        step=2,
        code="action_unknown",
        message=f"there is no action `{shown(id)}`",
        help="an agent gives the id of its own outcome, for the same subject; people list them"
        " with `bailiwick actions list`",
    )


def not_parked(action: Action, how: str) -> Refusal:
    """It cannot be taken back by who asked for it."""
    return Refusal(
        step=7,
        code="not_parked",
        message=f"action `{action.id}` {how}; only what waits for people can be cancelled",
        help="ask for its outcome",
        details={"action": action.id, "state": action.state},
    )


def no_way_back(asked: Proposal) -> Refusal:
    """It is not what its action's tool names to undo it."""
    return Refusal(
        step=4,
        code="not_its_reverser",
        message=f"`{shown(asked.tool)}` does not undo action `{shown(asked.undoes or '')}`",
        help="see what would with `bailiwick undo --plan`",
    )


def conflict(earlier: Action) -> Refusal:
    """The key names another call."""
    return Refusal(
        step=2,
        code="key_conflict",
        message="the key was used before with another tool or other arguments",
        help="send the same arguments, or another key",
        details={"action": earlier.id},
    )


def lost(action: Action) -> Refusal:
    """What it was to be done with is erased."""
    return Refusal(
        step=4,
        code="payload_missing",
        message=f"the arguments of action `{action.id}` are gone from the vault",
        help="propose the action again",
    )


def gone(action: Action) -> Refusal:
    """It cannot be judged by the active release any more."""
    return Refusal(
        step=4,
        code="tool_unknown",
        message=f"tool `{action.tool}` or agent `{action.agent}` left the active release",
        help="propose the action again under the new release",
    )
