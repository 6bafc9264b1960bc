"""What the programs in the frameworks' environments share: a desk that refunds, and its cases.

`test_frameworks.py` starts a program in each framework's environment. It founds a project whose
refunds stand in a file, so that they outlive a process; runs its cases, each in a conversation of
its own; and leaves what became of each in `told.json`.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bailiwick import Session
from bailiwick.operations import found
from bailiwick.testing import write_project
from tests.repo.sources import ROOT
from tests.spine.house import PEOPLE, House, opened

# What is paid at once, what one person of finance decides on, and what is over the budget.
SMALL, LARGE, BEYOND = 1_000, 20_000, 2_000_000

SETTINGS = """\
tick_seconds: 0.05
lease_seconds: 1
free_space_watermark_mb: 1
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: 1000000}
"""

AGENT = """\
name: refund-desk
owner: payments-team
tools_allowlist: ["payments.*"]
tiers:
  - {on: money, unit: USD, auto_up_to: "50.00", then: [{approval: "finance:1"}]}
"""

TOOLS = '''\
"""Refunds are lines of a file. A charge named `kill…` kills the process that refunds it."""

import json
import os
import signal
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bailiwick import NotDone, ToolContext, tool

BOOK = Path("FOLDER/refunds.jsonl")
MINE = {"tool": "payments.refund_of", "arguments": {"charge": "args.charge", "action": "action.id"}}


def refunds() -> list[dict[str, object]]:
    return [json.loads(line) for line in BOOK.read_text().splitlines()] if BOOK.exists() else []


@tool(name="payments.charge", effect="read", owner="o", resource=("Charge", "args.charge"))
async def charge(charge: str) -> dict[str, object]:
    """Shows a charge."""
    return {"id": charge, "next": str(sum(each["charge"] == charge for each in refunds()) + 1)}


@tool(name="payments.refund_of", effect="read", owner="o", resource=("Charge", "args.charge"))
async def refund_of(charge: str, action: str) -> dict[str, object] | None:
    """Finds the refund that an action made."""
    return next((each for each in refunds() if each["action"] == action), None)


@tool(
    name="payments.refund", effect="write", traits=("money",), owner="o",
    resource=("Charge", "args.charge"),
    facts={"value": "args.amount_minor", "currency": "args.currency"},
    before={"charge": {"tool": "payments.charge", "arguments": {"charge": "args.charge"}}},
    # A charge may be refunded again: nothing but the call's key keeps one call from doing it twice.
    effect_key='args.charge + ":" + before.charge.next',
    reader=MINE, expect="after.action == action.id", find=MINE, found="result.action == action.id",
    key_retention_s="none", settles_within_s=0.2, timeout_s=2,
)
async def refund(
    charge: str, amount_minor: Annotated[int, Meta(ge=1)], context: ToolContext,
    currency: str = "USD",
) -> dict[str, object]:
    """Pays money back."""
    if charge.startswith("broken"):
        raise NotDone("the bank is closed")
    with BOOK.open("a") as book:
        book.write(json.dumps({"charge": charge, "action": context.action}) + "\\n")
    if charge.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"refunded": charge}
'''

CASES: list[Callable[..., Any]] = []


def case(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a case: a coroutine of an open `Desk`, or a plain function of the project's folder."""
    CASES.append(function)
    return function


class Desk:
    """An open project, its people, and what was really refunded."""

    def __init__(self, house: House, folder: Path) -> None:
        self._house = house
        self.folder = folder

    async def session(self, run: str = "run-1", **told: Any) -> Session:
        """The desk's agent, acting for support."""
        bailiwick = self._house.bailiwick
        return await bailiwick.session("refund-desk", subject="support", run=run, **told)

    async def vote(self, action: object, choice: str = "approve") -> None:
        """One of finance votes with his own key."""
        await self._house.vote("bo", str(action), choice)

    async def state(self, action: object) -> str:
        """How far an action got."""
        return (await self._house.bailiwick.outcome(str(action))).status

    async def ended(self, action: object) -> str:
        """How an action ended, once it has."""
        return (await self._house.until(await self._house.bailiwick.outcome(str(action)))).status

    def refunds(self, charge: str) -> int:
        """How often a charge was really refunded."""
        return refunds(self.folder, charge)


def refunds(folder: Path, charge: str) -> int:
    """How often a charge was refunded, as the file says."""
    book = folder / "refunds.jsonl"
    lines = book.read_text().splitlines() if book.exists() else []
    return sum(json.loads(line)["charge"] == charge for line in lines)


def page(*, of: str) -> str:
    """The Python code under a heading of docs/adapters.md."""
    text = (ROOT / "docs" / "adapters.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {of}\n")[2].partition("\n## ")[0]
    (block,) = section.split("```python\n")[1:]
    return textwrap.dedent(block.partition("```")[0])


def main(killed_midway: Callable[[Desk], Any]) -> None:
    """Run a program's cases; before them, in a process of its own, what ends in a kill.

    Plain cases come first; they open the project themselves.
    """
    folder = Path(sys.argv[1])
    asyncio.run(_founded(folder))
    # A fork has the framework imported already, which takes most of the time of all this.
    if (child := os.fork()) == 0:
        asyncio.run(_with_desk(folder, killed_midway))
        raise SystemExit("it was not killed")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    told = {each.__name__: "" for each in CASES}
    for each in CASES:
        if not inspect.iscoroutinefunction(each):
            told |= asyncio.run(_told(each.__name__, asyncio.to_thread(each, folder)))
    told |= asyncio.run(_all(folder))
    (folder / "told.json").write_text(json.dumps(told))


async def _founded(folder: Path) -> None:
    files = {
        "bailiwick.yaml": SETTINGS,
        "limits.yaml": LIMITS,
        "agents/refund-desk.yaml": AGENT,
        "tools/payments.py": TOOLS.replace("FOLDER", str(folder)),
    }
    await found(write_project(folder, files), PEOPLE[:2])


async def _with_desk(folder: Path, do: Callable[[Desk], Any]) -> None:
    async with opened(folder) as house:
        await do(Desk(house, folder))


async def _all(folder: Path) -> dict[str, str]:
    told: dict[str, str] = {}
    async with opened(folder) as house:
        for each in CASES:
            if inspect.iscoroutinefunction(each):
                told |= await _told(each.__name__, each(Desk(house, folder)))
    return told


async def _told(name: str, running: Any) -> dict[str, str]:
    """What went wrong in a case, or nothing."""
    faults: list[object] = await asyncio.gather(running, return_exceptions=True)
    wrong = [each for each in faults if isinstance(each, BaseException)]
    return {name: "".join("".join(traceback.format_exception(each)) for each in wrong)}
