"""How a command gets to the database: through the process that owns it, in its place, or beside it.

If an owner answers on its socket, it carries the command out. If nobody owns the database, this
process does, for as long as the command takes; reading needs no ownership. If there is an owner
that does not answer, only what must never wait for it is done beside it: a kill switch, and
reading.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import msgspec

from bailiwick import identity, ledger, operations
from bailiwick.cli.frame import Frame
from bailiwick.cli.telling import line
from bailiwick.config import Settings, session_file
from bailiwick.errors import BailiwickError, ControlError, IdentityError, StoreFenced
from bailiwick.housekeeping import begin, tick
from bailiwick.identity import LogIn
from bailiwick.nouns import Outcome
from bailiwick.ports import World
from bailiwick.runtime import Bailiwick
from bailiwick.store import sqlite
from bailiwick.values import JSON
from bailiwick.wiring import agent_key_file, open_world

# An owner that does not answer at all within its patience is silent; one that does has longer for
# the command itself: a kill waits a second for sends that have passed their last check.
_KILL_PATIENCE_S, _KILL_S = 1.0, 3.0
_PATIENCE_S, _ANSWER_S = 3.0, 60.0
_LOOK_AGAIN_S = 0.05


def ask(frame: Frame, command: str, /, **parameters: JSON) -> JSON:
    """Have a command carried out for whoever is logged in, and give its answer.

    Raises what the command raises; `IdentityError` (`not_logged_in`), `ControlError`
    (`owner_silent`).
    """
    settings = frame.enter()
    session = log_in(settings).statement
    return send(frame, settings, {"command": command, "parameters": parameters, "session": session})


def send(frame: Frame, settings: Settings, command: Mapping[str, JSON]) -> JSON:
    """Have a command carried out as it stands."""
    return asyncio.run(_reached(frame, settings, command))


def keep_house(frame: Frame) -> None:
    """Have house kept once, unless somebody owns the database: that process keeps it anyway."""
    asyncio.run(_kept(frame, frame.enter()))


def owner(frame: Frame) -> str:
    """Say which process owns the database."""
    settings = frame.enter()
    found = None if settings.is_shared else sqlite.owner_of(settings.path(settings.store))
    return f"process {found}, which owns the database" if found else "what owns the database"


def log_in(settings: Settings) -> LogIn:
    """Who is logged in, with the key that signs votes. Raises `IdentityError`."""
    path = session_file(settings.path("."))
    try:
        return identity.read_session(path)
    except IdentityError as fault:
        if fault.code != "session_missing":
            raise
        raise IdentityError(
            "nobody is logged in", code="not_logged_in", help="run `bailiwick login NAME`"
        ) from None


@asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[World]:
    """The database without owning it: for reading, whatever its owner does."""
    world = open_world(settings, alone=False)
    try:
        yield world
    finally:
        await world.close()


@asynccontextmanager
async def in_place(settings: Settings) -> AsyncIterator[World]:
    """The database owned by this process. Raises `StoreFenced` (`store_owned`)."""
    world = open_world(settings, alone=True)
    try:
        yield world
    finally:
        await world.close()


def by_agent(settings: Settings, agent: str, subject: str, action: str) -> Outcome:
    """Cancel an agent's action by its own key, through the owner if there is one, or in place.

    Raises `IdentityError` for a key that is missing or does not stand, and what the store raises.
    """
    return asyncio.run(_cancelled(settings, agent, subject, action))


async def _cancelled(settings: Settings, agent: str, subject: str, action: str) -> Outcome:
    if not await operations.answers(settings.socket, _PATIENCE_S):
        async with Bailiwick.open(settings.project) as bailiwick:
            return await (await bailiwick.session(agent, subject=subject)).cancel(action)
    key = identity.read_agent_key(agent_key_file(settings, agent))
    asked: Mapping[str, JSON] = {"command": "challenge"}
    challenge = cast("Mapping[str, str]", await operations.call(settings.socket, asked, _ANSWER_S))
    assertion = identity.make_assertion(
        key,
        agent,
        tenant=settings.tenant,
        nonce=challenge["nonce"],
        now_us=time.time_ns() // 1000,
        random=os.urandom,
    )
    given = {"action": action, "subject": subject, "assertion": assertion}
    asked = {"command": "actions cancel", "parameters": given}
    return msgspec.convert(await operations.call(settings.socket, asked, _ANSWER_S), Outcome)


async def _reached(frame: Frame, settings: Settings, command: Mapping[str, JSON]) -> JSON:
    name = command["command"]
    socket = settings.socket
    kills = name == "kill"
    patience_s = _KILL_PATIENCE_S if kills else _PATIENCE_S
    loop = asyncio.get_running_loop()
    until_s = loop.time() + patience_s
    while True:
        if await operations.answers(socket, patience_s):
            try:
                return await operations.call(socket, command, _KILL_S if kills else _ANSWER_S)
            except ControlError as fault:
                if fault.code != "owner_silent" or not kills:
                    raise
        if name in operations.READS:
            return await _beside(settings, command)
        try:
            return await _in_place(frame, settings, command)
        except StoreFenced as fault:
            if fault.code != "store_owned":
                raise
        if loop.time() >= until_s and kills:
            return await _killed(settings, command)
        if loop.time() >= until_s:
            raise operations.silent(sqlite.owner_of(settings.path(settings.store)))
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _beside(settings: Settings, command: Mapping[str, JSON]) -> JSON:
    async with beside(settings) as world:
        return await operations.perform(world, command)


async def _kept(frame: Frame, settings: Settings) -> None:
    if await operations.answers(settings.socket, _PATIENCE_S):
        return
    try:
        async with in_place(settings) as world:
            await _begun(frame, world)
            await _ticked(frame, world, "house could not be kept")
    except StoreFenced as fault:
        if fault.code != "store_owned":
            raise


async def _begun(frame: Frame, world: World) -> None:
    try:
        await begin(world)
    except BailiwickError as error:
        frame.warn(f"house could not be kept: {line(str(error))}")


async def _ticked(frame: Frame, world: World, otherwise: str) -> None:
    try:
        faults = (await tick(world, delivers=False)).faults
    except BailiwickError as error:
        faults = (error,)
    for fault in faults:
        frame.warn(f"{otherwise}: {line(str(fault))}")


async def _in_place(frame: Frame, settings: Settings, command: Mapping[str, JSON]) -> JSON:
    """Carry a command out as the owner, and keep house once: nobody else will."""
    async with in_place(settings) as world:
        await _begun(frame, world)
        if str(command["command"]).startswith("ledger "):
            await ledger.grow(world)
        answer = await operations.perform(world, command)
        if command["command"] != "login":
            await _ticked(frame, world, "done, but house could not be kept")
        return answer


async def _killed(settings: Settings, command: Mapping[str, JSON]) -> JSON:
    """Pull the switch in the file itself. The owner sees it at its next commit or send."""
    async with beside(settings) as world:
        answer = cast("Mapping[str, JSON]", await operations.perform(world, command))
        # An owner that could not be rung looks for itself by then.
        await asyncio.sleep(sqlite.BELL_TRUST_S)
    return {**answer, "quiet": False, "owner": "silent"}
