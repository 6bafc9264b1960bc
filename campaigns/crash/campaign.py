"""The campaign itself: begin lives, kill them, and in the end let them settle and compare."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bailiwick.execution.egress import EgressDoor
from bailiwick.nouns import Release
from bailiwick.ports import Bundle, Request
from bailiwick.testing.postgres import PostgresServer, serving
from bailiwick.values import digest
from bailiwick.wiring import RELEASED, compile_bundle, on_demand
from campaigns.crash.books import Count, Finding, check_budgets, compare, look_inside, read_books
from campaigns.crash.client import found_lane
from campaigns.crash.kinds import ASKED, KINDS, Kind
from campaigns.crash.lanes import Lane, Life, Plan, begin, counted, empty, forked
from campaigns.crash.project import project_files
from campaigns.crash.providers import Effect, Provider, running

ALL_KINDS = (*KINDS, ASKED)

_LOOK_S = 0.002
_TELL_S = 5.0
# A life that nobody kills ends by itself within its kind's times; this is for one that hangs.
_LONGEST_LIFE_S = 60.0
_LONGEST_SHARED_LIFE_S = 300.0  # it waits for the server as well
_SETTLING_S = 90.0
_MAX_SHARE = 0.05
# On PostgreSQL: how many processes a database has, after how many kills of theirs the server is
# killed, and for how long it stays away on purpose.
_TOGETHER = 2
_SERVER_KILL_EVERY = 40
_LONGEST_GONE_S = 1.0


class Result(NamedTuple):
    """What the campaign counted and found."""

    kills: Counter[str]
    counts: Count
    findings: tuple[Finding, ...]

    @property
    def line(self) -> Mapping[str, int]:
        """The line to print."""
        return {"kills": self.kills.total(), **self.counts._asdict()}

    @property
    def share(self) -> float:
        """Unresolved actions a kill, in the kinds whose key settles."""
        kills = sum(self.kills[kind.name] for kind in ALL_KINDS if kind.key_settles)
        return self.counts.unresolved_where_key_settles / kills if kills else 0.0

    def holds(self, kills: int) -> bool:
        """Whether the campaign shows what it is to show, after at least so many kills."""
        return self.kills.total() >= kills and self.share <= _MAX_SHARE and not self.findings


def run(
    folder: Path, *, kills: int, seed: int, seconds: float, lanes: int, shared: bool = False
) -> Result:
    """Run a campaign in a folder that is emptied first. Progress goes to standard error.

    Ends after `kills` kills or `seconds` seconds, plus the time that what is left needs to settle.
    `shared` has it run on a PostgreSQL server of its own, with two processes on each database.
    """
    empty(folder)
    with ExitStack() as stack:
        server = stack.enter_context(serving()) if shared else None
        providers = stack.enter_context(running(ALL_KINDS, folder / "providers"))
        return _Campaign(folder, providers, seed, lanes, server).carry_out(kills, seconds)


class _Campaign:
    def __init__(
        self,
        folder: Path,
        providers: Mapping[str, Provider],
        seed: int,
        lanes: int,
        server: PostgresServer | None,
    ) -> None:
        self._server = server
        self._server_kills = 0
        self._began_beside = 0
        if server is not None:
            on_demand("postgres")  # what a life needs is loaded before the fork
        self._providers = providers
        ports = [(each.kind, each.port) for each in providers.values()]
        self._files = dict(project_files(ports))
        self._bundle = _compiled(self._files)
        asyncio.run(_warm_up(ports[0][1]))
        self._chance = random.Random(seed)
        self._plan = Plan(self._chance)
        self._lanes = [Lane(number, folder / f"lane-{number}") for number in range(lanes)]
        self._lives: dict[int, tuple[Lane, Life]] = {}
        self._kills: Counter[str] = Counter()
        self._survived = 0
        self._findings: list[Finding] = []
        self._told_s = 0.0

    def carry_out(self, kills: int, seconds: float) -> Result:
        """Found the lanes, kill, settle, compare."""
        began_s = time.monotonic()
        self._found()
        kinds = self._kinds()
        while self._lives or self._goes_on(kills, began_s + seconds):
            if self._goes_on(kills, began_s + seconds):
                self._begin_lives(kinds)
                self._kill_server(kills)
            self._look()
            self._tell(began_s)
            time.sleep(_LOOK_S)
        _say(f"{self._kills.total()} kills; letting what is left settle")
        self._settle()
        counts = self._compare()
        if self._server is not None:
            _say(
                f"the server was killed {self._server_kills} times; {self._began_beside} processes"
                " began while another of their database had calls in flight"
            )
            if not (self._server_kills and self._began_beside):
                self._findings.append(Finding("", "no server was killed, or nobody began beside"))
        if kills >= len(ALL_KINDS) * 100:
            missed = self._plan.missed()
            self._findings += [Finding("", f"nobody was killed {each}") for each in missed]
        _say(f"{len(self._plan.done)} moments of {len(self._kills)} kinds, {self._survived} lived")
        return Result(self._kills, counts, tuple(self._findings))

    def _kinds(self) -> list[Kind]:
        kinds = list(ALL_KINDS)
        self._chance.shuffle(kinds)
        return kinds

    def _goes_on(self, kills: int, until_s: float) -> bool:
        enough = self._kills.total() >= kills
        return not enough and not self._findings and time.monotonic() < until_s

    def _found(self) -> None:
        pids = []
        for lane in self._lanes:
            lane.folder.mkdir()
            files = dict(self._files)
            if self._server is not None:
                files["bailiwick.yaml"] += f"store: {self._server.url(self._server.create())}\n"
            work = partial(found_lane, lane.folder, files)
            pids.append((forked(work, lane.folder / "errors.txt"), lane))
        for pid, lane in pids:
            if os.waitpid(pid, 0)[1] != 0:
                self._fault(lane)

    def _begin_lives(self, kinds: list[Kind]) -> None:
        for lane in self._lanes:
            others = [life for of, life in self._lives.values() if of is lane]
            if len(others) >= (1 if self._server is None else _TOGETHER):
                continue
            self._began_beside += any(map(lane.has_calls_of, others))
            kinds.append(kinds.pop(0))
            kind = kinds[-1]
            moment, kill_after_s = self._plan.next(kind)
            calls = lane.choose(self._providers[kind.name], self._chance)
            life = begin(lane, self._bundle, kind, calls, moment=moment, kill_after_s=kill_after_s)
            self._lives[life.pid] = (lane, life)

    def _look(self) -> None:
        """Kill those whose time has come, and take in those that are gone."""
        for pid, (lane, life) in list(self._lives.items()):
            age_s = time.monotonic() - life.began_s
            if life.kill_after_s is not None and age_s >= life.kill_after_s:
                os.kill(pid, signal.SIGKILL)
            elif age_s > (_LONGEST_LIFE_S if self._server is None else _LONGEST_SHARED_LIFE_S):
                self._findings.append(Finding("", f"a life of {lane.folder} hung"))
                os.kill(pid, signal.SIGKILL)
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                del self._lives[pid]
                self._take_in(lane, life, status)

    def _kill_server(self, kills: int) -> None:
        """Kill the postmaster, now and then, and start it again after a moment."""
        due = self._kills.total() // min(kills // 2 + 1, _SERVER_KILL_EVERY)
        if self._server is None or due <= self._server_kills:
            return
        self._server_kills += 1
        self._server.kill()
        time.sleep(self._chance.uniform(0.0, _LONGEST_GONE_S))
        self._server.start_again()

    def _take_in(self, lane: Lane, life: Life, status: int) -> None:
        lane.read_log()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self._kills[life.kind.name] += 1
            if life.moment is not None:
                self._plan.done[life.moment] += 1
        elif os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            self._survived += 1
            self._plan.survived(life, counted(lane, life))
        else:
            self._fault(lane)

    def _settle(self) -> None:
        for lane in self._lanes:
            life = begin(lane, self._bundle, ALL_KINDS[0], lane.open_calls, settle=True)
            self._lives[life.pid] = (lane, life)
        until_s = time.monotonic() + _SETTLING_S
        while self._lives:
            for pid, (lane, _) in list(self._lives.items()):
                if time.monotonic() > until_s:
                    os.kill(pid, signal.SIGKILL)
                gone, status = os.waitpid(pid, os.WNOHANG)
                if not gone:
                    continue
                del self._lives[pid]
                lane.read_log()
                if status != 0:
                    self._fault(lane)
            time.sleep(_LOOK_S)

    def _compare(self) -> Count:
        effects: defaultdict[str, list[Effect]] = defaultdict(list)
        for provider in self._providers.values():
            for effect in provider.effects():
                effects[effect.charge].append(effect)
        kinds = {name: provider.kind for name, provider in self._providers.items()}
        total = Count()
        for lane in self._lanes:
            books = read_books(lane, kinds)
            look_inside(books, lane.folder)
            total = total.plus(compare(books, effects))
            check_budgets(books)
            self._findings += books.findings
        return total

    def _fault(self, lane: Lane) -> None:
        errors = lane.folder / "errors.txt"
        self._findings.append(Finding("", f"a life failed: {errors.read_text()[-4000:]}"))

    def _tell(self, began_s: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s > _TELL_S:
            self._told_s = now_s
            _say(f"{self._kills.total()} kills after {now_s - began_s:.0f} s")


def _compiled(files: Mapping[str, str]) -> Bundle:
    """Compile the release that every lane activates: once here, instead of once a life."""
    released = {
        path: text for path, text in files.items() if any(fnmatch(path, p) for p in RELEASED)
    }
    return compile_bundle(
        Release(digest=digest(released), files=released, created_at_us=0, created_by="campaign")
    )


async def _warm_up(port: int) -> None:
    """Send once, so that what a first send loads is there before the fork."""

    async def yes() -> bool:
        return True

    door = EgressDoor()
    url = f"http://127.0.0.1:{port}/v1/charges/ch_01"
    await door.send(
        Request(method="GET", url=url, headers={}, body=None, timeout_s=30.0, max_bytes=10_000), yes
    )
    await door.close()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
