"""Signatures are verified once, and only good ones are remembered."""

from __future__ import annotations

from node import verify
from node.verify import Verifier

KEY, OTHER, MESSAGE, SIGNATURE = b"k" * 32, b"o" * 32, b"m" * 32, b"s" * 64


class Counting:
    """A verification that counts its calls; only `KEY` signs."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, key: bytes, message: bytes, signature: bytes) -> bool:
        self.calls += 1
        return key == KEY


def test_good_vote_is_verified_once() -> None:
    """The second look at the same triple costs no verification."""
    counting = Counting()
    verifier = Verifier(counting)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert counting.calls == 1


def test_any_other_part_is_verified_anew() -> None:
    """A good triple vouches for nothing that differs from it."""
    counting = Counting()
    verifier = Verifier(counting)
    assert verifier.is_valid(KEY, MESSAGE, SIGNATURE)
    assert verifier.is_valid(KEY, b"n" * 32, SIGNATURE)
    assert verifier.is_valid(KEY, MESSAGE, b"t" * 64)
    assert not verifier.is_valid(OTHER, MESSAGE, SIGNATURE)
    assert counting.calls == 4


def test_bad_signature_is_never_remembered() -> None:
    """A flood of bad ones neither passes later nor takes room."""
    counting = Counting()
    verifier = Verifier(counting)
    for _ in range(3):
        assert not verifier.is_valid(OTHER, MESSAGE, SIGNATURE)
    assert counting.calls == 3


def test_memory_is_bounded_and_forgetting_only_costs_time(monkeypatch) -> None:
    """With room for four, the first of many is verified again, and is still good."""
    monkeypatch.setattr(verify, "VOTES_REMEMBERED", 4)
    counting = Counting()
    verifier = Verifier(counting)
    for number in range(10):
        assert verifier.is_valid(KEY, bytes((number,)) * 32, SIGNATURE)
    calls = counting.calls
    assert verifier.is_valid(KEY, bytes(32), SIGNATURE)
    assert counting.calls == calls + 1
    assert verifier.is_valid(KEY, bytes((9,)) * 32, SIGNATURE)
    assert counting.calls == calls + 1
