"""What a client checks against one header, without a ledger: that a transaction is in its block,
that an output is unspent in its state.

A header counts only with its certificate; `block.check_certificate` verifies that. The functions
here never raise on what they are given.
"""

from __future__ import annotations

from ledger.accumulator import StateRoots
from ledger.block import Header
from ledger.codec import Wire
from ledger.merkle import MerkleProof, verify_merkle
from ledger.mountain_range import OutputProof, verify_output
from ledger.spent_bitmap import SpentProof, verify_unspent
from ledger.transaction import OutPoint
from ledger.view import OutputEntry, output_leaf


class TransactionProof(Wire, frozen=True):
    """That a leaf, `wtxid` of a transaction, is in the block of `header`."""

    header: Header
    path: MerkleProof


class UnspentProof(Wire, frozen=True):
    """That an output is unspent after the block of `header`."""

    header: Header
    outpoint: OutPoint
    entry: OutputEntry
    output: OutputProof
    spent: SpentProof
    roots: StateRoots


def verify_transaction(wtxid: bytes, proof: TransactionProof) -> bool:
    """Whether the block of the proof's header holds the transaction."""
    return verify_merkle(proof.header.tx_root, wtxid, proof.path)


def verify_unspent_output(proof: UnspentProof) -> bool:
    """Whether the proof's entry is an unspent output after the block of its header.

    The two halves speak of one leaf: its place in the mountain range is also that of its flag.
    """
    roots, entry = proof.roots, proof.entry
    leaf = output_leaf((proof.outpoint.txid, proof.outpoint.index), entry)
    return (
        roots.state_root == proof.header.state_root
        and proof.output.index == entry.leaf
        and proof.output.count == proof.spent.count == roots.outputs_count
        and verify_output(roots.outputs_root, leaf, proof.output)
        and verify_unspent(roots.spent_root, entry.leaf, proof.spent)
    )
