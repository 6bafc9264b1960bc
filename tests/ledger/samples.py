"""Records, logs and exports for the tests; every key and salt is derived from a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bailiwick.ledger.export import export_files, write_export
from bailiwick.ledger.note import COSIGNATURE, Checkpoint, NoteSigner, sign_checkpoint, signer
from bailiwick.ledger.records import (
    Fields,
    Judged,
    concluded,
    concluded_read,
    control,
    encode,
    intended,
    pseudonym,
    resolved,
    vote,
)
from bailiwick.ledger.tree import Frontier, append, leaf_hash, root

ORIGIN = "ledger.example/acme"
START_US = 1_795_000_000_000_000


def word(text: str) -> bytes:
    """32 bytes for a word."""
    return sha256(text.encode()).digest()


def digest(text: str) -> str:
    """64 hex digits for a word."""
    return word(text).hex()


def token(kind: str, text: str) -> str:
    """A pseudonym for a word."""
    return pseudonym(word("pseudonyms"), "acme", kind, text)


LOG: NoteSigner = signer(ORIGIN, word("log key"))
ROLLED: NoteSigner = signer(ORIGIN, word("the log's next key"))
STRANGER: NoteSigner = signer(ORIGIN, word("someone else's key"))
WITNESS: NoteSigner = signer("witness.example/w1", word("witness key"), COSIGNATURE)


@dataclass(frozen=True)
class SampleLog:
    """Some records as a signed tree."""

    records: list[bytes]
    checkpoint: bytes
    nodes: dict[tuple[int, int], bytes]
    root: bytes

    @property
    def size(self) -> int:
        """How many records there are."""
        return len(self.records)

    def node_at(self, level: int, index: int) -> bytes:
        """Look a perfect node up, as a store would."""
        return self.nodes[level, index]

    def export(self, folder: Path) -> Path:
        """Write the log as an export and give its folder."""
        write_export(folder, export_files(self.records, self.checkpoint))
        return folder


def signed(records: Sequence[bytes], log: NoteSigner = LOG) -> SampleLog:
    """Build the tree over records and sign it."""
    leaves = [leaf_hash(record) for record in records]
    frontier, completed = append(Frontier(), leaves)
    nodes = {(0, index): leaf for index, leaf in enumerate(leaves)}
    nodes |= {(level, index): node for level, index, node in completed}
    head = Checkpoint(ORIGIN, frontier.size, root(frontier))
    return SampleLog(list(records), sign_checkpoint(head, log), nodes, head.root)


def judged(action: str, effect: Literal["read", "write"] = "write") -> Judged:
    """What was asked and how it was decided: an agent of the tenant `acme`, for carol."""
    tool = "payments.refund" if effect == "write" else "payments.get_charge"
    return {
        "tenant": "acme",
        "at_us": START_US,
        "action": action,
        "agent": "refund-desk",
        "subject": token("subject", "carol"),
        "run": "run-1",
        "tool": tool,
        "tool_version": digest(tool),
        "effect": effect,
        "args_commitment": digest(f"arguments of {action}"),
        "resource_type": "Charge",
        "resource": token("resource", f"charge of {action}"),
        "destination": None,
        "decision": "allow",
        "rules": ["refund.small"],
        "release": digest("release 1"),
        "epoch": 1,
        "credential": "payments",
    }


def intent(action: str, **changes: object) -> Fields:
    """An intended refund."""
    fields = intended(
        attempt=1,
        approvals=[],
        holds=[{"node": "agent:refund-desk", "unit": "value:EUR"}],
        effect_key=token("effect", action),
        provider_key_hash=digest(f"provider key of {action}"),
        deadline_at_us=START_US + 30_000_000,
        **judged(action),
    )
    return {**fields, **changes}


def outcome(of: Fields, **changes: object) -> Fields:
    """The outcome of an intent: done and verified, unless changed."""
    fields = concluded(
        tenant="acme",
        at_us=START_US + 1_000_000,
        action=str(of["action"]),
        intent_hash=leaf_hash(encode(of)).hex(),
        status="done",
        verdict="verified",
        reason=None,
        result_commitment=digest(f"result of {of['action']}"),
        settled=[{"node": "agent:refund-desk", "unit": "value:EUR"}],
        latency_us=120_000,
    )
    return {**fields, **changes}


def read(action: str, **changes: object) -> Fields:
    """A read that was done."""
    fields = concluded_read(
        status="done",
        verdict=None,
        reason=None,
        result_commitment=digest(f"result of {action}"),
        settled=[],
        latency_us=9_000,
        **judged(action, "read"),
    )
    return {**fields, **changes}


def resolution(of: Fields, **changes: object) -> Fields:
    """A person's finding about the outcome of an intent."""
    fields = resolved(
        tenant="acme",
        at_us=START_US + 9_000_000,
        action=str(of["action"]),
        intent_hash=leaf_hash(encode(of)).hex(),
        status="failed",
        by=[token("person", "dave")],
        evidence_commitment=digest("evidence"),
        settled=[],
    )
    return {**fields, **changes}


def ballot(action: str, voter: str, **changes: object) -> Fields:
    """A person's approval of an action under one rule."""
    fields = vote(
        tenant="acme",
        at_us=START_US,
        action=action,
        voter=token("person", voter),
        choice="approve",
        rules=["refund.large"],
        request=token("request", action),
        signature_hash=digest(f"signature of {voter}"),
        reason_commitment=None,
    )
    return {**fields, **changes}


def kill(epoch: int, **changes: object) -> Fields:
    """A pulled kill switch."""
    fields = control(
        tenant="acme",
        at_us=START_US,
        epoch=epoch,
        change="kill",
        scope="agent",
        target="refund-desk",
        by=[token("person", "dave")],
        reason_commitment=digest("why"),
    )
    return {**fields, **changes}


def story(actions: int) -> list[bytes]:
    """Intents and outcomes of that many actions, each outcome some records after its intent."""
    records: list[bytes] = []
    waiting: list[Fields] = []
    for number in range(actions):
        wanted = intent(f"act-{number}", at_us=START_US + number)
        waiting.append(wanted)
        records.append(encode(wanted))
        if len(waiting) > 3:
            records.append(encode(outcome(waiting.pop(0), at_us=START_US + number + 1)))
    return records
