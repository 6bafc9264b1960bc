"""Bailiwick in a Python program: open a project, act for an agent, keep house meanwhile.

    async with Bailiwick.open("my-project") as bailiwick:
        desk = await bailiwick.session("refund-desk", subject="support")
        outcome = await desk.act("payments.refund", {"charge": "ch_1", "amount_minor": 4200})

A library guards the model's choices, not the host's code: whoever runs in this process can reach
what it can reach. SECURITY.md says where the boundary is.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import cases, identity, ledger
from bailiwick.act import act
from bailiwick.cancelling import cancel
from bailiwick.config import Settings, load_settings
from bailiwick.errors import BailiwickError, IdentityError
from bailiwick.housekeeping import Tick, begin, tick
from bailiwick.nouns import Credential, Grant, OfferedTool, Outcome
from bailiwick.nouns.reversals import Reversal
from bailiwick.ports import World
from bailiwick.values import JSON, did_you_mean, shown
from bailiwick.wiring import agent_key_file, on_demand, open_world

# A token is exchanged for a fresh one when less than this is left of it.
_RENEW_US = 60_000_000
_MAX_NAMED = 20
_OF_AGENTS = ("challenge", "actions cancel")


class Session:
    """One agent acting on somebody's behalf, in one run. Its token is renewed as it goes."""

    def __init__(
        self,
        world: World,
        agent: str,
        key: Ed25519PrivateKey,
        *,
        subject: str,
        run: str,
        grants: Sequence[Grant],
        models: Mapping[str, str],
        seen: identity.SeenAssertions,
    ) -> None:
        self.agent = agent
        self.run = run
        # The models that the release names for the agent's roles. Nothing here calls one.
        self.models = dict(models)
        self._world = world
        self._key = key
        self._subject = subject
        self._grants = grants
        self._seen = seen
        self._credential: Credential | None = None
        self._expires_at_us = 0

    async def act(
        self,
        tool: str,
        arguments: bytes | str | Mapping[str, object],
        *,
        key: str | None = None,
        reason: str = "",
        sources: Sequence[str] = (),
        uncertainty: str = "",
    ) -> Outcome:
        """Propose an action and give its outcome; parked or running is a wait, not an end.

        `key` is the caller's idempotency key: the same key always gives the same action's answer.
        Raises `BadInput` for what cannot become a proposal, `StoreUnavailable` when nothing could
        be written.
        """
        proposal = cases.propose(
            tool,
            arguments,
            await self.credential(),
            tenant=self._world.settings.tenant,
            key=key,
            reason=reason,
            sources=tuple(sources),
            uncertainty=uncertainty,
            max_bytes=self._world.settings.max_argument_bytes,
        )
        return await act(self._world, proposal)

    async def tools(self) -> Sequence[OfferedTool]:
        """The tools that a model may be told of: those of the active release that its grants cover.

        They stand in the order of their names. An agent that left the release has none.
        """
        tenant = self._world.settings.tenant
        control = await self._world.store.control(tenant)
        bundle = await self._world.bundle(tenant, control.release)
        manifest = bundle.manifests.get(self.agent)
        granted = [pattern for grant in self._grants for pattern in grant.tools]
        return [
            OfferedTool(
                name=name,
                wire_name=tool.wire_name,
                description=tool.description,
                effect=tool.effect,
                schema=tool.schema,
            )
            for name, tool in sorted(bundle.catalogue.tools.items())
            if manifest is not None
            and identity.tool_granted(manifest.tools, name)
            and identity.tool_granted(granted, name)
        ]

    async def cancel(self, action: str) -> Outcome:
        """Take back a parked action of this agent and subject, in whichever run it was proposed.

        Its outcome is then `refused` with the code `cancelled`; its name and its effect key are
        free. What is not parked, or is another's, is refused and stays as it is. Raises
        `IdentityError` when the agent may not act any more, `StoreUnavailable`.
        """
        world, credential = self._world, await self.credential()
        control = await world.store.control(world.settings.tenant)
        caller = identity.check_credential(world, control, credential, world.now_us())
        return await cancel(
            world, action, agent=caller.agent, subject=caller.subject, within=caller
        )

    async def credential(self) -> Credential:
        """The session's token and proof, renewed when they are about to expire."""
        world = self._world
        # The clock that it will be judged by.
        now_us = await world.store.now_us()
        if self._credential is not None and now_us < self._expires_at_us - _RENEW_US:
            return self._credential
        tenant = world.settings.tenant
        control = await world.store.control(tenant)
        bundle = await world.bundle(tenant, control.release)
        self._credential = identity.own_credential(
            world,
            control,
            bundle.manifests,
            self._key,
            agent=self.agent,
            seen=self._seen,
            subject=self._subject,
            grants=self._grants,
            run=self.run,
        )
        self._expires_at_us = now_us + world.settings.token_seconds * 1_000_000
        return self._credential


class Bailiwick:
    """An open project; of an SQLite file this process is the owner until it is closed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._seen = identity.SeenAssertions()
        self._nudge = asyncio.Event()
        self._busy: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, project: str | Path | Settings, **doors: Any) -> "AsyncIterator[Bailiwick]":
        """Open a project's folder, keep house and answer commands until the block ends.

        Settings that were read already stand for the folder. `doors` replaces doors of the world,
        for tests. Raises what `open_world` raises.
        """
        settings = project if isinstance(project, Settings) else load_settings(Path(project))
        world = open_world(settings, **doors)
        bailiwick = cls(world)
        try:
            try:
                await begin(world)
            except BailiwickError as fault:
                _tell(fault)  # people can still look, and stop what is to be stopped
            server = await on_demand("operations").serve(world.settings.socket, bailiwick._perform)
            house = asyncio.create_task(bailiwick._keep_house())
            try:
                yield bailiwick
            finally:
                server.close()
                house.cancel()
                await asyncio.gather(house, return_exceptions=True)
        finally:
            try:
                await ledger.grow(world)
            finally:
                await world.close()

    async def session(
        self,
        agent: str,
        *,
        subject: str,
        run: str | None = None,
        grants: Sequence[Grant] | None = None,
    ) -> Session:
        """Begin to act as an agent of this project, by its key in the keys folder.

        Without `grants` the session has what the agent's manifest lists; without `run` it is a
        run of its own. Raises `IdentityError`.
        """
        tenant = self.world.settings.tenant
        control = await self.world.store.control(tenant)
        bundle = await self.world.bundle(tenant, control.release)
        manifest = bundle.manifests.get(agent)
        if manifest is None:
            raise IdentityError(
                f"the active release has no agent `{shown(agent)}`",
                code="agent_unknown",
                help=did_you_mean(agent, bundle.manifests, _known(bundle.manifests)),
            )
        key = identity.read_agent_key(agent_key_file(self.world.settings, agent))
        return Session(
            self.world,
            agent,
            key,
            subject=subject,
            run=run or f"run_{self.world.now_us():014x}{self.world.random(6).hex()}",
            grants=(Grant(tools=manifest.tools),) if grants is None else grants,
            models=manifest.models,
            seen=self._seen,
        )

    async def outcome(self, action: str) -> Outcome:
        """What became of an action so far; wakes nothing."""
        return await cases.look(self.world, self.world.settings.tenant, action)

    async def undo_plan(
        self, target: str, *, agent: str | None = None, anyway: bool = False
    ) -> Sequence[Reversal]:
        """How a run or an action would be undone, newest first, and what cannot be and why.

        `agent` would do it, by default the one that did it; with `anyway` later writes of others
        are not in the way. Raises `ControlError` (`action_unknown`).
        """
        steps: Sequence[Reversal] = await on_demand("operations").planned(
            self.world, target, agent=agent, anyway=anyway
        )
        return steps

    async def undo(
        self,
        target: str,
        *,
        subject: str,
        agent: str | None = None,
        reason: str = "",
        anyway: bool = False,
    ) -> Sequence[Outcome | Reversal]:
        """Undo a run or an action on somebody's behalf, newest first, each as a governed action.

        Gives for each step of the plan its outcome, or the reversal that says why there is none.
        Given again it goes on where it was, and undoes nothing twice. Raises as `undo_plan` and
        `Session.act` do.
        """
        operations = on_demand("operations")
        run = operations.new_run(self.world)
        told: list[Outcome | Reversal] = []
        for step in await self.undo_plan(target, agent=agent, anyway=anyway):
            if step.code:
                told.append(step)
                continue
            told.append(
                await operations.undone(
                    self.world,
                    step.action,
                    subject=subject,
                    run=run,
                    agent=agent,
                    reason=reason,
                    anyway=anyway,
                )
            )
        return told

    async def perform(self, command: Mapping[str, JSON]) -> JSON:
        """One command of a person's, as it comes by the socket; house is kept right after it.

        Raises what `operations.perform` raises.
        """
        answer: JSON = await on_demand("operations").perform(self.world, command)
        self._nudge.set()
        return answer

    async def settle(self) -> None:
        """Have house kept once now, and wait for it."""
        await tick(self.world, self._busy)

    async def _perform(self, command: Mapping[str, JSON]) -> JSON:
        if command.get("command") in _OF_AGENTS:
            return await self._perform_for_agent(command)
        return await self.perform(command)

    async def _perform_for_agent(self, command: Mapping[str, JSON]) -> JSON:
        """What an agent's own key may do by the socket: ask for the challenge, and cancel."""
        world, given = self.world, command.get("parameters", {})
        if not isinstance(given, Mapping) or command["command"] == "challenge":
            return {"nonce": world.tokens.nonce}
        control = await world.store.control(world.settings.tenant)
        agent, _ = identity.prover(
            world, control, str(given.get("assertion")), self._seen, now_us=world.now_us()
        )
        outcome = await cancel(
            world, str(given.get("action")), agent=agent, subject=str(given.get("subject"))
        )
        told: JSON = msgspec.to_builtins(outcome)
        return told

    async def _keep_house(self) -> None:
        """Tick for ever: at the next nudge, or when a second is over.

        A slow tick keeps no other waiting, and one that fails is followed by the next.
        """
        ticks: set[asyncio.Task[Tick]] = set()
        try:
            while True:
                self._nudge.clear()
                ticks.add(asyncio.create_task(tick(self.world, self._busy)))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.world.settings.tick_seconds):
                        await self._nudge.wait()
                ended = {each for each in ticks if each.done()}
                ticks -= ended
                for each in ended:
                    error = each.exception()
                    for fault in (error,) if error else each.result().faults:
                        _tell(fault)
        finally:
            for each in ticks:
                each.cancel()
            await asyncio.gather(*ticks, return_exceptions=True)


def _known(agents: Collection[str]) -> str:
    if not agents:
        return "add agents/*.yaml and activate a release"
    return f"known are {', '.join(sorted(agents)[:_MAX_NAMED])}"


def _tell(fault: BaseException) -> None:
    """Say by kind and code, which hold no payload, that house could not be kept."""
    code = fault.code if isinstance(fault, BailiwickError) else "unexpected"
    message = f"bailiwick: house could not be kept: {type(fault).__name__} [{code}]"
    asyncio.get_running_loop().call_exception_handler({"message": message})
