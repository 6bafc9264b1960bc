"""The fence: the last look at the control state before each send, the first and every repeat.

A changed epoch is not a stop by itself: a release or another agent's kill raises it too. When it
has changed, the control state is read again, and the send goes on only if nothing in it covers this
action. What cannot be read is taken for a stop.
"""

from bailiwick.errors import StoreError
from bailiwick.nouns import Action, Tool, mode_of
from bailiwick.ports import ControlState, World
from bailiwick.values import shown


class Fence:
    """Says whether a send may begin now; `code` and `reason` say why not."""

    def __init__(
        self, world: World, action: Action, tool: Tool, *, epoch: int | None, deadline_at_us: int
    ) -> None:
        """`epoch` is the one that was judged under; None reads the control state at once."""
        self._world = world
        self._action = action
        self._tool = tool
        self._epoch = epoch
        self._deadline_at_us = deadline_at_us
        self.code = ""
        self.reason = ""

    async def __call__(self) -> bool:
        """True if the deadline has not passed and nothing stands against this action."""
        try:
            if await self._world.store.epoch(self._action.tenant) != self._epoch:
                control = await self._world.store.control(self._action.tenant)
                stop = covering(control, self._action, self._tool)
                if stop is not None:
                    return self._shut("stopped", stop)
                self._epoch = control.epoch
        except StoreError as error:
            return self._shut("control_unreadable", f"the control state is unknown: {error.code}")
        if self._world.now_us() >= self._deadline_at_us:
            return self._shut("deadline_passed", "the action's deadline has passed")
        return True

    def _shut(self, code: str, reason: str) -> bool:
        self.code = code
        self.reason = reason
        return False


def covering(control: ControlState, action: Action, tool: Tool) -> str | None:
    """Say what in the control state forbids a further send of this action; None if nothing does.

    A stop covers an agent and all that it has delegated; one of an unknown scope covers everything.
    A mode that was tightened since forbids as a stop does; draft speaks of what is decided anew.
    The standing of every agent of the delegation must hold as it had to in step 2.
    """
    caller = action.caller
    agents = (action.agent, *caller.actors)
    mode = mode_of(tool.name, agents, settings=control.modes)
    if mode == "shadow" or (mode == "read-only" and tool.effect == "write"):
        return f"the agent is in mode {mode} with `{shown(tool.name)}`"
    targets = {"agent": agents, "tool": (tool.name,), "run": (action.run,)}
    targets["upstream"] = (tool.upstream,) if tool.upstream else ()
    for stop in control.stops:
        if stop.scope == "ledger" and tool.effect == "read":
            continue
        # A stop of scope `everything` or `tenant` is kept with the very tenant that it covers.
        if stop.scope not in targets or stop.target in targets[stop.scope]:
            return f"a stop on {stop.scope} `{shown(stop.target)}` stands"
    if not control.revoked.isdisjoint(caller.key_ids):
        return "the caller's key, token or delegation was revoked"
    for agent in agents:
        standing = control.standings.get(agent)
        if standing is None or not standing.enabled:
            return f"the agent `{shown(agent)}` is not enabled"
        if standing.keys.keys().isdisjoint(caller.key_ids):
            return f"the key of the agent `{shown(agent)}` is no longer registered"
    return None
