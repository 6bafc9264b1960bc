"""One process of the campaign: callers that refund, and what each of their attempts came to.

`python -m campaigns.away.calling LANE NAME CALLERS PORT` prints `open` when it begins, calls until
its standard input is closed, and then prints its attempts as JSON.
"""

import asyncio
import json
import sys
import time
from itertools import count
from pathlib import Path
from typing import NamedTuple

from bailiwick import Bailiwick, Session
from bailiwick.errors import StoreError
from bailiwick.testing.crashing import Calls
from campaigns.crash.client import Call, Log
from campaigns.crash.kinds import Kind
from campaigns.crash.project import AGENT
from campaigns.crash.providers import Provider

SOUND = Kind("sound")
_AGAIN_S = 0.1


class Attempt(NamedTuple):
    """One call of `act`: when it began (Unix time), how long it took, and how it ended.

    `status` is an outcome's, or `unavailable` for one that the store refused with `code`.
    """

    key: str
    began_s: float
    took_s: float
    status: str
    code: str


def call_of(key: str) -> Call:
    """The call that has this key: `PROCESS:CALLER:NUMBER`."""
    process, caller, number = key.split(":")
    charge = f"ch-{process}-{caller}-{number}"
    return Call(key, SOUND.name, charge, SOUND.amount_minor, f"run-{process}")


class Calling:
    """The callers of one process."""

    def __init__(self, lane: Path, name: str, provider: Provider) -> None:
        self._lane = lane
        self._name = name
        self._provider = provider
        self._log = Log(lane / "client.log", Calls(), None)
        self._over = asyncio.Event()
        self.attempts: list[Attempt] = []

    async def work(self, callers: int) -> None:
        """Refund until nobody speaks to us any more, and every call has its answer."""
        async with Bailiwick.open(self._lane / "project") as bailiwick:
            print("open", flush=True)
            listening = asyncio.create_task(self._listen())
            await asyncio.gather(*(self._caller(bailiwick, number) for number in range(callers)))
            await listening
            await bailiwick.settle()

    async def _listen(self) -> None:
        await asyncio.to_thread(sys.stdin.read)
        self._over.set()

    async def _caller(self, bailiwick: Bailiwick, caller: int) -> None:
        session = await bailiwick.session(AGENT, subject="campaign", run=f"run-{self._name}")
        for number in count(1):
            if self._over.is_set():
                return
            call = call_of(f"{self._name}:{caller}:{number}")
            await asyncio.to_thread(self._provider.add_charge, call.charge)
            self._log.send(call.key, at=time.time())
            await self._carry(session, call)

    async def _carry(self, session: Session, call: Call) -> None:
        """Ask until the answer is an end."""
        while True:
            if await self._attempt(session, call):
                return
            await asyncio.sleep(_AGAIN_S)

    async def _attempt(self, session: Session, call: Call) -> bool:
        """Ask once; whether the answer is an end."""
        arguments = {"charge": call.charge, "amount_minor": call.amount_minor, "currency": "USD"}
        began_s, monotonic_s = time.time(), time.monotonic()
        try:
            outcome = await session.act(f"{call.kind}.refund", arguments, key=call.key)
        except StoreError as fault:
            self._note(call, began_s, monotonic_s, ("unavailable", fault.code))
            return False
        self._note(call, began_s, monotonic_s, (outcome.status, outcome.code))
        if outcome.status == "running" or outcome.code == "contended":
            return False
        told = ("action", "status", "verdict", "code")
        self._log.answer(call.key, **{name: getattr(outcome, name) for name in told})
        return True

    def _note(self, call: Call, began_s: float, monotonic_s: float, end: tuple[str, str]) -> None:
        took_s = time.monotonic() - monotonic_s
        self.attempts.append(Attempt(call.key, began_s, took_s, *end))


def main() -> None:
    """Call, as the command line says, and tell."""
    lane, name, callers, port = sys.argv[1:]

    async def work() -> Calling:
        calling = Calling(Path(lane), name, Provider(SOUND, int(port), Path()))
        await calling.work(int(callers))
        return calling

    print(json.dumps(asyncio.run(work()).attempts))


if __name__ == "__main__":
    main()
