"""Lanes and their lives: which calls a life makes, when it is killed, and what it leaves behind."""

import asyncio
import json
import os
import random
import shutil
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bailiwick.ports import Bundle
from bailiwick.testing.crashing import Calls, Moment
from campaigns.crash.client import Call, live
from campaigns.crash.kinds import Kind
from campaigns.crash.providers import Provider

_CALLS = 3
# A call in doubt is mostly sent again once it can be settled, and sometimes at once.
_AT_ONCE_SHARE = 0.2
# How many calls of one door are told apart; what comes later is left to chance.
_TURNS = 6
_SHORTEST_S = 0.02
# How many lives are killed by the clock; and, of those killed at a door, at one where a mistake
# would show at once.
_BY_TIME = 0.25
_AT_CRUCIAL = 0.4
_CRUCIAL = frozenset({"client.send", "client.answer", "egress.send", "store.commit"})


class Answer(NamedTuple):
    """What the client was told of a call."""

    action: str
    status: str
    verdict: str | None
    code: str


class Life(NamedTuple):
    """One process: what it does, and how it is to end. Without moment and time it is let live."""

    pid: int
    kind: Kind
    moment: Moment | None
    began_s: float
    kill_after_s: float | None


class Lane:
    """A project, its database, and the client that refunds through it."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.folder = folder
        self.answers: defaultdict[str, list[Answer]] = defaultdict(list)
        self.calls: dict[str, Call] = {}
        self._sent_s: dict[str, float] = {}
        self._read = 0

    @property
    def open_calls(self) -> list[Call]:
        """The calls that the client has no answer to."""
        return [call for call in self.calls.values() if call.key not in self.answers]

    def has_calls_of(self, life: Life) -> bool:
        """Whether a life that goes on has sent a call that is not answered yet."""
        began_s = time.time() - (time.monotonic() - life.began_s)
        self.read_log()
        return any(self._sent_s.get(call.key, 0.0) >= began_s for call in self.open_calls)

    def choose(self, provider: Provider, chance: random.Random) -> list[Call]:
        """The calls of a life: those that wait for an answer first, the rest new."""
        kind, now_s = provider.kind, time.time()
        again = [
            call
            for call in self.open_calls
            if call.kind == kind.name
            and (
                now_s - self._sent_s.get(call.key, 0.0) > kind.settled_s + 0.5
                or chance.random() < _AT_ONCE_SHARE
            )
        ][:_CALLS]
        return [*again, *(self._new(provider) for _ in range(_CALLS - len(again)))]

    def _new(self, provider: Provider) -> Call:
        kind = provider.kind
        charge = f"ch-{self.number}-{kind.name}-{len(self.calls)}"
        provider.add_charge(charge)
        run = f"run-{self.number}-{kind.name}"
        call = Call(f"key-{charge}", kind.name, charge, kind.amount_minor, run)
        self.calls[call.key] = call
        return call

    def read_log(self) -> None:
        """Take in what the client has written since."""
        file = self.folder / "client.log"
        if not file.exists():
            return
        with file.open("rb") as log:
            log.seek(self._read)
            lines = log.read().splitlines(keepends=True)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._read += len(line)
            said: dict[str, Any] = json.loads(line)
            if "at" in said:
                self._sent_s[said["key"]] = said["at"]
            else:
                answer = Answer(said["action"], said["status"], said["verdict"], said["code"])
                self.answers[said["key"]].append(answer)


class Plan:
    """Which moment to kill at next. Those that nobody has died at come before others."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._seen: defaultdict[str, Calls] = defaultdict(Calls)
        self._took_s: dict[str, float] = {}
        self.done: Counter[Moment] = Counter()

    def survived(self, life: Life, calls: Mapping[str, int]) -> None:
        """Learn from a life that nobody killed which moments there are, and how long it took."""
        seen = self._seen[life.kind.name]
        for door, count in calls.items():
            seen[door] = max(seen[door], count)
        took_s = time.monotonic() - life.began_s
        self._took_s[life.kind.name] = max(took_s, self._took_s.get(life.kind.name, 0.0))

    def next(self, kind: Kind) -> tuple[Moment | None, float | None]:
        """A moment, or a time in seconds; neither for a kind that has not been looked at yet."""
        moments = list(self._moments(self._seen[kind.name]))
        if not moments:
            return None, None
        if self._chance.random() < _BY_TIME:
            return None, self._chance.uniform(_SHORTEST_S, self._took_s[kind.name])
        crucial = [moment for moment in moments if moment.door in _CRUCIAL]
        if crucial and self._chance.random() < _AT_CRUCIAL:
            return self._chance.choice(crucial), None
        new = [moment for moment in moments if not self.done[moment]]
        return self._chance.choice(new or moments), None

    def missed(self) -> list[str]:
        """The doors, with before or after, that some life has used and none has died at."""
        met = {(moment.door, moment.after) for moment in self.done}
        used = {door for seen in self._seen.values() for door in seen}
        return sorted(
            f"{'after' if after else 'before'} {door}"
            for door in used
            for after in (False, True)
            if (door, after) not in met
        )

    @staticmethod
    def _moments(seen: Calls) -> Iterator[Moment]:
        for door, count in sorted(seen.items()):
            for turn in range(1, min(count, _TURNS) + 1):
                yield Moment(door, turn, False)
                yield Moment(door, turn, True)


def begin(
    lane: Lane,
    bundle: Bundle,
    kind: Kind,
    calls: Sequence[Call],
    *,
    moment: Moment | None = None,
    kill_after_s: float | None = None,
    settle: bool = False,
) -> Life:
    """Fork a life of a lane; `bundle` is its compiled release."""
    began_s = time.monotonic()

    async def work() -> None:
        counted = Calls()
        await live(lane.folder, bundle, calls, counted, moment, settle=settle)
        _counts(lane, os.getpid()).write_text(json.dumps(counted))

    return Life(forked(work, lane.folder / "errors.txt"), kind, moment, began_s, kill_after_s)


def counted(lane: Lane, life: Life) -> Mapping[str, int]:
    """How often a life that was let live called each door."""
    calls: dict[str, int] = json.loads(_counts(lane, life.pid).read_text())
    return calls


def _counts(lane: Lane, pid: int) -> Path:
    return lane.folder / f"counted-{pid}.json"


def forked(work: Callable[[], Coroutine[Any, Any, None]], errors: Path) -> int:
    """Do the work in a child, and give its process id; its exit code is 1 if the work failed.

    This process must have no threads. The child's standard error goes to the end of a file.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, sys.stderr.fileno())
        asyncio.run(work())
        code = 0
    finally:
        if code:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(code)


def empty(folder: Path) -> None:
    """Make a folder, without what was in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
