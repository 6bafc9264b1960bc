"""One process of the campaign: callers that take, settle and are in each other's way."""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from typing import cast

from bailiwick.config import Settings
from bailiwick.errors import StoreError
from bailiwick.nouns import Action, Caller, Cap, Capability, Hold
from bailiwick.store.postgres import Address, PostgresDatabase
from bailiwick.store.postgres.statements import SQL
from bailiwick.transactions import (
    Append,
    Blocked,
    Claim,
    Commit,
    Free,
    InsertAction,
    MarkBreaker,
    MoveAction,
    Settle,
    Take,
)

TENANT, UNITS = "acme", ("calls", "value:USD")
CALLERS, KEYS, TARGETS = 24, 1000, 4
# Breakers are locked before balances: if every batch had one they would come one after another.
_MARKED = 0.02
_NODES = {"agent": 3, "customer": 6, "capability": 8, "run": 40}
_IN_ORDER = "order by b.tenant, b.node = 'tenant', b.node, b.unit, b.bucket for update"
_RECORD = Append(kind="test", action=None, body=b"{}", hash="00")


class Taking:
    """The callers of one process, and what they were told."""

    def __init__(self, store: str, seed: int, name: str) -> None:
        self._database = PostgresDatabase(Address(store), Settings(store=store))
        self._chance = random.Random(seed)
        self._name = name
        self._number = 0
        self.told = Counter[str]()
        self.spent = Counter[str]()

    async def take(self, seconds: float) -> None:
        """Call for so long."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds

        async def caller() -> None:
            while loop.time() < until_s:
                await self._once()

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        await self._database.close()

    async def _once(self) -> None:
        self._number += 1
        id = f"act-{self._name}-{self._number}"
        key = self._pick("key", KEYS)
        holds = self._holds()
        asked = _action(id)
        made = await self._told(
            Take(action=id, holds=holds),
            Claim(key=key, action=id),
            InsertAction(action=asked),
            _RECORD,
        )
        if made:
            ended = _action(id, state="done", version=2)
            share = self._chance.choice((0, 1))
            settle = Settle(action=id, spent=dict.fromkeys(UNITS, share))
            ops = (settle, MoveAction(action=ended), Free(key=key, action=id), *self._marks())
            while (ended_too := await self._told(*ops)) is None:
                pass  # nothing was written; what it holds must be given back
            if ended_too:
                self.spent.update({_named(hold.cap): share for hold in holds})

    async def _told(self, *ops: object) -> bool | None:
        """Whether it was committed; None if the store would not say, and it may be asked again."""
        commit = Commit(tenant=TENANT, ops=ops)  # type: ignore[arg-type]
        try:
            answer = await self._database.commit(commit)
        except StoreError as fault:
            self.told[f"fault {fault.code}"] += 1
            return None
        blocked = isinstance(answer, Blocked)
        self.told["blocked" if blocked else "commits"] += 1
        return not blocked

    def _marks(self) -> Iterator[MarkBreaker]:
        if self._chance.random() < _MARKED:
            failed = self._chance.random() < 0.5
            target = self._pick("target", TARGETS)
            yield MarkBreaker(target=target, failed=failed, threshold=10**9, open_for_us=1)

    def _holds(self) -> tuple[Hold, ...]:
        nodes = [self._pick(kind, many) for kind, many in _NODES.items()]
        chosen = self._chance.sample([*nodes, "tenant"], self._chance.randint(1, len(nodes) + 1))
        caps = (
            Cap(
                node=node,
                unit=self._chance.choice(UNITS),
                limit=10**12,
                period=self._chance.choice(("all", "minute")),
            )
            for node in chosen
        )
        return tuple(Hold(cap=cap, amount=1) for cap in caps)

    def _pick(self, kind: str, many: int) -> str:
        return f"{kind}:{self._chance.randrange(many)}"


def _named(cap: Cap) -> str:
    return f"{cap.node} {cap.unit}"


def _action(id: str, state: str = "intended", version: int = 1) -> Action:
    capability = Capability(
        id="t", run="run-1", grants=(), issued_at_us=0, expires_at_us=0, key_thumbprint=""
    )
    return Action(
        id=id,
        tenant=TENANT,
        agent="client",
        subject="campaign",
        run="run-1",
        tool="desk.note",
        tool_digest="",
        name=f"key:{id}",
        attempt=1,
        state=state,  # type: ignore[arg-type]
        version=version,
        arguments_mac="",
        caller=Caller(tenant=TENANT, agent="client", subject="campaign", capability=capability),
        created_at_us=0,
        updated_at_us=0,
    )


def unordered() -> None:
    """From now on this process locks balances in a random order, as no program may."""
    asked = SQL["lock_budgets"]
    assert _IN_ORDER in asked
    changed = asked.replace(_IN_ORDER, "order by random() for update")
    cast("dict[str, str]", SQL)["lock_budgets"] = changed


def main() -> None:
    """`python -m campaigns.deadlock.taking STORE SECONDS SEED NAME [unordered]`: tell all."""
    store, seconds, seed, name, *how = sys.argv[1:]
    if how:
        unordered()

    async def work() -> Taking:
        taking = Taking(store, int(seed), name)
        await taking.take(float(seconds))
        return taking

    taking = asyncio.run(work())
    print(json.dumps({"told": taking.told, "spent": taking.spent}))


if __name__ == "__main__":
    main()
