"""Stored objects: what is damaged or missing is the fault of this disk, not of a block."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.codec import encode
from ledger.draft import Draft
from ledger.objects import FeePot, LedgerClock, key_of, load, load_all, load_one
from ledger.schema import DamagedChain
from tests.ledger.world import TIME_MS, World


class Stored:
    """A view of given objects."""

    def __init__(self, **objects: bytes) -> None:
        self._objects = {bytes.fromhex(key[1:]): value for key, value in objects.items()}

    def object(self, key: bytes) -> bytes | None:
        return self._objects.get(key)

    def objects(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return ((key, value) for key, value in self._objects.items() if key.startswith(prefix))


CLOCK_KEY = "x" + key_of(LedgerClock).hex()


def test_an_object_is_read_as_it_was_stored() -> None:
    """One clock, found by its key and by its kind; no fee pot."""
    clock = LedgerClock(7)
    view = Stored(**{CLOCK_KEY: encode(clock)})
    assert load_one(view, LedgerClock) == clock
    assert load_all(view, LedgerClock) == [clock]
    assert load(view, FeePot, bytes(32)) is None


@pytest.mark.parametrize(
    "data", [b"", encode(LedgerClock(7))[:-1], encode(FeePot(0, bytes(32), 1))]
)
def test_bytes_that_are_no_such_object_stop_the_node(data: bytes) -> None:
    """Empty, cut, and another kind: damage, never an Invalid that a block could be blamed for."""
    view = Stored(**{CLOCK_KEY: data})
    for read in (lambda: load_one(view, LedgerClock), lambda: load_all(view, LedgerClock)):
        with pytest.raises(DamagedChain, match="LedgerClock cannot be read"):
            read()


def test_the_one_object_that_is_missing_stops_the_node() -> None:
    """Every state holds a clock."""
    with pytest.raises(DamagedChain, match="holds no LedgerClock"):
        load_one(Stored(), LedgerClock)


def test_a_draft_reads_the_clock_that_it_wrote() -> None:
    """What a draft has decoded once is forgotten as soon as it is written."""
    draft = Draft(World().state, TIME_MS)
    assert draft.clock_ms == TIME_MS
    draft.put(LedgerClock(TIME_MS + 5))
    assert draft.clock_ms == TIME_MS + 5
    draft.remove(LedgerClock, b"")
    with pytest.raises(DamagedChain, match="no LedgerClock"):
        draft.one(LedgerClock)
