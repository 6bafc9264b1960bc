"""A world that dies: one of its doors kills the process at a chosen call, as a crash would.

    world = crashing(open_world(settings), Calls(), Moment("store.commit", turn=2, after=True))

The kill is SIGKILL: nothing is flushed, closed or given back by this process.
"""

import inspect
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace

from bailiwick.ports import World

_NOT_DOORS = frozenset({"settings", "owner"})

Calls = Counter[str]


class Moment(NamedTuple):
    """When to die: before or after the `turn`-th call of a door, named `store.commit`, say."""

    door: str
    turn: int
    after: bool


def crashing(world: World, calls: Calls, moment: Moment | None = None) -> World:
    """Give the world with every door counted in `calls`, and the moment's call deadly.

    Without a moment nobody dies, and `calls` shows which moments there are.
    """
    doors: dict[str, Any] = {}
    for name in world.__struct_fields__:
        door = getattr(world, name)
        if name not in _NOT_DOORS and door is not None:
            doors[name] = (
                deadly(name, door, calls, moment)
                if inspect.isroutine(door)
                else _Door(name, door, calls, moment)
            )
    return replace(world, **doors)


class _Door:
    """Stands before a door; whatever is asked of it is asked of the door behind."""

    def __init__(self, name: str, door: object, calls: Calls, moment: Moment | None) -> None:
        self._name = name
        self._door = door
        self._calls = calls
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._door, name)
        if not inspect.isroutine(member):
            return member
        return deadly(f"{self._name}.{name}", member, self._calls, self._moment)


def deadly(
    name: str, function: Callable[..., Any], calls: Calls, moment: Moment | None
) -> Callable[..., Any]:
    """Give a function, async or not, whose calls are counted under a name like those of a door."""

    def enter() -> bool:
        calls[name] += 1
        if moment is None or (moment.door, moment.turn) != (name, calls[name]):
            return False
        if not moment.after:
            _die()
        return True

    def leave(deadly: bool) -> None:
        if deadly:
            _die()

    if inspect.iscoroutinefunction(function):

        async def later(*given: Any, **named: Any) -> Any:
            deadly = enter()
            try:
                return await function(*given, **named)
            finally:
                leave(deadly)

        return later

    def at_once(*given: Any, **named: Any) -> Any:
        deadly = enter()
        try:
            return function(*given, **named)
        finally:
            leave(deadly)

    return at_once


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
