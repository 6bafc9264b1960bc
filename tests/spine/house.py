"""A small project that runs: tools in the process whose effects can be counted and made to fail.

The tools write what they really did into `BOOKS`, so that a test reads effects from there and not
from what the program says.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bailiwick import Bailiwick, Outcome
from bailiwick.approval import sign_vote
from bailiwick.config import load_settings
from bailiwick.identity.jose import decode
from bailiwick.nouns import Action, Vote
from bailiwick.operations import Newcomer, found, perform
from bailiwick.ports import World
from bailiwick.runtime import Session
from bailiwick.testing import write_project
from tests.postgres import Server

PASSWORD = "correct horse battery staple"
PEOPLE = (
    Newcomer("ada", ("admin", "operator", "auditor", "viewer"), (), PASSWORD),
    Newcomer("bo", ("approver", "viewer"), ("finance",), PASSWORD),
    Newcomer("cy", ("approver", "viewer"), ("finance",), PASSWORD),
    Newcomer("rex", ("responder",), (), PASSWORD),
)

SETTINGS = """\
tick_seconds: 0.05
lease_seconds: 1
free_space_watermark_mb: 1
"""

LIMITS = """\
budgets:
  - {unit: "value:USD", period: day, limit: 1000000}
"""

# Up to $50 alone, above it one person of finance, above $500 two.
AGENT = """\
name: NAME
owner: payments-team
tools_allowlist: ["desk.*"]
max_tool_calls: 100000
tiers:
  - on: money
    unit: USD
    auto_up_to: "50.00"
    then:
      - {up_to: "500.00", approval: "finance:1"}
      - {approval: "finance:2"}
"""

TOOLS = '''\
"""Tools that do what their arguments say, right or wrong."""

import asyncio

from bailiwick import NotDone, ToolContext, tool

BOOKS = []
READS = []
KEYS = {}

OURS = {"tool": "desk.made", "arguments": {"on": "args.on", "action": "action.id"}}


@tool(name="desk.look", effect="read", owner="o", resource=("Thing", "args.on"))
async def look(on: str, delay_s: float = 0.0) -> dict[str, object]:
    """Looks at a thing."""
    await asyncio.sleep(delay_s)
    READS.append(on)
    return {"on": on, "times": sum(entry["on"] == on for entry in BOOKS)}


@tool(name="desk.made", effect="read", owner="o", resource=("Thing", "args.on"))
async def made(on: str, action: str) -> dict[str, object] | None:
    """Finds what an action made, once it can be seen."""
    now = asyncio.get_running_loop().time()
    for entry in BOOKS:
        if entry["action"] == action and entry["seen_at"] <= now:
            return {"on": on, "action": action}
    return None


async def act(context: ToolContext, on: str, how: str) -> dict[str, object]:
    word, _, seconds = how.partition(":")
    if word == "slow":
        await asyncio.sleep(float(seconds))
    if word == "refuse":
        raise NotDone("not today")
    known = KEYS.get(context.provider_key)
    if known is not None:
        return known
    loop = asyncio.get_running_loop()
    entry = {
        "on": on,
        "action": context.action,
        "run": context.run,
        "seen_at": loop.time() + (float(seconds) if word == "hidden" else 0.0),
    }
    if word != "nothing":
        BOOKS.append(entry)
    if word == "raise":
        raise RuntimeError("it went wrong afterwards")
    if word == "hang":
        await asyncio.sleep(60)
    KEYS[context.provider_key] = {"on": on}
    return {"on": on}


@tool(
    name="desk.note", effect="write", owner="o", resource=("Thing", "args.on"),
    reader=OURS, expect="after.action == action.id", key_retention_s="none",
    settles_within_s=0, timeout_s=2,
)
async def note(on: str, context: ToolContext, how: str = "", words: str = "") -> dict[str, object]:
    """Leaves a note; nobody can tell afterwards whether a lost call left one."""
    return await act(context, on, how)


@tool(
    name="desk.file", effect="write", owner="o", resource=("Thing", "args.on"),
    reader=OURS, expect="after.action == action.id", find=OURS, found="after.action == action.id",
    key_retention_s="none", settles_within_s=0.4, timeout_s=0.5,
)
async def file(on: str, context: ToolContext, how: str = "") -> dict[str, object]:
    """Files a thing; its finder can tell whether it did."""
    return await act(context, on, how)


@tool(
    name="desk.refund", effect="write", traits=("money",), owner="o",
    resource=("Charge", "args.on"),
    facts={"value": "args.amount_minor", "currency": "args.currency"}, effect_key="args.on",
    reader=OURS, expect="after.action == action.id", find=OURS, found="after.action == action.id",
    key_retention_s=86400, settles_within_s=0, timeout_s=2,
)
async def refund(
    on: str, amount_minor: int, context: ToolContext, currency: str = "USD", how: str = ""
) -> dict[str, object]:
    """Pays money back."""
    return await act(context, on, how)
'''


def files(**changed: str) -> dict[str, str]:
    """The project's files; `changed` are other texts, by `settings`, `limits`, `clerk`, `tools`."""
    return {
        "bailiwick.yaml": changed.get("settings", SETTINGS),
        "limits.yaml": changed.get("limits", LIMITS),
        "agents/clerk.yaml": changed.get("clerk", AGENT.replace("NAME", "clerk")),
        "agents/rival.yaml": AGENT.replace("NAME", "rival"),
        "tools/desk.py": changed.get("tools", TOOLS),
    }


class Stores(NamedTuple):
    """Where projects get their databases: the server, and the names of those made so far."""

    server: Server
    made: list[str]

    def new(self, template: str = "template1") -> str:
        self.made.append(self.server.create(template))
        return self.server.url(self.made[-1])


@contextmanager
def storing_in(server: Server | None, *, keep: bool = False) -> Iterator[None]:
    """Projects that are founded or copied until the block ends have a database of this server.

    The databases are dropped at the end, unless they are to be kept.
    """
    stores = None if server is None else Stores(server, [])
    before, _STORES[0] = _STORES[0], stores
    try:
        yield
    finally:
        _STORES[0] = before
        if stores is not None and not keep:
            for name in stores.made:
                stores.server.drop(name)


_STORES: list[Stores | None] = [None]


async def founded(folder: Path, *, people: bool = False, **changed: str) -> Path:
    """Found a project in a folder, with people or without, which is quicker."""
    write_project(folder, files(**changed))
    given_a_database(folder)
    await found(folder, PEOPLE if people else ())
    empty_books()
    return folder


def given_a_database(folder: Path) -> None:
    """A project that is not founded yet is to have a database of the server, if there is one."""
    if _STORES[0] is not None:
        _store_in(folder, _STORES[0].new())


def copied(estate: Path, folder: Path) -> Path:
    """Copy a founded project with its database, which is quicker than founding another."""
    shutil.copytree(estate, folder)
    if _STORES[0] is not None:
        database = load_settings(estate).store.rpartition("/")[2]
        _store_in(folder, _STORES[0].new(database))
    empty_books()
    return folder


def _store_in(folder: Path, url: str) -> None:
    file = folder / "bailiwick.yaml"
    kept = [line for line in file.read_text().splitlines() if not line.startswith("store:")]
    file.write_text("\n".join([*kept, f"store: {url}", ""]))


def books(name: str = "BOOKS") -> list[Any]:
    """Every effect that the tools had, in order; or under another name what else they noted."""
    return [entry for module in _modules() for entry in getattr(module, name)]


def effects(on: str) -> int:
    """How often a thing was really done."""
    return sum(entry["on"] == on for entry in books())


def empty_books() -> None:
    """Forget what the tools of earlier projects did: modules of one text are one module."""
    for module in _modules():
        for kept in (module.BOOKS, module.READS, module.KEYS):
            kept.clear()


def _modules() -> list[Any]:
    named = [name for name in sys.modules if name.startswith("bailiwick_released_")]
    return [sys.modules[name] for name in named if hasattr(sys.modules[name], "BOOKS")]


@dataclass(frozen=True)
class House:
    """An open project, and what its tools have really done."""

    bailiwick: Bailiwick
    sessions: dict[str, str]

    @property
    def world(self) -> World:
        return self.bailiwick.world

    async def clerk(
        self, run: str = "run-1", subject: str = "sue", agent: str = "clerk"
    ) -> Session:
        return await self.bailiwick.session(agent, subject=subject, run=run)

    async def action(self, outcome: Outcome) -> Action:
        found = await self.world.store.action("default", outcome.action)
        assert found is not None
        return found

    async def balances(self) -> dict[str, tuple[int, int]]:
        """What each budget node has spent and holds: `node unit` to (spent, held)."""
        found = await self.world.register.spending("default")
        return {f"{each.node} {each.unit}": (each.spent, each.held) for each in found}

    async def kinds(self, action: str) -> list[str]:
        """The kinds of an action's records, in order."""
        found = await self.world.ledger.records(0, 0, of=("default", action))
        return [json.loads(record.body)["kind"] for record in found]

    async def until(self, outcome: Outcome, *, timeout_s: float = 30.0) -> Outcome:
        """Wait until an action is neither running nor parked."""
        async with asyncio.timeout(timeout_s):
            while outcome.status in ("running", "parked"):
                await asyncio.sleep(0.02)
                outcome = await self.bailiwick.outcome(outcome.action)
        return outcome

    async def command(self, person: str, name: str, /, **parameters: Any) -> Any:
        """Give a command as a person does who is logged in."""
        if person not in self.sessions:
            given = {"name": person, "password": PASSWORD}
            told: Any = await perform(self.world, {"command": "login", "parameters": given})
            self.sessions[person] = json.dumps(told)
        session = json.loads(self.sessions[person])
        asked = {"command": name, "session": session["statement"], "parameters": parameters}
        return await perform(self.world, asked)

    async def perform(self, command: Any) -> Any:
        """Give a command as it stands."""
        return await perform(self.world, command)

    async def vote(
        self, person: str, action: str, choice: Any = "approve", *, lender: str = ""
    ) -> None:
        """Sign and cast a vote on exactly what is shown, one's own or one that was lent."""
        shown = await self.command(person, "approvals show", action=action)
        vote = Vote(
            action=action,
            person=person,
            choice=choice,
            request_digest=shown["digest"],
            reason="because",
            cast_at_us=self.world.now_us(),
            signature="",
            on_behalf_of=lender,
        )
        key = Ed25519PrivateKey.from_private_bytes(decode(json.loads(self.sessions[person])["key"]))
        signed = msgspec.structs.asdict(sign_vote(vote, key))
        word = "approvals approve" if choice == "approve" else "approvals deny"
        await self.command(person, word, vote=signed)


@asynccontextmanager
async def opened(folder: Path, **doors: Any) -> AsyncIterator[House]:
    """Open a founded project, with the housekeeper, until the block ends."""
    async with Bailiwick.open(folder, **doors) as bailiwick:
        yield House(bailiwick, {})
