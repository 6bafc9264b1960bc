"""Replays the tasks through the spine, then tries what the policy forbids."""

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bailiwick import Bailiwick, Outcome, Session
from bailiwick.operations import found
from campaigns.tau2 import shop
from campaigns.tau2.breaking import SCHEMA, Breach, breaches
from campaigns.tau2.shop import (
    Material,
    RefusedByShop,
    Step,
    Task,
    customer_of,
    directly,
    state,
)

AGENT = "retail-agent"
PROJECT = Path(__file__).with_name("project")
_AT_ONCE = 8


@dataclass
class Result:
    """The figures of a campaign; `findings` say what was not as it should be."""

    tasks: int = 0
    calls: int = 0
    left_out: int = 0
    done: int = 0
    refused_by_both: int = 0
    false_blocks: int = 0
    reached_gold: int = 0
    tried: Counter[str] = field(default_factory=Counter)
    blocked: Counter[str] = field(default_factory=Counter)
    unchecked: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything was as it should be."""
        return (
            self.reached_gold == self.tasks > 0
            and self.done + self.refused_by_both == self.calls
            and self.blocked == self.tried
            and not (self.false_blocks or self.findings)
        )

    @property
    def line(self) -> dict[str, Any]:
        """What is printed."""
        return {
            "tasks": self.tasks,
            "calls": self.calls,
            "left_out": self.left_out,
            "done": self.done,
            "refused_by_both": self.refused_by_both,
            "false_blocks": self.false_blocks,
            "reached_gold": self.reached_gold,
            "counter_examples": self.tried.total(),
            "blocked": self.blocked.total(),
            "unchecked_by_shop": self.unchecked.total(),
            "by_kind": {
                kind: [self.blocked[kind], number, self.unchecked[kind]]
                for kind, number in sorted(self.tried.items())
            },
        }


async def run(folder: Path, material: Material, tasks: int, each: int) -> Result:
    """Replay the first so many tasks, and try so many counter-examples of each kind."""
    shutil.copytree(PROJECT, folder)
    await found(folder, ())
    shop.RUNS.clear()
    shop.CHANGES.clear()
    result = Result()
    places = asyncio.Semaphore(_AT_ONCE)

    async def replay(bailiwick: Bailiwick, task: Task) -> None:
        async with places:
            await _replay(bailiwick, material, task, result)

    async with Bailiwick.open(folder) as bailiwick:
        await asyncio.gather(*(replay(bailiwick, task) for task in material.tasks[:tasks]))
        await _break(bailiwick, material, each, result)
    if not material.unchanged:
        result.findings.append("something was changed that no call named")
    return result


async def _replay(bailiwick: Bailiwick, material: Material, task: Task, result: Result) -> None:
    gold, ours = material.fresh(task.customer), material.fresh(task.customer)
    shop.RUNS[task.id] = ours
    session = await bailiwick.session(AGENT, subject=task.customer, run=task.id)
    for number, step in enumerate(task.steps):
        refused = ""
        try:
            expected = directly(gold, step)
        except RefusedByShop as error:
            refused = str(error)
        changes = shop.CHANGES[task.id]
        outcome = await _act(session, step, f"{task.id}-{number}")
        result.calls += 1
        if refused:
            alike = outcome.status == "refused" or step.method.startswith(("find", "get"))
            result.refused_by_both += alike and shop.CHANGES[task.id] == changes
        elif outcome.status == "done" and outcome.verdict in (None, "verified"):
            result.done += outcome.result == expected
        else:
            result.false_blocks += 1
            result.findings.append(f"task {task.id} {step}: {_told(outcome)}")
    result.tasks += 1
    result.left_out += task.left_out
    result.reached_gold += state(ours, task.customer) == state(gold, task.customer)
    del shop.RUNS[task.id]


async def _break(bailiwick: Bailiwick, material: Material, each: int, result: Result) -> None:
    """Try every counter-example, and whether the shop would carry it out without us."""
    for number, breach in enumerate(breaches(material.base.db, each)):
        run, customer = f"breaking-{number}", customer_of(breach.step, material.base)
        shop.RUNS[run] = material.fresh(customer)
        await _try(bailiwick, breach, run, result)
        try:
            directly(shop.RUNS.pop(run), breach.step)
            result.unchecked[breach.kind] += 1
        except RefusedByShop:
            pass


async def _try(bailiwick: Bailiwick, breach: Breach, run: str, result: Result) -> None:
    session = await bailiwick.session(AGENT, subject=breach.subject, run=run)
    if breach.first is not None:
        first = await _act(session, breach.first, f"{run}-first")
        if (first.status, first.verdict) != ("done", "verified"):
            result.findings.append(f"{breach.first}: {_told(first)}")
    changes = shop.CHANGES[run]
    outcome = await _act(session, breach.step, f"{run}-then")
    result.tried[breach.kind] += 1
    if _by_rule(outcome, breach.rule) and shop.CHANGES[run] == changes:
        result.blocked[breach.kind] += 1
    else:
        result.findings.append(f"{breach}: {_told(outcome)}")


async def _act(session: Session, step: Step, key: str) -> Outcome:
    return await session.act(f"retail.{step.method}", step.arguments, key=key)


def _by_rule(outcome: Outcome, rule: str) -> bool:
    """Whether an outcome is the no of a rule, or of a tool's schema."""
    if outcome.status != "refused":
        return False
    rules = outcome.details.get("rules", ())
    named = isinstance(rules, (list, tuple)) and rule in rules
    return (outcome.code == "denied" and named) or outcome.code == rule == SCHEMA


def _told(outcome: Outcome) -> str:
    return f"{outcome.status} {outcome.verdict or ''} {outcome.code} {outcome.message}"
