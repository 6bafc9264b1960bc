"""The sequencer: gives committed records their place in the tree, and signs the tree's head.

Leaves, inner nodes and size are written in one transaction that compares-and-swaps the old size;
only when it is durable is the head signed. A sequencer that was overtaken writes nothing.
"""

from typing import cast

from bailiwick.errors import LedgerError
from bailiwick.ledger import note, receipt, records, tree
from bailiwick.ports import Keys, Ledger

_BATCH = 1000


async def sequence(ledger: Ledger, keys: Keys) -> int:
    """Sequence and sign what has been committed; give how many records got a leaf.

    Raises `LedgerError` when the tree is not whole, or does not extend the head signed last.
    """
    placed = 0
    # In this order: who is overtaken in between then swaps nothing.
    head = await ledger.checkpoint()
    size = await ledger.tree_size()
    edge = await frontier(ledger, size)
    if await _extends(ledger, keys, head, edge):
        # Whoever grew the tree did not come to sign it.
        await sign(ledger, keys, edge)
    while records := await ledger.unsequenced(_BATCH):
        leaves = [tree.leaf_hash(record.body) for record in records]
        grown, inner = tree.append(edge, leaves)
        outer = [(0, size + i, leaf) for i, leaf in enumerate(leaves)]
        seqs = [record.seq for record in records]
        if not await ledger.extend(size, seqs, [*outer, *inner]):
            break
        placed += len(records)
        size, edge = grown.size, grown
        await sign(ledger, keys, grown)
        if len(records) < _BATCH:
            break
    return placed


async def _extends(
    ledger: Ledger, keys: Keys, kept: tuple[int, str] | None, edge: tree.Frontier
) -> bool:
    """Whether the stored tree goes beyond the head signed last, which it must extend.

    The nodes lie in the database: without this check whoever can write it could change what was
    signed, and have it signed again. Raises `LedgerError`.
    """
    if kept is None:
        return edge.size > 0
    head = note.verify_checkpoint(kept[1].encode(), log_keys(keys))
    if head.size == 0:
        return edge.size > 0
    proof = await proof_between(ledger, head.size, edge.size)
    tree.verify_consistency(
        old=head.size, new=edge.size, old_root=head.root, new_root=tree.root(edge), proof=proof
    )
    return edge.size > head.size


async def proof_between(ledger: Ledger, old: int, new: int) -> tuple[bytes, ...]:
    """The proof that the stored tree of `new` records extends that of `old`; from 0 it is empty.

    Raises `LedgerError` (`tree_smaller`, `tree_incomplete`).
    """
    if old == 0:
        return ()
    plan = tree.consistency_plan(old, new)
    nodes = await ledger.nodes([place for step in plan for place in step])
    try:
        return tree.consistency_proof(old, new, lambda *place: nodes[place])
    except KeyError:
        raise _incomplete(new) from None


async def sign(ledger: Ledger, keys: Keys, frontier: tree.Frontier) -> None:
    """Sign the head of a tree that is durable with all of the log's keys; keep the checkpoint."""
    origin, _ = keys.log_keys()
    text = note.checkpoint_text(note.Checkpoint(origin, frontier.size, tree.root(frontier)))
    signatures = zip(log_keys(keys), keys.sign_checkpoint(text.encode()), strict=True)
    signed = note.assemble(text, list(signatures))
    await ledger.keep_checkpoint(frontier.size, signed.decode())


def log_keys(keys: Keys) -> list[note.NoteKey]:
    """The public keys of the log, newest first; more than one while a rotation overlaps."""
    origin, public = keys.log_keys()
    return [note.NoteKey(origin, note.ED25519, each) for each in public]


async def frontier(ledger: Ledger, size: int) -> tree.Frontier:
    """Read what must be known of a stored tree to append to it."""
    places = tree.frontier_positions(size)
    nodes = await ledger.nodes(places)
    if len(nodes) != len(places):
        raise _incomplete(size)
    return tree.Frontier(size, tuple(nodes[place] for place in places))


async def waiting_us(ledger: Ledger, now_us: int) -> int:
    """How long the oldest record without a leaf has waited for it; 0 if all have one."""
    waiting = await ledger.unsequenced(1)
    if not waiting:
        return 0
    return max(0, now_us - cast("int", records.decode(waiting[0].body)["at_us"]))


async def prove(ledger: Ledger, leaf_index: int, *, cosigned: bool = False) -> bytes:
    """Give the receipt of a sequenced record (C2SP tlog-proof).

    It is under the newest checkpoint that the witness cosigned, or under the newest one while no
    such checkpoint covers the record, which is not enough if it must be `cosigned`. Raises
    `LedgerError` (`not_sequenced`, `not_cosigned`) while no checkpoint covers the record.
    """
    kept = await ledger.checkpoint(cosigned=True)
    if kept is None or leaf_index >= kept[0]:
        if cosigned:
            raise LedgerError(
                f"the witness has cosigned nothing that covers record {leaf_index} yet",
                code="not_cosigned",
                help="try again in a second; `bailiwick ledger witness` says how the witness is",
            )
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


def _incomplete(size: int) -> LedgerError:
    return LedgerError(
        f"the tree of {size} records lacks nodes",
        code="tree_incomplete",
        help="stop, keep a copy, and run `bailiwick ledger verify`",
    )
