"""The state at the end of an epoch in pieces, each of which proves itself.

A node that is far behind takes the state under the `state_root` of an epoch's last header instead
of every block. `Manifest` opens that root; what follows from it is cut into numbered chunks, first
the outputs, then the objects. Every honest node makes the same bytes for the same number (of the
manifest only the certificate may differ, for any q signatures prove the block), so that chunks
come from many peers, and one that does not verify names its sender and nobody else.

- A chunk of outputs is a range of 1,024 leaves, as many as one chunk of spent flags: the flags with
  their path, and each leaf, as its hash where it is spent, in full where not.
- A chunk of objects is a subtree of the object tree, numbered as there: all its objects where they
  fit into one chunk, else the digests of its halves, which are chunks of their own. No count of
  objects is committed to, so the cutting is discovered from the root down, and proved step by step.

Nothing here reads a store: `ledger.snapshot_make` and `ledger.snapshot_import` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, TypeAlias

from msgspec import Meta

from ledger import codec
from ledger.accumulator import StateRoots
from ledger.block import (
    COMMIT,
    Certificate,
    Header,
    IsValid,
    check_certificate,
    header_hash,
    is_commit_of,
)
from ledger.codec import Bytes32, Wire
from ledger.crypto import verify
from ledger.merkle import Path
from ledger.mountain_range import verify_range
from ledger.object_tree import place_of, verify_halves, verify_subtree
from ledger.objects import OBJECT_BYTES_MAX, hash_of_value
from ledger.reasons import Invalid, Reason
from ledger.spent_bitmap import CHUNK_FLAGS, SpentProof, verify_chunk
from ledger.transaction import OutPoint
from ledger.validators import ValidatorSet
from ledger.view import OutputEntry, output_leaf

RANGE_HEIGHT = CHUNK_FLAGS.bit_length() - 1
"""Level of the mountain range at which it is cut: a range has as many leaves as a chunk flags."""
CHUNK_BYTES_MAX = 768 * 1024
"""Of an encoded chunk, which leaves room in a frame of 1 MiB. Outputs come to 180 KiB at most."""
OBJECTS_BYTES_MAX = 512 * 1024
"""Of the keys and values in a chunk of objects; a subtree with more is halved."""
OBJECTS_MAX = 4_096
"""In a chunk, which bounds the time that it takes: 20 ms."""
OBJECT_KEY_BYTES_MAX = 256
"""A type byte and an identity: the longest is a name of 32 letters with a hash and numbers."""
SUBTREE_DEPTH_MAX = 52
"""Deeper subtrees have no chunk. One that must be halved there would need eight keys or more whose
hashes agree in 52 bits, and more than 512 KiB of objects below them."""
MANIFEST_BYTES_MAX = 8 * 1024


class Manifest(Wire, frozen=True):
    """What a snapshot is of: the last block of an epoch, made final, and its state root opened."""

    TYPE: ClassVar[int] = 10
    header: Header
    certificate: Certificate
    roots: StateRoots

    @property
    def output_chunks(self) -> int:
        """Chunks below this number hold outputs."""
        return -(-self.roots.outputs_count // CHUNK_FLAGS)

    def object_chunk(self, subtree: int) -> int:
        """The number of the chunk that holds a subtree of the object tree; 1 is the whole."""
        return self.output_chunks + subtree - 1

    def subtree(self, number: int) -> int | None:
        """The subtree that a chunk holds; None for a chunk of outputs, and where none can be."""
        subtree = number - self.output_chunks + 1
        return subtree if 1 <= subtree < 2 << SUBTREE_DEPTH_MAX else None


class Unspent(Wire, frozen=True):
    """An unspent output in full."""

    outpoint: OutPoint
    entry: OutputEntry


class OutputChunk(Wire, frozen=True):
    """A range of leaves. The flags say which of them are in `spent`, which in `unspent`; both are
    in the order of leaves."""

    TYPE: ClassVar[int] = 11
    path: Path
    """Siblings above the range in the mountain range."""
    flags: SpentProof
    spent: Annotated[tuple[Bytes32, ...], Meta(max_length=CHUNK_FLAGS)]
    unspent: Annotated[tuple[Unspent, ...], Meta(max_length=CHUNK_FLAGS)]


class StoredObject(Wire, frozen=True):
    """A protocol object as the store has it."""

    key: Annotated[bytes, Meta(max_length=OBJECT_KEY_BYTES_MAX)]
    value: Annotated[bytes, Meta(max_length=OBJECT_BYTES_MAX)]


class ObjectChunk(Wire, frozen=True):
    """A subtree of the object tree: its objects in the order of their places, or its two halves."""

    TYPE: ClassVar[int] = 12
    path: Annotated[tuple[Bytes32, ...], Meta(max_length=SUBTREE_DEPTH_MAX)]
    objects: Annotated[tuple[StoredObject, ...], Meta(max_length=OBJECTS_MAX)]
    halves: Annotated[tuple[Bytes32, ...], Meta(max_length=2)]


@dataclass(frozen=True, slots=True)
class CheckedOutputs:
    """A range of leaves that the manifest commits to, and the nodes over them by position."""

    flags: bytes
    unspent: tuple[Unspent, ...]
    nodes: list[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class CheckedObjects:
    """Objects that the manifest commits to, or the numbers of the chunks that hold them."""

    objects: Mapping[bytes, bytes]
    halves: tuple[int, ...]


Checked: TypeAlias = CheckedOutputs | CheckedObjects


def check_manifest(
    manifest: Manifest, chain_id: bytes, validators: ValidatorSet, is_valid: IsValid = verify
) -> None:
    """It opens the state root of an epoch's last block, final by `validators`; raises Invalid.

    `validators` is the set of that epoch as the caller knows it, from the headers before or from a
    checkpoint. Nothing else has to be trusted.
    """
    header = manifest.header
    check_last_block(header, manifest.certificate, chain_id, validators, is_valid)
    if manifest.roots.state_root != header.state_root:
        raise Invalid(Reason.BAD_PROOF, f"other roots than those of height {header.height}")


def check_last_block(
    header: Header,
    certificate: Certificate,
    chain_id: bytes,
    validators: ValidatorSet,
    is_valid: IsValid = verify,
) -> None:
    """It is the last of the epoch of `validators`, made final by them; raises Invalid."""
    if header.chain_id != chain_id:
        raise Invalid(Reason.WRONG_CHAIN, header.chain_id.hex())
    if header.validators_hash != validators.hash:  # which covers the epoch
        raise Invalid(Reason.BAD_PROOF, f"epoch {header.epoch} has other validators")
    if not header.ends_epoch:
        raise Invalid(Reason.BAD_PROOF, f"height {header.height} is not the end of an epoch")
    if not is_commit_of(certificate, header, header_hash(header)):
        raise Invalid(Reason.BAD_CERTIFICATE, f"of another block than height {header.height}")
    check_certificate(certificate, chain_id, validators, COMMIT, is_valid)


def check_chunk(manifest: Manifest, number: int, data: bytes) -> Checked:
    """What the encoded chunk of this number holds; raises Invalid unless the manifest, which was
    checked, commits to every byte of it."""
    if 0 <= number < manifest.output_chunks:
        chunk = codec.decode(data, OutputChunk, size_max=CHUNK_BYTES_MAX)
        return _check_outputs(manifest.roots, number, chunk)
    subtree = manifest.subtree(number)
    if subtree is None:
        raise Invalid(Reason.BAD_PROOF, f"there is no chunk {number}")
    objects = codec.decode(data, ObjectChunk, size_max=CHUNK_BYTES_MAX)
    return _check_objects(manifest, number, subtree, objects)


def _check_outputs(roots: StateRoots, number: int, chunk: OutputChunk) -> CheckedOutputs:
    flags = chunk.flags
    if not verify_chunk(roots.spent_root, number, flags):
        raise Invalid(Reason.BAD_PROOF, f"chunk {number} has other flags")
    leaves = _leaves(roots, number, chunk)
    nodes = verify_range(
        roots.outputs_root, roots.outputs_count, number, RANGE_HEIGHT, leaves, chunk.path
    )
    if nodes is None:
        raise Invalid(Reason.BAD_PROOF, f"chunk {number} has other outputs")
    return CheckedOutputs(flags.chunk, chunk.unspent, nodes)


def _leaves(roots: StateRoots, number: int, chunk: OutputChunk) -> list[bytes]:
    """The leaf hashes of a range, each from where its flag says."""
    first = number * CHUNK_FLAGS
    count = min(CHUNK_FLAGS, roots.outputs_count - first)
    flags = int.from_bytes(chunk.flags.chunk, "little")
    if len(chunk.spent) != flags.bit_count() or len(chunk.spent) + len(chunk.unspent) != count:
        raise Invalid(Reason.BAD_PROOF, f"chunk {number} has other outputs than flags")
    spent, unspent = iter(chunk.spent), iter(chunk.unspent)
    leaves = []
    for index in range(count):
        if flags >> index & 1:
            leaves.append(next(spent))
            continue
        output = next(unspent)
        if output.entry.leaf != first + index:
            raise Invalid(Reason.BAD_PROOF, f"chunk {number} has leaf {output.entry.leaf}")
        outpoint = (output.outpoint.txid, output.outpoint.index)
        leaves.append(output_leaf(outpoint, output.entry))
    return leaves


def _check_objects(
    manifest: Manifest, number: int, subtree: int, chunk: ObjectChunk
) -> CheckedObjects:
    root = manifest.roots.objects_root
    if chunk.halves:
        if len(chunk.halves) != 2 or chunk.objects or 2 * subtree >= 2 << SUBTREE_DEPTH_MAX:
            raise Invalid(Reason.BAD_PROOF, f"chunk {number} cannot be halved like this")
        left, right = chunk.halves
        if not verify_halves(root, subtree, (left, right), chunk.path):
            raise Invalid(Reason.BAD_PROOF, f"chunk {number} has other halves")
        first = manifest.object_chunk(2 * subtree)
        return CheckedObjects({}, (first, manifest.object_chunk(2 * subtree + 1)))
    places = [place_of(item.key) for item in chunk.objects]
    if any(one >= two for one, two in pairwise(places)):
        raise Invalid(Reason.BAD_PROOF, f"the objects of chunk {number} are in another order")
    hashes = {item.key: hash_of_value(item.value) for item in chunk.objects}
    if not verify_subtree(root, subtree, hashes, chunk.path):
        raise Invalid(Reason.BAD_PROOF, f"chunk {number} has other objects")
    return CheckedObjects({item.key: item.value for item in chunk.objects}, ())
