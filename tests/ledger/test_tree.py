"""The Merkle tree: the public vectors, a naive definition beside ours, and everything refused."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.errors import LedgerError
from bailiwick.ledger.tree import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    append,
    consistency_plan,
    consistency_proof,
    frontier_positions,
    inclusion_plan,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves, roots and proofs with which Certificate Transparency logs are tested
# (RFC 6962, section 2.1.3 shows the tree's shape).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PAIR_0 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
PAIR_1 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
PAIR_2 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
PAIR_3 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
HALF_0 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
HALF_1 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSION = [
    (0, 1, []),
    (1, 2, [LEAF_0]),
    (2, 3, [PAIR_0]),
    (1, 5, [LEAF_0, PAIR_1, LEAF_4]),
    (0, 8, [LEAF_1, PAIR_1, HALF_1]),
    (5, 8, [LEAF_4, PAIR_3, HALF_0]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEAF_1, PAIR_1, HALF_1]),
    (2, 5, [PAIR_1, LEAF_4]),
    (6, 8, [PAIR_2, PAIR_3, HALF_0]),
]

Nodes = dict[tuple[int, int], bytes]


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 defines it, over leaf hashes."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH as RFC 6962 section 2.1.1 defines it."""
    if len(leaves) == 1:
        return []
    split = naive_split(len(leaves))
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_proof(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF as RFC 6962 section 2.1.2 defines it."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    split = naive_split(len(leaves))
    if old <= split:
        return [*naive_proof(old, leaves[:split], whole), naive_root(leaves[split:])]
    return [*naive_proof(old - split, leaves[split:], False), naive_root(leaves[:split])]


def naive_split(width: int) -> int:
    """The largest power of two smaller than the width."""
    split = 1
    while split * 2 < width:
        split *= 2
    return split


def grown(leaves: Sequence[bytes], *sizes: int) -> tuple[Frontier, Nodes]:
    """Append leaf hashes in batches of the given sizes, and the rest at once; keep all nodes."""
    frontier, at = Frontier(), 0
    nodes: Nodes = {}
    for size in (*sizes, len(leaves)):
        batch = leaves[at : at + size]
        nodes |= {(0, at + index): leaf for index, leaf in enumerate(batch)}
        frontier, completed = append(frontier, batch)
        nodes |= {(level, index): node for level, index, node in completed}
        at += len(batch)
    return frontier, nodes


def lookup(nodes: Nodes) -> Callable[[int, int], bytes]:
    """Give the `node_at` of a dictionary."""
    return lambda level, index: nodes[level, index]


def damaged(proof: list[bytes], stray: bytes) -> list[list[bytes]]:
    """A proof with one hash more, one hash other, one hash less, and cut short."""
    return [
        [*proof, stray],
        [stray, *proof],
        *([*proof[:at], stray, *proof[at + 1 :]] for at in range(len(proof))),
        *([*proof[:at], *proof[at + 1 :]] for at in range(len(proof))),
        *(proof[:at] for at in range(len(proof))),
    ]


@pytest.mark.claim("ledger.rfc6962-vectors")
@pytest.mark.parametrize("size", range(9))
def test_roots_of_the_public_vectors(size: int) -> None:
    frontier, _ = grown([leaf_hash(leaf) for leaf in LEAVES[:size]])
    assert root(frontier).hex() == ROOTS[size]


@pytest.mark.claim("ledger.rfc6962-vectors")
@pytest.mark.parametrize(("index", "size", "expected"), INCLUSION)
def test_inclusion_proofs_of_the_public_vectors(index: int, size: int, expected: list[str]) -> None:
    leaves = [leaf_hash(leaf) for leaf in LEAVES]
    _, nodes = grown(leaves)
    proof = inclusion_proof(index, size, lookup(nodes))
    assert [item.hex() for item in proof] == expected
    verify_inclusion(
        index=index, size=size, leaf=leaves[index], proof=proof, root=bytes.fromhex(ROOTS[size])
    )


@pytest.mark.claim("ledger.rfc6962-vectors")
@pytest.mark.parametrize(("old", "new", "expected"), CONSISTENCY)
def test_consistency_proofs_of_the_public_vectors(old: int, new: int, expected: list[str]) -> None:
    _, nodes = grown([leaf_hash(leaf) for leaf in LEAVES])
    proof = consistency_proof(old, new, lookup(nodes))
    assert [item.hex() for item in proof] == expected
    old_root, new_root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[new])
    verify_consistency(old=old, new=new, old_root=old_root, new_root=new_root, proof=proof)


@given(st.integers(0, 300), st.lists(st.integers(0, 70), max_size=8))
def test_batches_of_any_size_give_the_tree_that_the_rfc_defines(
    size: int, batches: list[int]
) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    frontier, nodes = grown(leaves, *batches)
    assert root(frontier) == naive_root(leaves)
    perfect = {
        (level, index): naive_root(leaves[index << level : (index + 1) << level])
        for level in range(9)
        for index in range(size >> level)
    }
    assert nodes == perfect
    assert frontier.hashes == tuple(nodes[place] for place in frontier_positions(size))


@given(st.data(), st.integers(1, 130))
def test_inclusion_proofs_are_those_that_the_rfc_defines(data: st.DataObject, size: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(130)]
    _, nodes = grown(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, lookup(nodes))
    assert list(proof) == naive_path(index, leaves[:size])
    expected = naive_root(leaves[:size])
    verify_inclusion(index=index, size=size, leaf=leaves[index], proof=proof, root=expected)


@given(st.data(), st.integers(1, 130))
def test_consistency_proofs_are_those_that_the_rfc_defines(data: st.DataObject, new: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(130)]
    _, nodes = grown(leaves)
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, lookup(nodes))
    assert list(proof) == naive_proof(old, leaves[:new])
    roots = {"old_root": naive_root(leaves[:old]), "new_root": naive_root(leaves[:new])}
    verify_consistency(old=old, new=new, proof=proof, **roots)


@pytest.mark.parametrize("size", range(2, 21))
def test_an_inclusion_proof_verifies_in_no_other_place(size: int) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    _, nodes = grown(leaves)
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(index, size, lookup(nodes))
        for other in set(range(size)) - {index}:
            with pytest.raises(LedgerError, match="proof"):
                verify_inclusion(
                    index=other, size=size, leaf=leaf, proof=proof, root=naive_root(leaves)
                )


@given(st.data(), st.integers(1, 40))
def test_every_changed_part_of_an_inclusion_proof_is_refused(
    data: st.DataObject, size: int
) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    _, nodes = grown(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = list(inclusion_proof(index, size, lookup(nodes)))
    leaf, top, stray = leaves[index], naive_root(leaves), sha256(b"stray").digest()
    wrongs = [(stray, proof, top), (leaf, proof, stray)]
    wrongs += [(leaf, other, top) for other in damaged(proof, stray)]
    for wrong_leaf, wrong_proof, wrong_root in wrongs:
        with pytest.raises(LedgerError):
            verify_inclusion(
                index=index, size=size, leaf=wrong_leaf, proof=wrong_proof, root=wrong_root
            )


@given(st.data(), st.integers(2, 40))
def test_every_changed_part_of_a_consistency_proof_is_refused(
    data: st.DataObject, new: int
) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(new)]
    _, nodes = grown(leaves)
    old = data.draw(st.integers(1, new))
    proof = list(consistency_proof(old, new, lookup(nodes)))
    before, after, stray = naive_root(leaves[:old]), naive_root(leaves), sha256(b"stray").digest()
    wrongs = [(stray, proof, after), (before, proof, stray)]
    wrongs += [(before, other, after) for other in damaged(proof, stray)]
    for old_root, wrong_proof, new_root in wrongs:
        with pytest.raises(LedgerError):
            verify_consistency(
                old=old, new=new, old_root=old_root, new_root=new_root, proof=wrong_proof
            )


@pytest.mark.claim("ledger.consistency-from-zero-refused")
@pytest.mark.parametrize("new", [0, 1, 7, 8])
def test_a_consistency_proof_from_size_zero_is_refused(new: int) -> None:
    with pytest.raises(LedgerError) as caught:
        verify_consistency(
            old=0, new=new, old_root=EMPTY_ROOT, new_root=bytes.fromhex(ROOTS[new]), proof=()
        )
    assert caught.value.code == "consistency_from_zero"
    with pytest.raises(LedgerError) as caught:
        consistency_plan(0, new)
    assert caught.value.code == "consistency_from_zero"


def test_equal_sizes_need_equal_roots_and_an_empty_proof() -> None:
    one, other = bytes.fromhex(ROOTS[7]), bytes.fromhex(ROOTS[8])
    verify_consistency(old=7, new=7, old_root=one, new_root=one, proof=())
    with pytest.raises(LedgerError, match="two roots"):
        verify_consistency(old=7, new=7, old_root=one, new_root=other, proof=())
    with pytest.raises(LedgerError, match="must be empty"):
        verify_consistency(old=7, new=7, old_root=one, new_root=one, proof=(one,))


@pytest.mark.parametrize(("old", "new"), [(8, 7), (-1, 7), (1, 0)])
def test_a_smaller_tree_extends_nothing(old: int, new: int) -> None:
    with pytest.raises(LedgerError) as caught:
        verify_consistency(old=old, new=new, old_root=EMPTY_ROOT, new_root=EMPTY_ROOT, proof=())
    assert caught.value.code == "tree_smaller"


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8)])
def test_a_place_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(LedgerError) as caught:
        inclusion_plan(index, size)
    assert caught.value.code == "index_outside_tree"
    with pytest.raises(LedgerError) as caught:
        verify_inclusion(index=index, size=size, leaf=EMPTY_ROOT, proof=(), root=EMPTY_ROOT)
    assert caught.value.code == "index_outside_tree"


@pytest.mark.parametrize(
    "frontier",
    [
        Frontier(3, (EMPTY_ROOT,)),
        Frontier(0, (EMPTY_ROOT,)),
        Frontier(1, (b"short",)),
        Frontier(-1, (EMPTY_ROOT,)),
    ],
)
def test_a_frontier_that_does_not_fit_its_size_is_refused(frontier: Frontier) -> None:
    with pytest.raises(LedgerError) as caught:
        append(frontier, [])
    assert caught.value.code == "frontier_invalid"
    with pytest.raises(LedgerError):
        root(frontier)


def test_only_whole_hashes_enter_the_tree_and_it_has_an_end() -> None:
    with pytest.raises(LedgerError) as caught:
        append(Frontier(), [EMPTY_ROOT, b"short"])
    assert caught.value.code == "hash_length"
    full = Frontier(MAX_SIZE, (EMPTY_ROOT,) * 63)
    with pytest.raises(LedgerError) as caught:
        append(full, [EMPTY_ROOT])
    assert caught.value.code == "tree_full"


def test_proofs_hold_whole_hashes_only() -> None:
    whole, short = EMPTY_ROOT, EMPTY_ROOT[:31]
    for leaf, proof, top in ((short, [whole], whole), (whole, [short], whole), (whole, [], short)):
        with pytest.raises(LedgerError) as caught:
            verify_inclusion(index=0, size=2, leaf=leaf, proof=proof, root=top)
        assert caught.value.code == "hash_length"
        with pytest.raises(LedgerError) as caught:
            verify_consistency(old=1, new=2, old_root=leaf, new_root=top, proof=proof)
        assert caught.value.code == "hash_length"


def test_a_plan_names_few_nodes_even_in_a_huge_tree() -> None:
    size = 2**40 + 2**20 + 1
    assert sum(map(len, inclusion_plan(2**39, size))) < 2 * 41
    assert sum(map(len, consistency_plan(2**39 + 1, size))) < 2 * 41


def test_leaves_and_nodes_are_hashed_apart() -> None:
    left, right = leaf_hash(b"left"), leaf_hash(b"right")
    assert leaf_hash(left + right) != node_hash(left, right)
