"""What the simulator remembers of decoding is what decoding would have said."""

from __future__ import annotations

import pytest

from consensus.messages import Suspect
from ledger import chain_load, codec, transaction
from ledger.reasons import Invalid, Reason
from tests.sim.remembered import remembered_decoding, remembered_tree


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


def test_the_functions_come_back() -> None:
    """After the simulation the node's own functions stand in their modules, also after an error."""
    kept = codec.decode, transaction.decode
    with pytest.raises(ZeroDivisionError), remembered_decoding():
        assert (codec.decode, transaction.decode) != kept
        raise ZeroDivisionError
    assert (codec.decode, transaction.decode) == kept


def test_a_tree_that_grew_is_the_one_that_is_made_anew() -> None:
    """Objects appear, change and go, and come back: the last tree is changed into each."""
    steps = [{b"a": b"1", b"b": b"2"}, {b"a": b"1", b"c": b"3"}, {}, {b"a": b"4", b"c": b"3"}]
    made_anew = [chain_load.tree_of(objects) for objects in steps]
    with remembered_tree():
        assert [chain_load.tree_of(objects) for objects in steps] == made_anew
