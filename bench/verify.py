"""The verifier on a large ledger: `python -m bench.verify RECORDS` makes one and has it verified.

Half of the records are intents of a refund as the spine writes them, the other half their outcomes;
the export is that of the product, and the verifier runs as the program that it is.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import bailiwick_verify
from bailiwick.ledger import note, records
from bailiwick.ledger.export import export_files, write_export
from bailiwick.ledger.tree import Frontier, append, leaf_hash, root
from bench.load import AGENT_NAME, TOOL_NAME
from bench.subject import OUT
from bench.timing import CALLERS, tell

ORIGIN = "bench.example/log"
BEGAN_US = 1_795_000_000_000_000
NODES = (f"agent:{AGENT_NAME}", "run:run-1", "tenant")
KEY = sha256(b"pseudonyms").digest()


def main() -> None:
    """Make the export, have it verified once, and say how long the verifier took."""
    wanted = int(sys.argv[1])
    OUT.mkdir(exist_ok=True)
    signer = note.signer(ORIGIN, sha256(b"log key").digest())
    with tempfile.TemporaryDirectory(dir=OUT) as name:
        folder = Path(name) / "export"
        bodies = list(ledger(wanted))
        grown, _ = append(Frontier(), [leaf_hash(body) for body in bodies])
        head = note.Checkpoint(ORIGIN, grown.size, root(grown))
        write_export(folder, export_files(bodies, note.sign_checkpoint(head, signer)))
        program = [sys.executable, bailiwick_verify.__file__, "verify", str(folder)]
        began = time.perf_counter()
        done = subprocess.run(
            [*program, "--key", signer.key.vkey], check=True, capture_output=True, text=True
        )
        took_s = time.perf_counter() - began
    assert f"{wanted}" in done.stdout.replace(",", ""), done.stdout
    tell({"s": took_s})


def ledger(wanted: int) -> Iterator[bytes]:
    """So many records: with 64 actions in flight, each outcome stands 64 intents after its own."""
    waiting: list[tuple[int, bytes]] = []
    for number in range(wanted // 2):
        body = records.encode(_intent(number))
        yield body
        waiting.append((number, body))
        if len(waiting) == CALLERS:
            yield records.encode(_outcome(*waiting.pop(0)))
    for number, body in waiting:
        yield records.encode(_outcome(number, body))


def _intent(number: int) -> records.Fields:
    at_us = BEGAN_US + 300 * number
    return records.intended(
        tenant="default",
        at_us=at_us,
        action=f"act_{number:030x}",
        agent=AGENT_NAME,
        subject=_token("subject", "support"),
        run="run-1",
        tool=TOOL_NAME,
        tool_version=_digest("tool"),
        effect="write",
        args_commitment=_digest(f"arguments {number}"),
        resource_type="Charge",
        resource=_token("resource", f"ch_{number}"),
        destination=None,
        decision="allow",
        rules=["bench.may", f"bench.permit-{number % 10}"],
        release=_digest("release"),
        epoch=2,
        credential=None,
        attempt=1,
        approvals=[],
        holds=_holds(),
        effect_key=_token("effect_key", f"ch_{number}:refund"),
        provider_key_hash=None,
        deadline_at_us=at_us + 10_000_000,
    )


def _outcome(number: int, intent: bytes) -> records.Fields:
    return records.concluded(
        tenant="default",
        at_us=BEGAN_US + 300 * number + 20_000,
        action=f"act_{number:030x}",
        intent_hash=leaf_hash(intent).hex(),
        status="done",
        verdict="verified",
        reason=None,
        result_commitment=_digest(f"result {number}"),
        settled=_holds(),
        latency_us=20_000,
    )


def _holds() -> list[records.HoldEntry]:
    return [{"node": node, "unit": "calls" if "run" in node else "value:USD"} for node in NODES]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _token(kind: str, text: str) -> str:
    return records.pseudonym(KEY, "default", kind, text)


if __name__ == "__main__":
    main()
