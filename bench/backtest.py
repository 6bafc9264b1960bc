"""A back-test over many recorded decisions: `python -m bench.backtest ACTIONS` prints seconds.

One refund is made; the others are written as the spine writes them, each with its own charge and
amount and its own sealed proposal. Then a stored release that asks people from $25 on, not $50, is
tried on all of them, page by page, by the operation that `bailiwick release backtest` asks for.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from bailiwick import Bailiwick
from bailiwick.config import load_settings
from bailiwick.nouns import Person, Release
from bailiwick.operations.backtesting import release_backtest
from bailiwick.ports import World
from bailiwick.testing import founded
from bailiwick.transactions import Commit, Committed, InsertAction, PutRelease
from bailiwick.values import digest
from bailiwick.wiring import open_world
from bench.load import AGENT_NAME, TOOL_NAME, arguments, project
from bench.subject import OUT
from bench.timing import amount_minor, tell

TOGETHER = 250
PAGE = 500
SOMEBODY = Person(tenant="default", name="bench", roles=(), queues=(), public_key="")


def main() -> None:
    """Write the history, then time the back-test."""
    wanted = int(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        tell({"s": asyncio.run(measured(Path(name) / "project", wanted))})


async def measured(folder: Path, wanted: int) -> float:
    """How long it takes, in seconds."""
    await founded(folder, project(), people=())
    async with Bailiwick.open(folder) as bailiwick:
        session = await bailiwick.session(AGENT_NAME, subject="support", run="run-1")
        outcome = await session.act(TOOL_NAME, arguments("0"))
        candidate = await written(bailiwick.world, outcome.action, wanted)
    world = open_world(load_settings(folder), alone=False)
    try:
        began = time.perf_counter()
        decided = changed = 0
        before: Any = {}
        while before is not None:
            given = {"digest": candidate, "limit": PAGE, **before}
            page: Any = await release_backtest(world, SOMEBODY, given)
            decided, changed = decided + page["decided"], changed + len(page["changed"])
            before = {"before": page["next"]} if page["next"] else None
        took_s = time.perf_counter() - began
    finally:
        await world.close()
    assert decided == wanted, page
    assert wanted // 3 < changed < wanted, changed
    return took_s


async def written(world: World, id: str, wanted: int) -> str:
    """Write what is wanted beside the one action, and the stricter release; give its digest."""
    first = await world.store.action("default", id)
    kept: Any = await world.vault.open("default", id, "proposal")
    active = (await world.register.releases("default"))[0]
    epoch = await world.store.epoch("default")
    assert first is not None
    epoch = await world.store.epoch("default")

    async def write(number: int) -> None:
        charge, amount = f"ch_{number}", amount_minor(str(number))
        values = {**kept["arguments"], "charge": charge, "amount_minor": amount}
        facts = {"value": amount, "currency": "USD"}
        action = replace(first, id=f"{first.id[:-8]}{number:08x}", name=f"args:{number}")
        payload = {**kept, "asked": values, "arguments": values, "facts": facts}
        ops, _ = await world.vault.seal(action, "proposal", payload, epoch)
        commit = Commit(tenant="default", ops=(*ops, InsertAction(action=action)))
        assert isinstance(await world.store.commit(commit), Committed)

    for begin in range(1, wanted, TOGETHER):
        await asyncio.gather(*map(write, range(begin, min(begin + TOGETHER, wanted))))
    agent = f"agents/{AGENT_NAME}.yaml"
    files = {**active.files, agent: active.files[agent].replace('"50.00"', '"25.00"')}
    made = Release(digest=digest(files), files=files, created_at_us=0, created_by="bench")
    await world.store.commit(Commit(tenant="default", ops=(PutRelease(release=made),)))
    return made.digest


if __name__ == "__main__":
    main()
