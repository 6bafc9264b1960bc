"""The ledger: records, the Merkle tree over them, signed heads, receipts, exports, the vault.

`tree`, `note`, `receipt`, `records` and `sealing` are pure functions of their arguments: randomness
and times come in, nothing is read or written. `export` writes the files of an export and no more.
`vault` keeps payloads, `entries` makes each step's record, `sequencing` grows and signs the tree.
"""

from bailiwick.ledger.entries import (
    append,
    concluded,
    intended,
    mode_set,
    parked,
    pseudonym,
    refused,
)
from bailiwick.ledger.rolling import Tenure, keys_at, note_keys, rewrap, tenures, unwrapped
from bailiwick.ledger.sequencing import frontier, log_keys, prove, sequence, waiting_us
from bailiwick.ledger.vault import RunVault

__all__ = [
    "RunVault",
    "Tenure",
    "append",
    "concluded",
    "frontier",
    "intended",
    "keys_at",
    "log_keys",
    "mode_set",
    "note_keys",
    "parked",
    "prove",
    "pseudonym",
    "refused",
    "rewrap",
    "sequence",
    "tenures",
    "unwrapped",
    "waiting_us",
]
