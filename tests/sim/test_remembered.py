"""What the simulator remembers of decoding is what decoding would have said."""

from __future__ import annotations

from operator import is_

import pytest

from consensus.messages import Status, Suspect
from ledger import chain_load, codec, object_tree, transaction
from ledger.reasons import Invalid, Reason
from tests.sim.clients import Clients
from tests.sim.reference import Reference
from tests.sim.remembered import (
    HASHES,
    remembered_decoding,
    remembered_hashes,
    remembered_tree,
)
from tests.sim.world import sim_world


def test_the_second_reader_is_given_the_value_of_the_first() -> None:
    """The same bytes twice: one object; other bytes or another kind are decoded for themselves."""
    data = codec.encode(Suspect(1, 2))
    with remembered_decoding():
        first = codec.decode(bytes(data), Suspect, size_max=100)
        assert codec.decode(bytes(data), Suspect, size_max=100) is first == Suspect(1, 2)
        assert codec.decode(codec.encode(Suspect(1, 3)), Suspect, size_max=100) == Suspect(1, 3)


def test_faults_and_limits_are_not_remembered() -> None:
    """A remembered value is refused by whoever reads less; what is no message stays none."""
    data = codec.encode(Suspect(1, 2))
    with remembered_decoding():
        codec.decode(data, Suspect, size_max=100)
        with pytest.raises(Invalid) as too_large:
            codec.decode(data, Suspect, size_max=len(data) - 1)
        assert too_large.value.reason is Reason.TOO_LARGE
        for _ in range(2):
            with pytest.raises(Invalid) as malformed:
                codec.decode(data + b"\0", Suspect, size_max=100)
            assert malformed.value.reason is Reason.TRAILING_BYTES


def test_records_without_an_envelope_are_remembered_by_kind() -> None:
    """As messages are: what another kind reads in the same bytes is decoded for itself, and who
    reads less refuses it."""
    data = codec.encode_payload(Suspect(1, 2))
    with remembered_decoding():
        first = codec.decode_payload(bytes(data), Suspect, size_max=100)
        assert codec.decode_payload(bytes(data), Suspect, size_max=100) is first == Suspect(1, 2)
        for kind, size_max in ((Suspect, len(data) - 1), (Status, 100)):
            with pytest.raises(Invalid):
                codec.decode_payload(data, kind, size_max=size_max)


def test_hashes_are_those_of_the_functions_that_stand_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Remembered or not, and where another function was planted, what that one says."""
    right = object_tree._key_hash(b"key")
    with remembered_hashes():
        assert [object_tree._key_hash(b"key") for _ in range(2)] == [right, right]
    monkeypatch.setattr(object_tree, "_key_hash", lambda key: key + b"!")
    with remembered_hashes():
        assert object_tree._key_hash(b"key") == b"key!"
    assert object_tree._key_hash(b"other") == b"other!"


def test_a_check_that_was_passed_is_remembered_for_its_chain_alone() -> None:
    """The second node takes it as checked; on another chain the same bytes are refused again."""
    shared = sim_world(4, 1, mocked=True)
    fees = shared.genesis.parameters.fees
    [tx] = Clients(shared, Reference(shared), 0).make(0, cheat=False)
    with remembered_decoding():
        transaction.check_stateless(tx, shared.chain_id, fees)
        transaction.check_stateless(tx, shared.chain_id, fees)
        for _ in range(2):
            with pytest.raises(Invalid) as refused:
                transaction.check_stateless(tx, bytes(32), fees)
            assert refused.value.reason is Reason.WRONG_CHAIN


def test_the_functions_come_back() -> None:
    """After the simulation the node's own functions stand in their modules, also after an error."""

    def functions() -> list[object]:
        return [
            *(codec.decode, codec.decode_payload, transaction.decode, transaction.check_stateless),
            *(getattr(module, name) for module, name in HASHES),
        ]

    kept = functions()
    with pytest.raises(ZeroDivisionError), remembered_decoding(), remembered_hashes():
        assert not any(map(is_, functions(), kept))
        raise ZeroDivisionError
    assert functions() == kept


def test_a_tree_that_grew_is_the_one_that_is_made_anew() -> None:
    """Objects appear, change and go, and come back: the last tree is changed into each."""
    genesis = sim_world(4, 1, mocked=True).changes
    objects = {key: data for key, data in genesis.objects.items() if data is not None}
    changed = {b"a": b"1", **objects, min(objects): b"2"}
    steps = [objects, changed, {}, {b"a": b"4"}, objects]
    made_anew = [chain_load.tree_of(step) for step in steps]
    with remembered_tree(genesis):
        assert [chain_load.tree_of(step) for step in steps] == made_anew
