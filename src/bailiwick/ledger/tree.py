"""The Merkle tree of the ledger: SHA-256, RFC 6962 section 2.1, RFC 9162 section 2.1.

A node is named by `(level, index)`: level 0 are the leaf hashes, and the node covers the leaves
`index << level` to `(index + 1) << level`. Only nodes whose leaves all exist are ever stored:
they never change. The hashes of ragged right edges are folded from them when they are needed.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import count, repeat
from typing import NamedTuple, NoReturn

from bailiwick.errors import LedgerError

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
EMPTY_ROOT = sha256(b"").digest()

Position = tuple[int, int]  # (level, index)
CompletedNode = tuple[int, int, bytes]  # (level, index, hash); the level is 1 or more
NodeAt = Callable[[int, int], bytes]

_LEAF = b"\x00"
_NODE = b"\x01"


class Frontier(NamedTuple):
    """All that must be kept to append: the size and the roots of its perfect subtrees.

    `hashes` go from the largest subtree (left) to the smallest (right edge), one for each bit
    set in `size`.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()


def leaf_hash(record: bytes) -> bytes:
    """Hash one record as a leaf: SHA-256(0x00 ‖ record)."""
    return sha256(_LEAF + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(_NODE + left + right).digest()


def append(
    frontier: Frontier, leaf_hashes: Sequence[bytes]
) -> tuple[Frontier, list[CompletedNode]]:
    """Append a batch of leaf hashes; give the new frontier and the inner nodes it completed.

    The completed nodes come lowest level first, left to right. The leaf hashes themselves are
    level 0: the caller holds them already. Raises `LedgerError` for a frontier whose hashes do
    not fit its size, for a hash that is not 32 bytes, and past 2^63 - 1 leaves.
    """
    _check_frontier(frontier)
    size = frontier.size + len(leaf_hashes)
    if size > MAX_SIZE:
        raise LedgerError("the tree is full", code="tree_full")
    if not {HASH_BYTES}.issuperset(map(len, leaf_hashes)):
        raise LedgerError("a leaf hash is not 32 bytes", code="hash_length")
    old = list(frontier.hashes)
    edge: list[bytes] = []
    completed: list[CompletedNode] = []
    row: list[bytes] = list(leaf_hashes)
    level, first = 0, frontier.size
    while row or old:
        if first & 1:
            row.insert(0, old.pop())
        if len(row) & 1:
            edge.append(row.pop())
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [sha256(_NODE + left + right).digest() for left, right in pairs]
        level, first = level + 1, first >> 1
        completed.extend(zip(repeat(level), count(first), row))
    return Frontier(size, tuple(reversed(edge))), completed


def root(frontier: Frontier) -> bytes:
    """Give the root of the tree; that of the empty tree is SHA-256 of nothing."""
    _check_frontier(frontier)
    return _folded(frontier.hashes) if frontier.size else EMPTY_ROOT


def frontier_positions(size: int) -> tuple[Position, ...]:
    """Name the nodes whose hashes are the frontier of a tree of `size` leaves, left to right."""
    return tuple(_perfect(0, size))


def inclusion_plan(index: int, size: int) -> tuple[tuple[Position, ...], ...]:
    """Name, for each hash of an inclusion proof, the perfect nodes from which it is folded.

    A store can fetch all of them in one query. Raises `LedgerError` unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise LedgerError(
            f"record {index} is not in a tree of {size}",
            code="index_outside_tree",
            help="ask for a receipt once the record is sequenced",
        )
    plan: list[tuple[Position, ...]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            plan.append(tuple(_perfect(middle, high)))
            high = middle
        else:
            plan.append(tuple(_perfect(low, middle)))
            low = middle
    return tuple(reversed(plan))


def consistency_plan(old: int, new: int) -> tuple[tuple[Position, ...], ...]:
    """Name, for each hash of a consistency proof, the perfect nodes from which it is folded.

    Raises `LedgerError` unless 0 < old <= new: an empty tree is consistent with every tree, so
    such a proof would prove nothing.
    """
    _check_sizes(old, new)
    plan: list[tuple[Position, ...]] = []
    low, high, known = 0, new, True
    while old != high - low:
        half = _split(high - low)
        if old <= half:
            plan.append(tuple(_perfect(low + half, high)))
            high = low + half
        else:
            plan.append(tuple(_perfect(low, low + half)))
            low, old, known = low + half, old - half, False
    if not known:
        plan.append(tuple(_perfect(low, high)))
    return tuple(reversed(plan))


def inclusion_proof(index: int, size: int, node_at: NodeAt) -> tuple[bytes, ...]:
    """Prove that the leaf at `index` is in the tree of `size` leaves (RFC 6962, 2.1.1).

    `node_at(level, index)` gives the hash of a perfect node, leaves included.
    """
    return _read(inclusion_plan(index, size), node_at)


def consistency_proof(old: int, new: int, node_at: NodeAt) -> tuple[bytes, ...]:
    """Prove that the tree of `new` leaves extends the tree of `old` leaves (RFC 6962, 2.1.2)."""
    return _read(consistency_plan(old, new), node_at)


def verify_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if `proof` shows `leaf` at `index` under `root`, else raise `LedgerError`.

    Source: RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        raise LedgerError(f"record {index} is not in a tree of {size}", code="index_outside_tree")
    _check_lengths(proof, leaf, root)
    position, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            _refuse("the inclusion proof is too long")
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        _refuse("the inclusion proof is too short")
    if found != root:
        _refuse("the inclusion proof does not lead to the root")


def verify_consistency(
    *, old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if `proof` shows that the new tree extends the old one, else raise `LedgerError`.

    An old size of 0 is refused (`consistency_from_zero`): every tree extends the empty one, so a
    caller that accepted such a proof would have checked nothing. Source: RFC 9162, 2.1.4.2.
    """
    _check_sizes(old, new)
    _check_lengths(proof, old_root, new_root)
    if old == new:
        if proof:
            _refuse("a proof between equal sizes must be empty")
        if old_root != new_root:
            _refuse("two roots are claimed for one size")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        _refuse("the consistency proof is too short")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            _refuse("the consistency proof is too long")
        if position & 1 or position == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        _refuse("the consistency proof is too short")
    if before != old_root:
        _refuse("the consistency proof does not lead to the old root")
    if after != new_root:
        _refuse("the consistency proof does not lead to the new root")


def _split(width: int) -> int:
    """The largest power of two smaller than `width` (width >= 2)."""
    return 1 << (width - 1).bit_length() - 1


def _perfect(low: int, high: int) -> Iterable[Position]:
    """The perfect nodes that cover [low, high), left to right; `low` is aligned to the width."""
    while low < high:
        level = (high - low).bit_length() - 1
        yield level, low >> level
        low += 1 << level


def _folded(hashes: Sequence[bytes]) -> bytes:
    result = hashes[-1]
    for left in hashes[-2::-1]:
        result = node_hash(left, result)
    return result


def _read(plan: Sequence[Sequence[Position]], node_at: NodeAt) -> tuple[bytes, ...]:
    return tuple(_folded([node_at(*place) for place in places]) for places in plan)


def _check_frontier(frontier: Frontier) -> None:
    size, hashes = frontier
    if size < 0 or len(hashes) != size.bit_count() or any(len(h) != HASH_BYTES for h in hashes):
        raise LedgerError(
            f"the frontier does not fit a tree of {size}",
            code="frontier_invalid",
            help="rebuild the frontier from the leaf hashes",
        )


def _check_sizes(old: int, new: int) -> None:
    if old == 0:
        raise LedgerError(
            "a consistency proof from size 0 proves nothing",
            code="consistency_from_zero",
            help="start from a checkpoint with at least one record",
        )
    if not 0 < old <= new:
        raise LedgerError(
            f"a tree of {new} cannot extend a tree of {old}",
            code="tree_smaller",
            help="a smaller tree than one already seen means that records were lost or removed",
        )


def _check_lengths(proof: Sequence[bytes], *hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in (*hashes, *proof)):
        raise LedgerError("a hash is not 32 bytes", code="hash_length")


def _refuse(message: str) -> NoReturn:
    raise LedgerError(
        message,
        code="proof_invalid",
        help="the record, the proof or the root was changed; ask for a fresh copy",
    )
