"""Bailiwick as a process of its own: three agents work through the tickets of the desk.

    python worker.py PROJECT [--die-after CHARGE]

It owns the project's database while it runs, unless that is a server's, which several may share.
What it is to do comes as JSON lines on standard input, and it tells each thing that it has done as
a JSON line on standard output:

    {"do": "ticket", "ticket": "tk_14"}     one of the open tickets
    {"do": "drill", "charges": [...], "writers": 4, "customer": …, "ticket": …}
                                            one cent back on each charge, several at a time

The end of the input ends it. With `--die-after` it kills itself with SIGKILL as soon as it has
heard that the charge was refunded and before it could write that down.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import planner

from bailiwick import Bailiwick, Grant, Outcome, Session
from bailiwick.execution.egress import EgressDoor
from bailiwick.nouns import Action, Target, ToolAnswer, ToolCall
from bailiwick.ports import Egress, Request, Response
from bailiwick.values import JSON
from bailiwick.wiring import on_demand

WAITS = ("parked", "running")
LOOK_AGAIN_S = 0.03


class FatalDoor:
    """The egress door of a process that dies once it knows that a charge was refunded."""

    def __init__(self, door: Egress, charge: str) -> None:
        self._door = door
        self._mark = f'"charge":"{charge}"'.encode()

    def target(self, url: str) -> Target:
        """Say where a request for this URL would go."""
        return self._door.target(url)

    async def send(self, request: Request, fence: Callable[[], Awaitable[bool]]) -> Response:
        """Send, and die when the answer to the refund is here."""
        response = await self._door.send(request, fence)
        if self._mark in (request.body or b""):
            os.kill(os.getpid(), signal.SIGKILL)
        return response

    async def call(
        self,
        function: Callable[..., object],
        arguments: Mapping[str, JSON],
        timeout_s: float,
        fence: Callable[[], Awaitable[bool]],
    ) -> object:
        """Call a Python tool."""
        return await self._door.call(function, arguments, timeout_s, fence)

    async def ask(self, call: ToolCall, fence: Callable[[], Awaitable[bool]]) -> ToolAnswer:
        """Call a tool of an MCP server."""
        return await self._door.ask(call, fence)

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until what passed its fence has begun."""
        return await self._door.quiet(timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._door.close()


def tell(event: str, **members: object) -> None:
    """Tell the conductor one thing, as one line."""
    print(json.dumps({"event": event, **members}), flush=True)


async def commands() -> AsyncIterator[dict[str, Any]]:
    """What the conductor wants, until it hangs up."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


class Desk:
    """The agents of one open project, and what they tell of each action."""

    def __init__(self, bailiwick: Bailiwick) -> None:
        self._bailiwick = bailiwick

    async def session(self, agent: str, ticket: Mapping[str, Any], *grants: Grant) -> Session:
        """Act for an agent on the ticket's customer's behalf, in the ticket's own run."""
        return await self._bailiwick.session(
            agent,
            subject=ticket["customer"],
            run=f"{ticket['id']}.{agent}",
            grants=grants or None,
        )

    async def act(self, session: Session, ticket: str, wanted: planner.Proposal) -> Outcome:
        """Propose, wait for people or for recovery if need be, and tell how it went."""
        began = time.perf_counter()
        outcome = await session.act(
            wanted.tool,
            wanted.arguments,
            key=f"{ticket}:{wanted.tool}",
            reason=wanted.reason,
            sources=[f"ticket {ticket}"],
        )
        took_ms = (time.perf_counter() - began) * 1000
        waited = outcome.status in WAITS
        if waited:
            tell("waits", ticket=ticket, action=outcome.action, status=outcome.status)
            outcome = await self._end_of(outcome)
        tell(
            "acted",
            ticket=ticket,
            tool=wanted.tool,
            action=outcome.action,
            status=outcome.status,
            code=outcome.code,
            message=outcome.message,
            verdict=outcome.verdict,
            rules=list(await self._forbidding(outcome.action)),
            earlier=outcome.earlier,
            found=await self._found(outcome),
            waited=waited,
            took_ms=took_ms,
            cost_micro_usd=outcome.cost_micro_usd,
        )
        return outcome

    async def work(self, ticket: Mapping[str, Any]) -> None:
        """Take one ticket from its triage to whatever becomes of it."""
        # Triage is given this ticket's capability and no other's.
        own = Grant(tools=("desk.tag", "desk.note"), resources=(f"Ticket:{ticket['id']}",))
        triage = await self.session("triage", ticket, own)
        await self.act(triage, ticket["id"], planner.tag(ticket))
        await self.act(triage, ticket["id"], planner.note(ticket))
        wish = planner.wish(ticket)
        if wish == "refund":
            await self._refund(ticket)
        elif wish != "note":
            account = await self.session("account", ticket)
            await self.act(account, ticket["id"], planner.account_change(ticket))
        tell("finished", ticket=ticket["id"])

    async def tickets(self) -> list[Mapping[str, Any]]:
        """All open tickets, as triage reads them."""
        inbox = await self._bailiwick.session("triage", subject="support-inbox")
        outcome = await inbox.act("desk.tickets", {})
        if not isinstance(outcome.result, Mapping):
            raise SystemExit(f"the tickets cannot be read: {outcome.message} [{outcome.code}]")
        listed: Any = outcome.result["data"]
        return list(listed)

    async def drill(self, order: Mapping[str, Any]) -> None:
        """Refund one cent on each charge with several writers, until done or stopped."""
        charges = iter(order["charges"])
        counts: dict[str, int] = {}

        async def write(number: int) -> None:
            ticket = {"id": f"{order['run']}-{number}", "customer": order["customer"]}
            session = await self.session("refund-desk", ticket)
            for charge in charges:
                arguments = {
                    "charge": charge,
                    "amount_minor": 1,
                    "currency": "USD",
                    "customer": order["customer"],
                    "ticket": order["ticket"],
                }
                outcome = await session.act("payments.refund", arguments, reason="a drill")
                no = outcome.status in ("refused", "failed")
                end = outcome.code if no else outcome.status
                counts[end] = counts.get(end, 0) + 1
                if end != "done":
                    return
                tell("drilled", action=outcome.action, cost_micro_usd=outcome.cost_micro_usd)

        await asyncio.gather(*(write(number) for number in range(order["writers"])))
        tell("drill", counts=counts)

    async def _refund(self, ticket: Mapping[str, Any]) -> None:
        desk = await self.session("refund-desk", ticket)
        found = await self.act(desk, ticket["id"], planner.lookup(ticket))
        if not isinstance(found.result, Mapping):
            return
        charges: Any = found.result["data"]
        await self.act(desk, ticket["id"], planner.refund(ticket, charges))

    async def _end_of(self, outcome: Outcome) -> Outcome:
        while outcome.status in WAITS:
            await asyncio.sleep(LOOK_AGAIN_S)
            outcome = await self._bailiwick.outcome(outcome.action)
        return outcome

    async def _found(self, outcome: Outcome) -> bool:
        """Whether the effect was found after a crash, whoever looked: the outcome's evidence."""
        world = self._bailiwick.world
        if outcome.status != "done":
            return False
        kept = await world.vault.open(world.settings.tenant, outcome.action, "result")
        evidence = (kept or {}).get("evidence")
        return isinstance(evidence, Mapping) and evidence.get("find") == "found"

    async def _forbidding(self, id: str) -> list[str]:
        """The rules that stood against an action, if the rules refused it."""
        world = self._bailiwick.world
        action: Action | None = await world.store.action(world.settings.tenant, id) if id else None
        if action is None or action.code != "denied" or action.decision is None:
            return []
        return [rule.id for rule in action.decision.rules if rule.effect == "forbid"]


async def work(project: str, die_after: str | None) -> None:
    """Open the project and do what is asked until the input ends."""

    def upstreams() -> Any:
        return on_demand("mcp").Upstreams(Path(project))

    doors = {}
    if die_after:
        doors["egress"] = FatalDoor(EgressDoor(upstreams=upstreams), die_after)
    async with Bailiwick.open(project, **doors) as bailiwick:
        desk = Desk(bailiwick)
        tell("ready", pid=os.getpid())
        async for order in commands():
            if order["do"] == "drill":
                await desk.drill(order)
                continue
            for ticket in await desk.tickets():
                if ticket["id"] == order["ticket"]:
                    await desk.work(ticket)
            tell("through")


def main() -> None:
    """Run until the input ends."""
    parser = argparse.ArgumentParser(description="Bailiwick and the agents of the refund desk.")
    parser.add_argument("project")
    parser.add_argument("--die-after", metavar="CHARGE")
    arguments = parser.parse_args()
    asyncio.run(work(arguments.project, arguments.die_after))


if __name__ == "__main__":
    main()
