"""The sequencer: gives committed records their place in the tree, and signs the tree's head.

Leaves, inner nodes and size are written in one transaction that compares-and-swaps the old size;
only when it is durable is the head signed. A sequencer that was overtaken writes nothing.
"""

from bailiwick.errors import LedgerError
from bailiwick.ledger import note, receipt, tree
from bailiwick.ports import Keys, Ledger

_BATCH = 1000


async def sequence(ledger: Ledger, keys: Keys) -> int:
    """Sequence and sign what has been committed; give how many records got a leaf.

    Raises `LedgerError` when the tree's nodes are not there to go on from.
    """
    placed = 0
    while records := await ledger.unsequenced(_BATCH):
        size = await ledger.tree_size()
        leaves = [tree.leaf_hash(record.body) for record in records]
        grown, inner = tree.append(await frontier(ledger, size), leaves)
        outer = [(0, size + i, leaf) for i, leaf in enumerate(leaves)]
        seqs = [record.seq for record in records]
        if not await ledger.extend(size, seqs, [*outer, *inner]):
            break
        placed += len(records)
        await sign(ledger, keys, grown)
        if len(records) < _BATCH:
            break
    return placed


async def sign(ledger: Ledger, keys: Keys, frontier: tree.Frontier) -> None:
    """Sign the head of a tree that is durable, and keep the checkpoint."""
    origin, public = keys.log_key()
    head = note.Checkpoint(origin, frontier.size, tree.root(frontier))
    text = note.checkpoint_text(head)
    key = note.NoteKey(origin, note.ED25519, public)
    signed = note.assemble(text, [(key, keys.sign_checkpoint(text.encode()))])
    await ledger.keep_checkpoint(frontier.size, signed.decode())


async def frontier(ledger: Ledger, size: int) -> tree.Frontier:
    """Read what must be known of a stored tree to append to it."""
    places = tree.frontier_positions(size)
    nodes = await ledger.nodes(places)
    if len(nodes) != len(places):
        raise LedgerError(
            f"the tree of {size} records lacks nodes",
            code="tree_incomplete",
            help="stop, keep a copy, and run `bailiwick ledger verify`",
        )
    return tree.Frontier(size, tuple(nodes[place] for place in places))


async def prove(ledger: Ledger, leaf_index: int) -> bytes:
    """Give the receipt of a sequenced record under the newest checkpoint (C2SP tlog-proof).

    Raises `LedgerError` (`not_sequenced`) while no checkpoint covers the record.
    """
    kept = await ledger.checkpoint()
    if kept is None or leaf_index >= kept[0]:
        raise LedgerError(
            f"no checkpoint covers record {leaf_index} yet",
            code="not_sequenced",
            help="try again in a second",
        )
    size, checkpoint = kept
    plan = tree.inclusion_plan(leaf_index, size)
    nodes = await ledger.nodes([place for step in plan for place in step])
    proof = tree.inclusion_proof(leaf_index, size, lambda level, index: nodes[level, index])
    return receipt.encode_receipt(
        receipt.Receipt(index=leaf_index, proof=proof, checkpoint=checkpoint.encode())
    )
