"""The sets of all epochs from genesis on, by nothing but the last block of each."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from ledger import codec
from ledger.block import COMMIT, VotePayload, make_certificate
from ledger.boundaries import BOUNDARY_BYTES_MAX, Boundary, boundary_of, check_boundary
from ledger.chain import Chain
from ledger.crypto import ZERO_HASH
from ledger.kv import MemoryKV
from ledger.reasons import Invalid, Reason
from ledger.schema import DamagedChain, certificate_key
from ledger.validators import VALIDATORS_MAX, Member, quorum_size
from tests.ledger.chain_world import CHAIN_ID, EPOCH_BLOCKS, World, is_valid, validators
from tests.ledger.snapshot_world import append, extend, grown, imported


def test_every_set_follows_from_the_first() -> None:
    """Walk five epochs from genesis' set: each boundary gives the next set; the open epoch, and
    one that has not begun, have none."""
    world, chain = grown(MemoryKV(), seed=1, outputs=5, epochs=5)
    append(chain, world, world.make([], {}))
    known = validators(0)
    for epoch in range(5):
        boundary = boundary_of(chain, epoch)
        assert boundary is not None
        assert boundary.header.height == (epoch + 1) * EPOCH_BLOCKS
        known = check_boundary(boundary, CHAIN_ID, known, is_valid)
        assert known == validators(epoch + 1)
    for epoch in (-1, 5, 6, 100):
        assert boundary_of(chain, epoch) is None


def test_a_chain_of_any_height_finds_its_boundaries() -> None:
    """At each height from genesis on exactly the epochs that ended have one."""
    world = World()
    chain = Chain.create(MemoryKV(), world.genesis([(0, 0, 5)]))
    for height in range(1, 4 * EPOCH_BLOCKS):
        append(chain, world, world.make([], {}, ends_epoch=height % EPOCH_BLOCKS == 0))
        found = [epoch for epoch in range(-1, 6) if boundary_of(chain, epoch) is not None]
        assert found == list(range(height // EPOCH_BLOCKS))


def test_an_imported_chain_has_them_all() -> None:
    """The base is a boundary itself; earlier ones were walked and kept."""
    _, original = grown(MemoryKV(), seed=2, outputs=5, epochs=3)
    chain = Chain.open(imported(original.freeze(), original))
    for epoch in range(3):
        assert boundary_of(chain, epoch) == boundary_of(original, epoch)
    assert [boundary_of(chain, epoch) for epoch in (-1, 3)] == [None] * 2


def test_lies_are_refused_by_name() -> None:
    """Another chain, epoch, block, certificate or next set; and every flipped bit."""
    world, chain = grown(MemoryKV(), seed=3, outputs=5, epochs=2)
    boundary, other = boundary_of(chain, 0), boundary_of(chain, 1)
    assert boundary is not None
    assert other is not None
    inner = world.blocks[0]
    middle = replace(boundary, header=inner.block.header, certificate=inner.certificate)
    members = replace(boundary, following=other.following)
    wrong = [
        (boundary, ZERO_HASH, 0, Reason.WRONG_CHAIN),
        (boundary, CHAIN_ID, 1, Reason.BAD_PROOF),
        (other, CHAIN_ID, 0, Reason.BAD_PROOF),
        (middle, CHAIN_ID, 0, Reason.BAD_PROOF),
        (replace(boundary, certificate=other.certificate), CHAIN_ID, 0, Reason.BAD_CERTIFICATE),
        (members, CHAIN_ID, 0, Reason.BAD_PROOF),
        (replace(boundary, following=()), CHAIN_ID, 0, Reason.BAD_PROOF),
    ]
    for value, chain_id, epoch, reason in wrong:
        with pytest.raises(Invalid) as caught:
            check_boundary(value, chain_id, validators(epoch), is_valid)
        assert caught.value.reason is reason
    data = codec.encode(boundary)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(Invalid):
            read = codec.decode(bytes(changed), Boundary, size_max=BOUNDARY_BYTES_MAX)
            check_boundary(read, CHAIN_ID, validators(0), is_valid)


def test_the_largest_boundary_fits() -> None:
    """32 members with the longest names, a quorum of them signed."""
    _, chain = grown(MemoryKV(), seed=4, outputs=5)
    boundary = boundary_of(chain, 0)
    assert boundary is not None
    n = VALIDATORS_MAX
    payload = VotePayload(2**63 - 1, COMMIT, 2**63 - 1, 2**63 - 1, bytes(32))
    certificate = make_certificate(payload, dict.fromkeys(range(quorum_size(n)), bytes(64)))
    large = Boundary(boundary.header, certificate, (Member(bytes(32), "a" * 32),) * n)
    assert len(codec.encode(large)) <= BOUNDARY_BYTES_MAX


def test_a_boundary_without_certificate_is_damage() -> None:
    """What must be there and is not is a fault of this machine."""
    kv = MemoryKV()
    world, chain = grown(kv, seed=5, outputs=5)
    extend(chain, world, Random(1), 1)
    kv.write({}, [certificate_key(EPOCH_BLOCKS)])
    with pytest.raises(DamagedChain):
        boundary_of(chain, 0)
