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
from bailiwick.ledger.looking_back import (
    confer,
    grow,
    held,
    is_held,
    look_back,
    publish,
    tiles_folder,
)
from bailiwick.ledger.rolling import Tenure, keys_at, note_keys, rewrap, tenures, unwrapped
from bailiwick.ledger.sequencing import frontier, log_keys, prove, sequence, waiting_us
from bailiwick.ledger.tiles import locked, project, tile, tile_number
from bailiwick.ledger.vault import RunVault
from bailiwick.ledger.witnessing import WitnessDoor

__all__ = [
    "RunVault",
    "Tenure",
    "WitnessDoor",
    "append",
    "concluded",
    "confer",
    "escalated",
    "frontier",
    "grow",
    "held",
    "intended",
    "is_held",
    "keys_at",
    "locked",
    "log_keys",
    "look_back",
    "mode_set",
    "note_keys",
    "parked",
    "project",
    "prove",
    "pseudonym",
    "publish",
    "refused",
    "rewrap",
    "sequence",
    "tenures",
    "tile",
    "tile_number",
    "tiles_folder",
    "unwrapped",
    "waiting_us",
]
