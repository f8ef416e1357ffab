"""Hashes that never collide across meanings, and the edge cases of Ed25519."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.crypto import (
    SigningKey,
    is_canonical_key,
    is_licensed_key,
    pair_hash,
    part_hash,
    tagged_hash,
    verify,
)
from tests.ledger.faults import GROUP_ORDER, NON_CANONICAL_KEY, SMALL_ORDER_KEY

PRIME = 2**255 - 19
KEY = SigningKey(sha256(b"a key").digest())
MESSAGE = sha256(b"a message").digest()
TORSION_Y = 2707385501144840649318225287225658788936804267575313519463743609750303402022
SMALL_ORDER = [
    y.to_bytes(32, "little")[:31] + bytes((y >> 248 | sign,))
    for y in (0, 1, PRIME - 1, TORSION_Y, PRIME - TORSION_Y)
    for sign in (0, 0x80)
]


def test_tag_and_lengths_are_hashed() -> None:
    """The digest is what the protocol says, byte for byte."""
    expected = sha256(b"\x0cmarsa/1/lock" + b"\0\0\0\x02ab" + b"\0\0\0\x01c").digest()
    assert tagged_hash("lock")(b"ab", b"c") == expected


@given(st.lists(st.binary(max_size=5), max_size=4), st.lists(st.binary(max_size=5), max_size=4))
def test_no_two_splittings_share_a_digest(one: list[bytes], two: list[bytes]) -> None:
    """Equal digests mean equal lists of parts, and tags keep equal parts apart."""
    digest = tagged_hash("a")
    assert (digest(*one) == digest(*two)) == (one == two)
    assert digest(*one) != tagged_hash("b")(*one)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_pair_hash_is_the_tagged_hash_of_two(left: bytes, right: bytes) -> None:
    """The fast form hashes the same bytes."""
    assert pair_hash("n")(left, right) == tagged_hash("n")(left, right)


@given(st.binary(max_size=300))
def test_part_hash_is_the_tagged_hash_of_one(part: bytes) -> None:
    """The fast form hashes the same bytes."""
    assert part_hash("n")(part) == tagged_hash("n")(part)


@pytest.mark.parametrize("key", SMALL_ORDER, ids=bytes.hex)
def test_small_order_keys_are_refused(key: bytes) -> None:
    """All points of small order, with either sign bit, as keys to reveal and to register."""
    assert not is_canonical_key(key)
    assert not is_licensed_key(key)


@pytest.mark.parametrize("excess", range(19))
def test_keys_spelled_above_the_prime_are_refused(excess: int) -> None:
    """Every y in [p, 2^255) is another spelling of a smaller one."""
    key = (PRIME + excess).to_bytes(32, "little")
    assert not is_canonical_key(key)
    assert not is_licensed_key(key)


def test_ordinary_keys_pass_and_points_off_the_curve_cannot_be_licensed() -> None:
    """A generated key passes both checks; y = 2 is on no point of the curve."""
    assert is_canonical_key(KEY.public)
    assert is_licensed_key(KEY.public)
    assert not is_licensed_key((2).to_bytes(32, "little"))
    assert not is_canonical_key(KEY.public[:31])


def test_a_key_with_a_torsion_part_cannot_be_licensed() -> None:
    """The sum of a good key and a point of order two is canonical, yet outside the subgroup."""
    mixed = _negated_x_and_y(KEY.public)
    assert is_canonical_key(mixed)
    assert not is_licensed_key(mixed)


def test_signatures_verify_and_bind_key_and_message() -> None:
    """Right for its own key and message, wrong for any other."""
    signature = KEY.sign(MESSAGE)
    other = SigningKey(sha256(b"another").digest())
    assert verify(KEY.public, MESSAGE, signature)
    assert not verify(other.public, MESSAGE, signature)
    assert not verify(KEY.public, MESSAGE[::-1], signature)
    assert KEY.sign(MESSAGE) == signature


def test_malleable_and_degenerate_signatures_are_refused() -> None:
    """S + L, a small-order R, a small-order key with the signature that suits every message."""
    signature = KEY.sign(MESSAGE)
    lifted = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert not verify(KEY.public, MESSAGE, signature[:32] + lifted.to_bytes(32, "little"))
    assert not verify(KEY.public, MESSAGE, SMALL_ORDER_KEY + signature[32:])
    universal = SMALL_ORDER_KEY + bytes(32)
    assert not verify(SMALL_ORDER_KEY, MESSAGE, universal)
    assert not verify(NON_CANONICAL_KEY, MESSAGE, universal)


@given(st.binary(max_size=40), st.binary(max_size=70))
def test_verify_never_raises(key: bytes, signature: bytes) -> None:
    """Keys and signatures of any length are refused quietly."""
    assert not verify(key, MESSAGE, signature)


def test_a_signing_key_never_shows_its_secret() -> None:
    """Neither repr nor str holds the seed."""
    seed = sha256(b"a key").digest()
    assert seed.hex() not in repr(KEY) + str(KEY)
    assert KEY.public.hex() in repr(KEY)


def _negated_x_and_y(key: bytes) -> bytes:
    """P + (0, -1) = (-x, -y), by the addition law of the curve."""
    encoded = int.from_bytes(key, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    return (((sign ^ 1) << 255) | (PRIME - y)).to_bytes(32, "little")
