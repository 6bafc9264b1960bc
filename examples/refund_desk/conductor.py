"""The conductor: starts the three processes, plays the people, breaks things, and keeps score.

It exits with 0 only if every ticket came to what seed.py says it must come to, the provider's books
agree with the ledger refund by refund, and each thing that was broken was noticed.
"""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import premises
import scoreboard
from scoreboard import Story, money
from seed import TICKETS, SeedTicket, outcomes
from voters import Voters

from bailiwick.values import shown

DIES_AT = "tk_14"
DIES_AFTER = "ch_13"  # the charge of that ticket
ASKS_YOU = "tk_04"
YOU = "finn"
YOUR_TIME_S = 120.0
DRILL_CHARGES, DRILL_WRITERS, DRILL_KILL_AFTER = 120, 4, 12
DENIALS = {
    "tk_07": "the sofa has not come back yet",
    "tk_28": "the ticket is not that customer's; its text is no reason to delete anybody",
}
FINANCE = ("fay", "fred", "finn")
MIDNIGHT_S = 120


@dataclass(slots=True)
class Demo:
    """What one run of the demo knows."""

    began: float
    payments: premises.Outside
    desk: premises.Outside
    project: Path
    voters: Voters
    stories: dict[str, Story]
    drilled: list[str] = field(default_factory=list)
    spent_micro_usd: dict[str, int] = field(default_factory=dict)
    votes: dict[str, str] = field(default_factory=dict)
    surprises: list[str] = field(default_factory=list)

    def say(self, text: str = "") -> None:
        """Print one line with the time since the beginning."""
        stamp = f"{time.monotonic() - self.began:5.1f} s  " if text else ""
        print(scoreboard.cut(f"{stamp}{text}", scoreboard.WIDTH), flush=True)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a surprise: the demo goes on, and fails at its end."""
        if not holds:
            self.surprises.append(otherwise)
            self.say(f"NOT AS EXPECTED: {otherwise}")

    def count(self, event: dict[str, Any]) -> None:
        """Count what an action cost, once for each."""
        if event["action"]:
            self.spent_micro_usd[event["action"]] = event["cost_micro_usd"]


class Worker:
    """The process that runs Bailiwick: orders go in, events come out."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def order(self, **members: Any) -> None:
        """Tell it what to do."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(members).encode() + b"\n")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What it tells, until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            yield json.loads(line)

    async def until(self, event: str) -> dict[str, Any]:
        """The next event of a kind. Raises `RuntimeError` if the process ends before."""
        async for told in self.events():
            if told["event"] == event:
                return told
        raise RuntimeError(f"the worker ended before it told `{event}`: see {_errors()}")


@asynccontextmanager
async def working(project: Path, *options: str) -> AsyncIterator[Worker]:
    """Run the worker until the block ends."""
    with _errors().open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(premises.HERE / "worker.py"), str(project), *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            limit=1 << 20,
        )
    worker = Worker(process)
    try:
        await worker.until("ready")
        yield worker
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _errors() -> Path:
    return premises.STATE / "worker-errors.txt"


# --- the tickets ---------------------------------------------------------------------------------


async def work(demo: Demo, worker: Worker, first: str) -> None:
    """Have the worker take the tickets from one on, and play the people; ends with the worker."""
    worker.order(do="tickets", **{"from": first})
    async for event in worker.events():
        story = demo.stories.get(event.get("ticket", ""))
        if event["event"] == "through":
            return
        if story is None:
            continue
        if event["event"] == "waits" and event["status"] == "running":
            demo.say(f"{story.ticket.id}  what became of it is being looked up at the provider")
        elif event["event"] == "waits":
            await ask(demo, story, event["action"])
        elif event["event"] == "acted":
            story.acts.append(event)
            demo.count(event)
        elif event["event"] == "finished":
            tell(demo, story)


def tell(demo: Demo, story: Story) -> None:
    """Print what became of a ticket, as soon as it is known."""
    holders = {each.action: each.ticket.id for each in demo.stories.values() if each.acts}
    row = [
        story.ticket.id,
        scoreboard.asked(story.ticket),
        story.outcome,
        scoreboard.why(story, holders),
    ]
    print(*scoreboard.table([row], (5, 22, 16)), flush=True)


async def ask(demo: Demo, story: Story, action: str) -> None:
    """Have the people who are asked about an action vote on it."""
    ticket = story.ticket
    shown_ = await demo.voters.command("olga", "approvals show", action=action)
    rule = shown_["rules"][0]
    story.queue, story.quorum = rule["queue"], rule["quorum"]
    people = ["ann"] if rule["queue"] == "accounts" else list(FINANCE[: max(2, rule["quorum"])])
    choice, reason, how = ticket.vote, DENIALS.get(ticket.id, ""), "scripted"
    if ticket.id == ASKS_YOU and sys.stdin.isatty() and sys.stdout.isatty():
        people.insert(0, YOU)
        yours = await asyncio.to_thread(your_vote, shown_["lines"])
        if yours is not None:
            choice, reason = yours
            how = "you"
    demo.votes[ticket.id] = choice
    # One no is enough, so whoever is asked first may say yes: the second one's no decides.
    wanted = ["approve"] * (rule["quorum"] - 1) + [choice]
    for person, each in zip(people, wanted, strict=False):
        because = reason if each == "deny" else ""
        who = f"{person} of {rule['queue']} ({how})"
        demo.say(f"{ticket.id}  {who}: {each}{f', {shown(because)}' if because else ''}")
        story.votes.append((person, each))
        await demo.voters.vote(person, action, each, because)


def your_vote(lines: Sequence[str]) -> tuple[str, str] | None:
    """Ask whoever sits at the terminal; None if nobody answers in time."""
    print(f"\nYou are {YOU} of finance, and you are asked:\n", *lines, sep="\n  ")
    answer = _typed("\napprove or deny? ")
    if answer is None or answer[:1].lower() not in ("a", "y", "d", "n"):
        print("no answer; the script answers")
        return None
    if answer[:1].lower() in ("a", "y"):
        return "approve", ""
    return "deny", _typed("why? ") or "said no at the terminal"


def _typed(prompt: str) -> str | None:
    print(prompt, end="", flush=True)
    ready, _, _ = select.select([sys.stdin], [], [], YOUR_TIME_S)
    line = sys.stdin.readline() if ready else ""
    return line.strip() or None


async def survive(demo: Demo) -> None:
    """The first tickets; then the worker dies right after an effect, and comes back."""
    charge = DIES_AFTER
    async with working(demo.project, "--die-after", charge) as worker:
        demo.say(f"bailiwick runs as process {worker.process.pid} with three agents")
        await work(demo, worker, TICKETS[0].id)
        code = await worker.process.wait()
    demo.expect(code == -signal.SIGKILL, f"the worker ended with {code}, not by SIGKILL")
    made = [each for each in effects(demo) if each["charge"] == charge]
    demo.say(f"SIGKILL: process {worker.process.pid} killed itself after the refund of {charge}")
    demo.say(f"the provider has {len(made)} refund of {charge}; bailiwick has an intent, no outcome")
    async with working(demo.project) as worker:
        demo.say(f"bailiwick is back as process {worker.process.pid} and takes {DIES_AT} again")
        await work(demo, worker, DIES_AT)
        made = [each for each in effects(demo) if each["charge"] == charge]
        last = demo.stories[DIES_AT].last
        same = len(made) == 1 and last is not None and made[0]["action_id"] == last["action"]
        demo.expect(same, f"{charge} was refunded {len(made)} times")
        demo.say(f"{charge}, whose refund the crash cut off, has {len(made)} refund, found by its id")
        await drill(demo, worker)
        await account(demo)


def effects(demo: Demo) -> list[dict[str, Any]]:
    """The refunds that the provider really made, by its own books."""
    listed: list[dict[str, Any]] = demo.payments.admin("GET", "effects")["data"]
    return listed


# --- the kill drill ------------------------------------------------------------------------------


async def drill(demo: Demo, worker: Worker) -> None:
    """Pull the kill switch while writers are under way, and look what arrived after it."""
    demo.say()
    demo.say(f"kill drill: {DRILL_WRITERS} writers refund one cent each, again and again")
    drilled = TICKETS[13]
    charges = add_charges(demo, drilled, DRILL_CHARGES)
    order = {"do": "drill", "customer": drilled.customer, "ticket": drilled.id}
    worker.order(**order, run="drill", charges=charges[1:], writers=DRILL_WRITERS)
    done_before = 0
    async for event in worker.events():
        if event["event"] == "drilled":
            note_drilled(demo, event)
            done_before += 1
            if done_before == DRILL_KILL_AFTER:
                break
    began = time.perf_counter()
    pulled = await demo.voters.command("olga", "kill", scope="everything", reason="a drill")
    returned_us = time.time_ns() // 1000
    took_ms = (time.perf_counter() - began) * 1000
    async for event in worker.events():
        if event["event"] == "drilled":
            note_drilled(demo, event)
        elif event["event"] == "drill":
            counts = event["counts"]
            break
    await asyncio.sleep(0.5)
    arrivals = demo.payments.admin("GET", "arrivals")["data"]
    after = [each for each in arrivals if each["at_us"] > returned_us]
    last_ms = (returned_us - max(each["at_us"] for each in arrivals)) / 1000
    demo.say(
        f"kill returned after {took_ms:.1f} ms with {len(pulled['in_flight'])} in flight;"
        f" the last write had arrived {last_ms:.1f} ms before that"
    )
    demo.say(f"writes that reached the provider after it: {len(after)}; writers ended: {counts}")
    demo.expect(not after and pulled["quiet"], f"{len(after)} writes began after the kill")
    demo.expect(counts.get("stopped") == DRILL_WRITERS, f"writers ended otherwise: {counts}")
    asked = await demo.voters.command("olga", "resume", scope="everything")
    demo.expect("waiting" in asked, "one person alone could resume")
    demo.say("olga asks to resume: that loosens, so it waits for a second person")
    await demo.voters.command("fay", "resume", scope="everything")
    worker.order(**order, run="resumed", charges=charges[:1], writers=1)
    note_drilled(demo, await worker.until("drilled"))
    await worker.until("drill")
    demo.say("fay asks for the same: resumed, and the next refund went through")


def add_charges(demo: Demo, ticket: SeedTicket, number: int) -> list[str]:
    """Have the provider book charges of one customer to work with; gives their ids."""
    ids = [f"ch_drill_{each:03d}" for each in range(number)]
    for each in ids:
        body = {
            "id": each,
            "customer": ticket.customer,
            "invoice": f"INV-9{each[-3:]}",
            "amount_minor": 100,
            "currency": "USD",
            "payee": f"acct_{ticket.customer.removeprefix('cus_')}",
        }
        demo.payments.admin("POST", "charges", body)
    return ids


def note_drilled(demo: Demo, event: dict[str, Any]) -> None:
    """Keep the refund of a drill in the books."""
    demo.drilled.append(event["action"])
    demo.count(event)


# --- the account at the end ----------------------------------------------------------------------


async def account(demo: Demo) -> None:
    """Print what became of each ticket, what it cost and how long it took."""
    stories = list(demo.stories.values())
    holders = {story.action: story.ticket.id for story in stories if story.acts}
    rows = [["ticket", "asked for", "outcome", "why"]]
    for story in stories:
        asked_for = scoreboard.asked(story.ticket)
        rows.append([story.ticket.id, asked_for, story.outcome, scoreboard.why(story, holders)])
    print("\nWhat became of each ticket, and why\n")
    print(*scoreboard.table(rows, (6, 22, 16)), sep="\n", flush=True)


# --- the whole -----------------------------------------------------------------------------------


async def play(began: float) -> Demo:
    """Play the whole demo; gives what it knows at the end."""
    premises.empty()
    with ExitStack() as stack:
        payments = stack.enter_context(premises.running("payments.py", "--admin"))
        desk = stack.enter_context(premises.running("ticket_desk.py"))
        project, founded = await premises.found_project(payments, desk)
        demo = Demo(
            began=began,
            payments=payments,
            desk=desk,
            project=project,
            voters=Voters(project / "state" / "bailiwick.sock"),
            stories={ticket.id: Story(ticket) for ticket in TICKETS},
        )
        demo.say(f"payments at {payments.host} and the ticket desk at {desk.host}")
        demo.say(f"project founded: release {founded.release[:12]}, five people, three agents")
        await survive(demo)
        return demo


def main() -> int:
    """Play the demo and give its exit code."""
    demo = asyncio.run(play(time.monotonic()))
    return 1 if demo.surprises else 0


if __name__ == "__main__":
    sys.exit(main())
