"""A caller, a tool, and a store on disk: the one door that admission and pricing may open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from bailiwick.config import Settings
from bailiwick.nouns import Action, Caller, Capability, Grant, HttpBinding, Manifest, Tool
from bailiwick.ports import Case, World
from bailiwick.store.migrating import migrate
from bailiwick.store.sqlite import Database, SqliteShelf, SqliteStore
from bailiwick.transactions import Commit, Committed, Op

NOW_US = 1_795_000_000_000_000
TENANT = "acme"

CALLER = Caller(
    tenant=TENANT,
    agent="refund-desk",
    subject="dana",
    capability=Capability(
        id="cap-1",
        run="run-1",
        grants=(Grant(tools=("payments.*",)),),
        issued_at_us=NOW_US,
        expires_at_us=NOW_US + 600_000_000,
        key_thumbprint="thumb",
    ),
)
TOOL = Tool(
    name="payments.refund",
    description="Give money back.",
    effect="write",
    traits=("money",),
    owner="olga",
    schema={"type": "object"},
    binding=HttpBinding(method="POST", base_url="https://pay.example", path="/refunds"),
    digest="c3" * 32,
    resource_type="Charge",
    cost_micro_usd=250,
    upstream="pay.example",
)
MANIFEST = Manifest(name="refund-desk", owner="olga", tools=("payments.refund",))


class Clock:
    """The store's clock, set by the test."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


class Shop:
    """A tenant's store. `world` holds nothing but the shelf: no other door may be opened."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.clock = clock
        self.store = SqliteStore(database)
        self.world = cast(World, SimpleNamespace(shelf=SqliteShelf(database)))

    async def case(
        self, caller: Caller = CALLER, tool: Tool = TOOL, manifest: Manifest = MANIFEST
    ) -> Case:
        """What admission reads of a case; no other part of it is there."""
        control = await self.store.control(TENANT)
        about = {"control": control, "manifest": manifest, "caller": caller, "tool": tool}
        rest = {"action": stored("act"), "now_us": self.clock.now_us, "mode": "live"}
        return cast(Case, SimpleNamespace(**about, **rest))

    async def commit(self, *ops: Op) -> None:
        assert isinstance(await self.store.commit(Commit(tenant=TENANT, ops=ops)), Committed)


@asynccontextmanager
async def open_shop(folder: Path) -> AsyncIterator[Shop]:
    file, clock = folder / "acme.sqlite", Clock()
    migrate(file)
    database = Database(file, Settings(), clock, alone=True)
    try:
        yield Shop(database, clock)
    finally:
        await database.close()


def stored(id: str) -> Action:
    """An action as the store keeps it, in flight."""
    return Action(
        id=id,
        tenant=TENANT,
        agent=CALLER.agent,
        subject=CALLER.subject,
        run=CALLER.capability.run,
        tool=TOOL.name,
        tool_digest=TOOL.digest,
        name=id,
        attempt=1,
        state="intended",
        version=1,
        arguments_mac="",
        caller=CALLER,
        created_at_us=NOW_US,
        updated_at_us=NOW_US,
    )
