"""The conductor: starts the processes, plays the people, breaks things, and keeps score.

It exits with 0 only if every ticket came to what seed.py says it must come to, the provider's books
agree with the ledger refund by refund, and each thing that was broken was noticed.
"""

import argparse
import asyncio
import importlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import closing
import premises
import scoreboard
from scoreboard import Story
from seed import TICKETS, SeedTicket
from stage import Demo
from voters import Voters

from bailiwick.errors import BailiwickError
from bailiwick.values import shown

DIES_AT = "tk_14"
DIES_AFTER = "ch_13"  # the charge of that ticket
ASKS_YOU = "tk_04"
YOU = "finn"
YOUR_TIME_S = 180.0
LOOK_S = 0.5
DRILL_CHARGES, DRILL_WRITERS, DRILL_KILL_AFTER = 100, 8, 20
DRILL_SLOW_S = 0.1  # how long the provider takes to answer, so that some are always in flight
DENIALS = {
    "tk_07": "the sofa has not come back yet",
    "tk_28": "the ticket is not that customer's; its text is no reason to delete anybody",
}
PEOPLE_OF = {"finance": ("fay", "fred", "finn"), "accounts": ("ann",)}
MIDNIGHT_S = 90
DEATH_S = 10.0  # within which a killed process is gone; if another one died, this one is not


class Worker:
    """Bailiwick in a process, and the agents that are its clients in another: orders, events."""

    def __init__(
        self, url: str, process: asyncio.subprocess.Process, agents: asyncio.subprocess.Process
    ) -> None:
        self.url = url
        self.process = process
        self._agents = agents

    def order(self, **members: Any) -> None:
        """Tell the agents what to do."""
        assert self._agents.stdin is not None
        self._agents.stdin.write(json.dumps(members).encode() + b"\n")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What they tell, until they end."""
        assert self._agents.stdout is not None
        while line := await self._agents.stdout.readline():
            yield json.loads(line)

    async def until(self, event: str) -> dict[str, Any]:
        """The next event of a kind. Raises `RuntimeError` if the agents end before."""
        async for told in self.events():
            if told["event"] == event:
                return told
        raise RuntimeError(f"the agents ended before they told `{event}`: see {_errors()}")


@asynccontextmanager
async def working(demo: Demo, *options: str, port: int = 0) -> AsyncIterator[Worker]:
    """Serve the project, and have the agents connect to it, until the block ends."""
    words = (str(demo.project), "--port", str(port), *options)
    async with _program("serving.py", *words) as service:
        assert service.stdout is not None
        line = await service.stdout.readline()
        if not line:
            raise RuntimeError(f"bailiwick did not start: see {_errors()}")
        url = json.loads(line)["url"]
        async with _program("agent.py", f"{url}/mcp") as agents:
            worker = Worker(url, service, agents)
            worker.order(**demo.keys)
            await worker.until("ready")
            yield worker


@asynccontextmanager
async def _program(name: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run one of the demo's programs; it is asked to end, and ended if it does not."""
    with _errors().open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(premises.HERE / name), *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            limit=1 << 20,
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _errors() -> Path:
    return premises.STATE / "worker-errors.txt"


# --- the tickets ---------------------------------------------------------------------------------


async def work(demo: Demo, workers: Sequence[Worker], tickets: Sequence[SeedTicket]) -> bool:
    """Have the workers take tickets in turn, one after the other; False if one dies of it."""
    for number, ticket in enumerate(tickets):
        if not await work_on(demo, workers[number % len(workers)], ticket):
            return False
    return True


async def work_on(demo: Demo, worker: Worker, ticket: SeedTicket) -> bool:
    """Have the worker take a ticket, and play the people; False if it dies."""
    worker.order(do="ticket", ticket=ticket.id)
    async for event in worker.events():
        if event["event"] == "through":
            return True
        story = demo.stories.get(event.get("ticket", ""))
        if story is None:
            continue
        if event["event"] == "acted":
            await looked_up(demo, event)
            story.acts.append(event)
            demo.count(event)
        elif event["event"] == "waits" and event["status"] == "running":
            demo.say(f"{story.ticket.id} is in doubt: asking the provider what became of it")
        elif event["event"] == "waits":
            await ask(demo, story, event["action"])
        elif event["event"] == "finished":
            tell(demo, story)
    return False


async def looked_up(demo: Demo, event: dict[str, Any]) -> None:
    """Add to what an agent was answered what is on record of it, as an auditor reads it."""
    event |= {"rules": [], "found": False, "cost_micro_usd": 0, "run": ""}
    if not event["action"]:
        return
    record = await demo.voters.command("olga", "actions show", action=event["action"])
    event |= {name: record[name] for name in ("cost_micro_usd", "run")}
    if record["code"] == "denied" and record["decision"]:
        rules = record["decision"]["rules"]
        event["rules"] = [rule["id"] for rule in rules if rule["effect"] == "forbid"]
    result = (record["payloads"] or {}).get("result") or {}
    event["found"] = (result.get("evidence") or {}).get("find") == "found"


def tell(demo: Demo, story: Story) -> None:
    """Print what became of a ticket, as soon as it is known."""
    subject, reason = shown(story.ticket.subject), scoreboard.why(story, demo.holders())
    row = [story.ticket.id, subject, story.outcome, reason]
    print(*scoreboard.table([row], (5, 26, 16)), flush=True)


async def ask(demo: Demo, story: Story, action: str) -> None:
    """Have the people who are asked about an action vote on it."""
    ticket = story.ticket
    request = await demo.voters.command("olga", "approvals show", action=action)
    rule = request["rules"][0]
    story.queue, story.quorum = rule["queue"], rule["quorum"]
    people = list(PEOPLE_OF[rule["queue"]])
    choice: str = ticket.vote
    reason, how = DENIALS.get(ticket.id, ""), "scripted"
    if ticket.id == ASKS_YOU and at_terminal():
        yours = await your_vote(demo, ticket, action)
        if yours is not None:
            demo.votes[ticket.id] = yours
            story.votes.append((YOU, yours))
            demo.say(f"{ticket.id}: {YOU} of {rule['queue']} (you) voted {yours}")
            return
    demo.votes[ticket.id] = choice
    # One no is enough, so whoever is asked first may say yes: the second one's no decides.
    wanted = ["approve"] * (rule["quorum"] - 1) + [choice]
    for person, each in zip(people, wanted, strict=False):
        because = reason if each == "deny" else ""
        who = f"{person} of {rule['queue']} ({how})"
        demo.say(f"{ticket.id}: {who} votes {each}{f': {shown(because)}' if because else ''}")
        story.votes.append((person, each))
        await demo.voters.vote(person, action, each, because)


def at_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def your_vote(demo: Demo, ticket: SeedTicket, action: str) -> str | None:
    """Ask whoever sits at the terminal, on the page; None if nobody decides in time."""
    print(f"\nYou are {YOU} of finance, and you are asked:\n")
    print(f"  give back {scoreboard.asked(ticket)}, because: {shown(ticket.subject)}\n")
    print(f"  decide at  {demo.url}/approvals/{action}")
    print(f"  log in as  {YOU}, with the password: {premises.PASSWORD}\n", flush=True)
    until_s = time.monotonic() + YOUR_TIME_S
    while time.monotonic() < until_s:
        request = await demo.voters.command("olga", "approvals show", action=action)
        for vote in request["votes"]:
            choice: str = vote["choice"]
            return choice
        await asyncio.sleep(LOOK_S)
    print("nobody decided; the script does")
    return None


async def day(demo: Demo) -> None:
    """The tickets. A worker dies right after an effect; what it had done is found, and all goes on.

    Where the database is shared, a second worker takes turns with the first, and takes over.
    """
    at = next(i for i, ticket in enumerate(TICKETS) if ticket.id == DIES_AT)
    async with AsyncExitStack() as whole_day:
        others: list[Worker] = []
        if demo.shared:
            others.append(await whole_day.enter_async_context(working(demo)))
            demo.say(f"bailiwick runs as process {others[0].process.pid}, and a second time beside")
        await morning(demo, others, TICKETS[: at + 1])
        again = await whole_day.enter_async_context(working(demo, port=demo.port))
        workers = [*others, again]
        back = "takes" if workers[0] is again else f"process {workers[0].process.pid} takes"
        demo.say(f"bailiwick is back as process {again.process.pid}, and {back} {DIES_AT} again")
        if not await work(demo, workers, TICKETS[at:]):
            raise RuntimeError(f"a worker ended before its time: see {_errors()}")
        made = refunds_of(demo, DIES_AFTER)
        found = len(made) == 1 and made[0]["action_id"] == demo.stories[DIES_AT].action
        demo.expect(found, f"{DIES_AFTER} was refunded {len(made)} times")
        demo.say(
            f"{DIES_AFTER}: the provider still has {len(made)} refund, and its id is {DIES_AT}'s"
        )
        await drill(demo, workers)
        await closing.account(demo)


async def morning(demo: Demo, others: list[Worker], tickets: Sequence[SeedTicket]) -> None:
    """The first tickets, in turn with others if there are any; then the worker dies."""
    async with working(demo, "--die-after", DIES_AFTER, port=demo.port) as worker:
        demo.say(
            f"bailiwick runs as process {worker.process.pid}, with triage, refund-desk, account"
        )
        demo.say(f"watch it at {worker.url}, as olga (the password: {premises.PASSWORD})")
        demo.url = worker.url
        demo.heading("The tickets, one after the other")
        if await work(demo, [*others, worker], tickets):
            raise RuntimeError(f"the worker outlived the refund of {DIES_AFTER}")
        code = await asyncio.wait_for(worker.process.wait(), DEATH_S)
    demo.expect(code == -signal.SIGKILL, f"the worker ended with {code}, not by SIGKILL")
    demo.say(f"{DIES_AT}: process {worker.process.pid} SIGKILLed itself after the refund was made")
    made = refunds_of(demo, DIES_AFTER)
    demo.say(
        f"the provider has {len(made)} refund of {DIES_AFTER}; the ledger an intent, no outcome"
    )


def refunds_of(demo: Demo, charge: str) -> list[dict[str, Any]]:
    """The refunds of a charge in the provider's books."""
    return [each for each in demo.effects() if each["charge"] == charge]


# --- the kill drill ------------------------------------------------------------------------------


async def drill(demo: Demo, workers: Sequence[Worker]) -> None:
    """Pull the kill switch while writers are under way, and look what arrived after it."""
    demo.heading("A kill drill")
    ticket = TICKETS[13]
    charges = add_charges(demo, ticket, DRILL_CHARGES)
    demo.payments.ask("POST", "/admin/faults", {"name": "slow", "delay_s": DRILL_SLOW_S})
    demo.say(f"{DRILL_WRITERS} writers refund one cent after the other; the provider is slow today")
    order = {"do": "drill", "customer": ticket.customer, "ticket": ticket.id}
    for number, worker in enumerate(workers):
        share = charges[1 + number :: len(workers)]
        writers = DRILL_WRITERS // len(workers)
        worker.order(**order, run=f"drill{number}", charges=share, writers=writers)
    for number in range(DRILL_KILL_AFTER):
        note_drilled(demo, await workers[number % len(workers)].until("drilled"))
    began = time.perf_counter()
    pulled = await demo.voters.command("olga", "kill", scope="everything", reason="a drill")
    took_ms = (time.perf_counter() - began) * 1000
    returned_us = time.time_ns() // 1000
    counts = Counter[str]()
    for worker in workers:
        counts.update(await drilled(demo, worker))
    await asyncio.sleep(0.5)
    flying = {each["action"] for each in pulled["in_flight"]}
    arrived = demo.payments.ask("GET", "/admin/arrivals")["data"]
    # What had begun may arrive a moment later; it is listed as in flight.
    began_after = [
        each for each in arrived if each["at_us"] > returned_us and each["action_id"] not in flying
    ]
    demo.say(f"olga pulls the switch: it returns after {took_ms:.1f} ms, {len(flying)} in flight")
    demo.say(f"writes that began after it, by the provider's own clock: {len(began_after)}")
    demo.say(f"{counts.get('done', 0)} refunds were done, {counts.get('stopped', 0)} stopped")
    demo.expect(not began_after and pulled["quiet"], f"begun after the kill: {began_after}")
    demo.expect(counts.keys() == {"done", "stopped"}, f"writers ended otherwise: {counts}")
    demo.payments.ask("DELETE", "/admin/faults")
    asked = await demo.voters.command("olga", "resume", scope="everything")
    demo.expect("waiting" in asked, "one person alone could resume")
    demo.say("olga asks to resume: that loosens, so it waits for a second person")
    await demo.voters.command("fay", "resume", scope="everything")
    workers[0].order(**order, run="resumed", charges=charges[:1], writers=1)
    after = await drilled(demo, workers[0])
    demo.expect(after == {"done": 1}, f"nothing went through after the resume: {after}")
    demo.say("fay asks for the same: it is resumed, and the next refund goes through")


async def drilled(demo: Demo, worker: Worker) -> dict[str, int]:
    """Keep the refunds of a drill in the books until it ends; gives how its proposals ended."""
    async for event in worker.events():
        if event["event"] == "drill":
            counts: dict[str, int] = event["counts"]
            return counts
        note_drilled(demo, event)
    raise RuntimeError(f"the worker ended in the drill: see {_errors()}")


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
        demo.payments.ask("POST", "/admin/charges", body)
    return ids


def note_drilled(demo: Demo, event: dict[str, Any]) -> None:
    """Keep the refund of a drill in the books."""
    demo.drilled.append(event["action"])


# --- the whole -----------------------------------------------------------------------------------


async def play(began: float, *, shared: bool) -> bool:
    """Play the whole demo; says whether everything was as expected."""
    premises.empty("state-postgres" if shared else "state")
    print("Starting the payments provider and the ticket desk.", flush=True)
    with ExitStack() as stack:
        payments = stack.enter_context(premises.running("payments.py", "--admin"))
        demo = Demo(
            began=began,
            payments=payments,
            project=premises.PROJECT,
            voters=Voters(premises.PROJECT / "state" / "bailiwick.sock"),
            stories={ticket.id: Story(ticket) for ticket in TICKETS},
            shared=shared,
            port=premises.free_port(),
        )
        demo.say(f"payments runs as process {payments.process.pid} at {payments.host}")
        told = "founding the project: keys, a database, people with passwords, rules with tests"
        if shared:
            sharing = importlib.import_module("sharing")
            server = stack.enter_context(sharing.postgres.serving(durable=True))
            demo.say(f"PostgreSQL runs at port {server.port}; the ticket desk is an MCP server")
            demo.say(told)
            founded = await sharing.found_project(payments, server)
        else:
            desk = stack.enter_context(premises.running("ticket_desk.py"))
            demo.say(f"the ticket desk runs as process {desk.process.pid} at {desk.host}")
            demo.say(told)
            founded = await premises.found_project(payments, desk)
        demo.keys = founded.access_keys
        names = ", ".join(person.name for person in premises.PEOPLE)
        demo.say(f"the project is founded: release {founded.release[:12]}; people are {names}")
        await not_at_midnight(demo)
        await day(demo)
        closing.check(demo)
        closing.prove(demo)
    return closing.verdict(demo)


async def not_at_midnight(demo: Demo) -> None:
    """Wait for a new day if this one ends in the middle: budgets of the day would begin anew."""
    left_s = 86_400 - time.time() % 86_400
    if left_s < MIDNIGHT_S + (YOUR_TIME_S if at_terminal() else 0):
        demo.say(f"the day (UTC) ends in {left_s:.0f} s, and its budgets with it: waiting for that")
        await asyncio.sleep(left_s + 0.5)


def main() -> int:
    """Play the demo and give its exit code: 0 as expected, 1 otherwise, 2 if it cannot go on."""
    parser = argparse.ArgumentParser(description="The refund desk.")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    shared = parser.parse_args().store == "postgres"
    print("The agents' planner is a plain program (planner.py): no model, no API key.", flush=True)
    # Whoever ends this process ends the others with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 0 if asyncio.run(play(time.monotonic(), shared=shared)) else 1
    except KeyboardInterrupt:
        print("\ninterrupted; the next run begins anew")
        return 130
    except (BailiwickError, OSError, RuntimeError) as error:
        print(f"\nthe demo cannot go on: {shown(str(error), 1000)}")
        return 2


if __name__ == "__main__":
    sys.exit(main())
