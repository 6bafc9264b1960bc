"""The payments providers as processes of their own, and their books."""

import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from campaigns.crash.kinds import Kind
from campaigns.crash.project import READ_SECRET, WRITE_SECRET

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "refund_desk" / "payments.py"
START_S = 30.0
# Enough for a person's refund beside each of our requests.
CHARGE_MINOR = 1_000_000


class Effect(NamedTuple):
    """A refund that was really made. `source` is `api`, `fault` (its double) or `person`."""

    charge: str
    action: str | None
    source: str


class Provider(NamedTuple):
    """A running provider of one kind."""

    kind: Kind
    port: int
    database: Path

    def add_charge(self, charge: str) -> None:
        """Add a charge to refund, and the faults that its first request meets."""
        self.admin(
            "charges",
            {
                "id": charge,
                "customer": "cus_01",
                "invoice": "INV-1",
                "amount_minor": CHARGE_MINOR,
                "currency": "USD",
                "payee": "acct_01",
            },
        )
        for fault in self.kind.once:
            self.admin("faults", {**fault, "charge": charge, "times": 1})

    def admin(self, path: str, body: Mapping[str, Any]) -> None:
        """Tell the provider what its own people would. Raises `OSError` if it is refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            connection.request("POST", f"/admin/{path}", json.dumps(body))
            response = connection.getresponse()
            content = response.read()
        if response.status != 201:
            raise OSError(f"/admin/{path} was answered {response.status}: {content!r}")

    def effects(self) -> list[Effect]:
        """Every refund ever made, from the provider's database."""
        with closing(sqlite3.connect(f"{self.database.as_uri()}?mode=ro", uri=True)) as books:
            rows = books.execute("SELECT charge, action_id, source FROM effects ORDER BY seq")
            return [Effect(*row) for row in rows]


@contextmanager
def running(kinds: Sequence[Kind], folder: Path) -> Iterator[Mapping[str, Provider]]:
    """Run a provider for each kind until the block ends; by the kind's name."""
    with ExitStack() as stack:
        waiting = [stack.enter_context(_started(kind, folder / kind.name)) for kind in kinds]
        deadline = time.monotonic() + START_S
        providers = {each.kind.name: _listening(each, deadline) for each in waiting}
        for provider in providers.values():
            for fault in provider.kind.always:
                provider.admin("faults", fault)
        yield providers


class _Starting(NamedTuple):
    kind: Kind
    folder: Path
    process: subprocess.Popen[bytes]


@contextmanager
def _started(kind: Kind, folder: Path) -> Iterator[_Starting]:
    folder.mkdir(parents=True)
    command = [
        *(sys.executable, str(PROGRAM), "--seed", "--admin"),
        *("--db", str(folder / "db.sqlite"), "--port-file", str(folder / "port")),
        *("--token-read", READ_SECRET, "--token-write", WRITE_SECRET),
    ]
    with (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
    try:
        yield _Starting(kind, folder, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listening(starting: _Starting, deadline: float) -> Provider:
    port = starting.folder / "port"
    while not port.exists():
        if starting.process.poll() is not None or time.monotonic() > deadline:
            errors = (starting.folder / "errors.txt").read_text()
            raise OSError(f"the provider `{starting.kind.name}` did not start: {errors}")
        time.sleep(0.01)
    return Provider(starting.kind, int(port.read_text()), starting.folder / "db.sqlite")
