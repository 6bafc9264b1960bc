"""Carries the tasks through the spine, with their mutants, and compares what became of them."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bailiwick import Bailiwick, Grant, Session
from bailiwick.operations import found
from bailiwick.testing import write_project
from campaigns.bfcl import worlds
from campaigns.bfcl.material import Call, Material, Task, plain, state
from campaigns.bfcl.mutants import Mutant, mutants
from campaigns.bfcl.project import AGENT, named, project_files, space

_AT_ONCE = 16
_CODES = frozenset({"arguments_invalid", "tool_unknown", "tool_not_granted"})


@dataclass
class Result:
    """The figures of a campaign; `findings` say what was not as it should be."""

    tasks: int = 0
    calls: int = 0
    done: int = 0
    same_results: int = 0
    reached_gold: int = 0
    misfits: int = 0
    misfit_tasks: int = 0
    mutants: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    called: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything was as it should be."""
        return (
            self.tasks > 0
            and self.done == self.same_results == self.calls - self.misfits
            and self.reached_gold == self.tasks - self.misfit_tasks
            and self.refused == self.mutants
            and not (self.called or self.findings)
        )

    @property
    def line(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "tasks": self.tasks,
            "calls": self.calls,
            "done": self.done,
            "same_results": self.same_results,
            "reached_gold": self.reached_gold,
            "misfits": self.misfits,
            "mutants": self.mutants.total(),
            "refused": self.refused.total(),
            "called": self.called,
            "by_kind": {
                kind: [self.refused[kind], number] for kind, number in sorted(self.mutants.items())
            },
        }


async def run(folder: Path, material: Material, tasks: int) -> Result:
    """Carry the first so many tasks through a project in an empty folder."""
    worlds.forget()
    await found(write_project(folder, project_files(material)), ())
    result = Result()
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(bailiwick: Bailiwick, task: Task) -> None:
        async with places:
            await _carry(bailiwick, material, task, result)

    async with Bailiwick.open(folder) as bailiwick:
        await asyncio.gather(*(one(bailiwick, each) for each in material.tasks[:tasks]))
    return result


async def _carry(bailiwick: Bailiwick, material: Material, task: Task, result: Result) -> None:
    gold, ours = material.fresh(task), material.fresh(task)
    worlds.RUNS[task.id] = ours
    granted = Grant(tools=tuple(f"{space(api)}.*" for api in task.apis))
    session = await bailiwick.session(AGENT, subject="somebody", run=task.id, grants=(granted,))
    misfits = 0
    for number, call in enumerate(task.calls):
        await _refused(session, material, task, call, result)
        if not material.fits(call):
            misfits += 1
            await _misfit(session, call, result)
            continue
        expected = plain(getattr(gold[call.api], call.method)(**call.arguments))
        await _done(session, call, f"{task.id}-{number}", expected, result)
    result.tasks += 1
    result.misfit_tasks += misfits > 0
    if state(ours) == state(gold):
        result.reached_gold += not misfits
    else:
        result.findings.append(f"{task.id} ends in another state than its calls without us")


async def _done(session: Session, call: Call, key: str, expected: Any, result: Result) -> None:
    # With a key, since a task may want the same call twice: without, it would be the earlier one.
    outcome = await session.act(named(call.api, call.method), call.arguments, key=key)
    result.calls += 1
    result.done += outcome.status == "done" and outcome.verdict in (None, "verified")
    result.same_results += outcome.result == expected
    if outcome.status != "done":
        result.findings.append(f"{key} {call}: {outcome.status} {outcome.code} {outcome.message}")


async def _misfit(session: Session, call: Call, result: Result) -> None:
    outcome = await session.act(named(call.api, call.method), call.arguments)
    result.calls += 1
    result.misfits += 1
    if (outcome.status, outcome.code) != ("refused", "arguments_invalid"):
        result.findings.append(f"{call} is no call of its function, and was {outcome.status}")


async def _refused(
    session: Session, material: Material, task: Task, call: Call, result: Result
) -> None:
    """Try every mutant of a call; none may get as far as a call."""
    before = worlds.BY_RUN[task.id]

    async def one(mutant: Mutant) -> None:
        outcome = await session.act(mutant.tool, mutant.arguments)
        result.mutants[mutant.kind] += 1
        if outcome.status == "refused" and outcome.code in _CODES:
            result.refused[mutant.kind] += 1
        else:
            result.findings.append(f"{task.id} {mutant}: {outcome.status} {outcome.code}")

    await asyncio.gather(*(one(each) for each in mutants(material, task, call)))
    result.called += worlds.BY_RUN[task.id] - before
