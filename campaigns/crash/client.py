"""One life: a process that opens its lane's project, keeps house and refunds, until it is killed.

The client's log is its own: a line is on disk before a call is sent, another after its answer.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from bailiwick.approval import sign_vote
from bailiwick.config import Settings, load_settings
from bailiwick.errors import ApprovalError, ControlError, StoreError, StoreUnavailable
from bailiwick.housekeeping import tick
from bailiwick.identity.jose import decode
from bailiwick.nouns import Outcome, Vote
from bailiwick.operations import found, perform
from bailiwick.ports import Bundle, World
from bailiwick.runtime import Bailiwick, Session
from bailiwick.testing import write_project
from bailiwick.testing.crashing import Calls, Moment, crashing, deadly
from bailiwick.wiring import open_world
from campaigns.crash.project import AGENT, PASSWORD, PEOPLE, READ_SECRET, WRITE_SECRET

T = TypeVar("T")

_ASK_AGAIN_S = 0.1


class Call(NamedTuple):
    """One refund that the client wants made, once. `key` is its own idempotency key."""

    key: str
    kind: str
    charge: str
    amount_minor: int
    run: str


class Log:
    """The client's log. Each line is written and synced before the call returns.

    Its two calls are doors too: the moment after an acknowledgement is one to die at.
    """

    def __init__(self, file: Path, counted: Calls, moment: Moment | None) -> None:
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.send = deadly("client.send", self._write, counted, moment)
        self.answer = deadly("client.answer", self._write, counted, moment)

    def _write(self, key: str, **said: object) -> None:
        os.write(self._handle, json.dumps({"key": key, **said}).encode() + b"\n")
        os.fsync(self._handle)


async def found_lane(folder: Path, files: dict[str, str]) -> None:
    """Found a lane's project, and log its approver in."""
    project = write_project(folder / "project", files)
    secrets = project / "secrets"
    secrets.mkdir()
    for name, secret in (("read", READ_SECRET), ("write", WRITE_SECRET)):
        (secrets / name).touch(mode=0o600)
        (secrets / name).write_text(secret)
    await found(project, PEOPLE)
    world = open_world(load_settings(project))
    given = {"name": "bo", "password": PASSWORD}
    session = await perform(world, {"command": "login", "parameters": given})
    (folder / "bo.json").write_text(json.dumps(session))
    await world.close()


async def live(
    lane: Path,
    bundle: Bundle,
    calls: Sequence[Call],
    counted: Calls,
    moment: Moment | None,
    *,
    settle: bool,
) -> None:
    """Make the calls, each until its answer is an end. With `settle`, go on until all is settled.

    `bundle` is the lane's release, compiled before the fork. `counted` counts the calls of every
    door.
    """

    async def compiled(tenant: str, digest: str | None) -> Bundle:
        assert digest == bundle.release.digest
        return bundle

    opened = await _opened(load_settings(lane / "project"))
    world = crashing(replace(opened, bundle=compiled), counted, moment)
    log = Log(lane / "client.log", counted, moment)
    bailiwick = Bailiwick(world)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:  # a fault of the housekeeper ends the calls too
        group.create_task(_keep_house(world, over))
        sessions: dict[str, Session] = {}
        for call in calls:
            if call.run not in sessions:
                begin = partial(bailiwick.session, AGENT, subject="campaign", run=call.run)
                sessions[call.run] = await _answered(world, begin)
        wanted = [_carry(world, lane, log, sessions[call.run], call) for call in calls]
        await asyncio.gather(*wanted)
        if settle:
            await _settled(world)
        over.set()
    await world.close()


async def _opened(settings: Settings) -> World:
    """The world, as soon as its server is there."""
    while True:
        try:
            return open_world(settings)
        except StoreUnavailable:
            if not settings.is_shared:
                raise
        await asyncio.sleep(_ASK_AGAIN_S)


async def _answered(world: World, ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until the store answers; a file's always does."""
    while True:
        try:
            return await ask()
        except StoreError as fault:
            if not _is_passing(world, fault):
                raise
        await asyncio.sleep(_ASK_AGAIN_S)


def _is_passing(world: World, fault: BaseException) -> bool:
    """Whether a fault is that of a server which was killed, and comes back."""
    codes = ("store_unreachable", "commit_unknown", "store_busy")
    return world.settings.is_shared and isinstance(fault, StoreError) and fault.code in codes


async def _carry(world: World, lane: Path, log: Log, session: Session, call: Call) -> None:
    arguments = {"charge": call.charge, "amount_minor": call.amount_minor, "currency": "USD"}
    while True:
        log.send(call.key, at=time.time())
        act = partial(session.act, f"{call.kind}.refund", arguments, key=call.key)
        outcome = await _answered(world, act)
        if outcome.status == "parked":
            await _vote(world, lane, outcome.action)
        elif outcome.status != "running" and outcome.code != "contended":
            log.answer(call.key, **_ended(outcome))
            return
        await asyncio.sleep(_ASK_AGAIN_S)


async def _settled(world: World) -> None:
    """Nothing is in flight or waits for people any more."""
    while True:
        listing = partial(world.register.actions, "default", ("intended", "parked"), 1)
        if not await _answered(world, listing):
            return
        await asyncio.sleep(_ASK_AGAIN_S)


def _ended(outcome: Outcome) -> dict[str, object]:
    names = ("action", "status", "verdict", "code", "message")
    return {name: getattr(outcome, name) for name in names}


async def _vote(world: World, lane: Path, action: str) -> None:
    """The approver says yes, once."""
    session: dict[str, str] = json.loads((lane / "bo.json").read_text())

    async def command(name: str, **parameters: Any) -> Any:
        statement = session["statement"]
        asked: Any = {"command": name, "session": statement, "parameters": parameters}
        return await perform(world, asked)

    try:
        shown = await command("approvals show", action=action)
        vote = Vote(
            action=action,
            person="bo",
            choice="approve",
            request_digest=shown["digest"],
            reason="",
            cast_at_us=world.now_us(),
            signature="",
        )
        signed = sign_vote(vote, Ed25519PrivateKey.from_private_bytes(decode(session["key"])))
        await command("approvals approve", vote=msgspec.structs.asdict(signed))
    except (ApprovalError, ControlError):
        pass  # another life voted already
    except StoreError:
        if not world.settings.is_shared:
            raise


async def _keep_house(world: World, over: asyncio.Event) -> None:
    """Tick as an owner does, and a last time in the end. A fault ends the life."""
    while True:
        last = over.is_set()
        done = await _answered(world, partial(tick, world))
        faults = [fault for fault in done.faults if not _is_passing(world, fault)]
        if faults:
            raise faults[0]
        if last:
            return
        try:
            async with asyncio.timeout(world.settings.tick_seconds):
                await over.wait()
        except TimeoutError:
            continue
