"""The ledger: records, the Merkle tree over them, signed heads, receipts, exports, the vault.

`tree`, `note`, `receipt`, `records` and `sealing` are pure functions of their arguments: randomness
and times come in, nothing is read or written. `export` writes the files of an export and no more.
`vault` keeps payloads, `entries` makes each step's record, `sequencing` grows and signs the tree.
"""

from bailiwick.ledger.entries import (
    append,
    concluded,
    escalated,
    intended,
    mode_set,
    parked,
    pseudonym,
    refused,
)
from bailiwick.ledger.sequencing import frontier, prove, sequence, waiting_us
from bailiwick.ledger.vault import RunVault

__all__ = [
    "RunVault",
    "append",
    "concluded",
    "escalated",
    "frontier",
    "intended",
    "mode_set",
    "parked",
    "prove",
    "pseudonym",
    "refused",
    "sequence",
    "waiting_us",
]
