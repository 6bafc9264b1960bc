"""One process of the campaign: callers that take, settle and are in each other's way."""

import asyncio
import json
import random
import sys
from collections import Counter

from bailiwick.config import Settings
from bailiwick.errors import StoreError
from bailiwick.nouns import Action, Caller, Cap, Capability, Hold
from bailiwick.store.postgres import Address, PostgresDatabase
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
CALLERS, KEYS, TARGETS = 24, 12, 4
_NODES = {"agent": 3, "customer": 6, "capability": 8, "run": 40}
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
                try:
                    await self._once()
                except StoreError as fault:
                    self.told[f"fault {fault.code}"] += 1

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        await self._database.close()

    async def _once(self) -> None:
        self._number += 1
        id = f"act-{self._name}-{self._number}"
        key, target = self._pick("key", KEYS), self._pick("target", TARGETS)
        holds = self._holds()
        asked = _action(id)
        made = await self._commit(
            Take(action=id, holds=holds),
            Claim(key=key, action=id),
            InsertAction(action=asked),
            _RECORD,
        )
        if made:
            ended = _action(id, state="done", version=2)
            mark = MarkBreaker(
                target=target, failed=self._chance.random() < 0.5, threshold=10**9, open_for_us=1
            )
            share = self._chance.choice((0, 1))
            settle = Settle(action=id, spent=dict.fromkeys(UNITS, share))
            if await self._commit(settle, MoveAction(action=ended), Free(key=key, action=id), mark):
                self.spent.update({_named(hold.cap): share for hold in holds})

    async def _commit(self, *ops: object) -> bool:
        answer = await self._database.commit(Commit(tenant=TENANT, ops=ops))  # type: ignore[arg-type]
        blocked = isinstance(answer, Blocked)
        self.told["blocked" if blocked else "commits"] += 1
        return not blocked

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


def main() -> None:
    """`python -m campaigns.deadlock.taking STORE SECONDS SEED NAME`: tell what was told."""
    store, seconds, seed, name = sys.argv[1:]

    async def work() -> Taking:
        taking = Taking(store, int(seed), name)
        await taking.take(float(seconds))
        return taking

    taking = asyncio.run(work())
    print(json.dumps({"told": taking.told, "spent": taking.spent}))


if __name__ == "__main__":
    main()
