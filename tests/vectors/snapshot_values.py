"""Values of the structs that a snapshot travels in, for the golden vectors."""

from __future__ import annotations

from ledger.block import Certificate
from ledger.boundaries import Boundary
from ledger.codec import Wire
from ledger.proofs import UnspentProof
from ledger.snapshot import Manifest, ObjectChunk, OutputChunk, StoredObject, Unspent
from ledger.transaction import OutPoint
from ledger.validators import Member


def snapshot_values(proof: UnspentProof, certificate: Certificate) -> list[Wire]:
    unspent = Unspent(OutPoint(bytes(32), 2**32 - 1), proof.entry)
    item = StoredObject(b"\x20", b"\x20\x01")
    return [
        Boundary(proof.header, certificate, (Member(bytes(32), "val0"),)),
        Manifest(proof.header, certificate, proof.roots),
        unspent,
        OutputChunk(proof.output.path, proof.spent, (bytes(32),), (unspent,)),
        item,
        StoredObject(b"\xff" * 256, b""),
        ObjectChunk((bytes(32),), (item,), ()),
        ObjectChunk((), (), (bytes(32), b"\xff" * 32)),
    ]
