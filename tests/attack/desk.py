"""The project of `tests.spine.house`, with a payment that looks at the world before it is decided.

What `desk.settle` finds is a mark that every effect on the thing moves: `even` or `odd`, which is
in its effect key, and how many there were, which is in its pre-state alone.
"""

import sqlite3
from contextlib import closing
from typing import Any

from msgspec.structs import replace

from bailiwick import Outcome
from bailiwick.nouns import Person
from bailiwick.transactions import Commit, Committed, PutPerson, RaiseEpoch
from tests.spine.house import AGENT, TOOLS, House, files

MORE_TOOLS = (
    TOOLS
    + '''

@tool(name="desk.state", effect="read", owner="o", resource=("Thing", "args.on"))
async def state(on: str, wait_s: float) -> dict[str, object]:
    """Finds what has been done to a thing."""
    if on == "unreadable":
        raise NotDone("it belongs to somebody else")
    await asyncio.sleep(wait_s)
    times = sum(entry["on"] == on for entry in BOOKS)
    return {"mark": "odd" if times % 2 else "even", "times": times}


@tool(
    name="desk.settle", effect="write", traits=("money",), owner="o",
    resource=("Charge", "args.on"),
    before={"thing": {
        "tool": "desk.state", "arguments": {"on": "args.on", "wait_s": "args.wait_s"},
    }},
    facts={
        "value": "args.amount_minor", "currency": "args.currency", "customer": "args.customer",
    },
    effect_key="args.on + before.thing.mark",
    reader=OURS, expect="after.action == action.id", find=OURS, found="after.action == action.id",
    key_retention_s=86400, settles_within_s=0, timeout_s=2,
)
async def settle(
    on: str, amount_minor: int, context: ToolContext, currency: str = "USD", how: str = "",
    customer: str = "nobody", wait_s: float = 0.0,
) -> dict[str, object]:
    """Pays a charge that is open."""
    return await act(context, on, how)
'''
)

CLERK = AGENT.replace("NAME", "clerk")
GENEROUS = CLERK.replace('"50.00"', '"499.00"')
ASKED: dict[str, object] = {"on": "ch-1", "amount_minor": 20_000}
HOUR = 3600.0
NOW_US = 1_800_000_000_000_000


async def parked(
    house: House, asked: dict[str, object] = ASKED, *, tool: str = "desk.settle", **who: str
) -> Outcome:
    """Propose what people are asked about."""
    outcome = await (await house.clerk(**who)).act(tool, asked)
    assert (outcome.status, outcome.code) == ("parked", "approval_required"), outcome
    return outcome


def release(**changed: str) -> dict[str, str]:
    """The files of a release of this project; `changed` as in `house.files`."""
    given = files(**{"tools": MORE_TOOLS, **changed})
    given.pop("bailiwick.yaml")
    return given


async def activate(house: House, **changed: str) -> None:
    """Let other files decide."""
    await house.command("ada", "release activate", files=release(**changed), note="test")


async def put(house: House, name: str, **changed: Any) -> Person:
    """Write an account into the store, changed from what it is, or from ada's if it is new."""
    people = {each.name: each for each in await house.world.register.people("default")}
    person = replace(people.get(name, people["ada"]), name=name, **changed)
    secret = await house.world.register.secret("default", name) or {}
    ops = (RaiseEpoch(), PutPerson(person=person, secret=secret))
    done = await house.world.store.commit(Commit(tenant="default", ops=ops))
    assert isinstance(done, Committed)
    return person


def tamper(house: House, statement: str, *values: object) -> None:
    """Do to the database what somebody does who can write its file."""
    settings = house.world.settings
    with closing(sqlite3.connect(settings.path(settings.store))) as database, database:
        database.execute(statement, values)
