"""Hashes with domain tags, Ed25519 signatures and the rules for keys.

A digest is SHA-256 over a tag and length-prefixed parts, so that no two meanings and no two
splittings of the same bytes share a preimage (compare CVE-2023-46132, where concatenation without
lengths linked foreign blocks). Signatures are Ed25519 (RFC 8032) over `H(tag, chain_id, payload)`.

Only libsodium verifies inside consensus: implementations disagree on edge cases. It refuses a
non-canonical S, a small-order R and a small-order or non-canonical public key.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

HASH_BYTES = 32
SIGNATURE_BYTES = 64
ZERO_HASH = bytes(HASH_BYTES)
_DOMAIN = "marsa/1/"
_FIELD_PRIME = 2**255 - 19
_Y_MASK = (1 << 255) - 1

# The eight points of small order, as y coordinates (RFC 8032 encoding without the sign bit).
# With such a key one signature verifies for many messages.
_SMALL_ORDER_Y = frozenset(
    (
        0,
        1,
        _FIELD_PRIME - 1,
        2707385501144840649318225287225658788936804267575313519463743609750303402022,
        55188659117513257062467267217118295137698188065244968500265048394206261417927,
    )
)


def tagged_hash(name: str) -> Callable[..., bytes]:
    """The digest function of one meaning: SHA-256(len(tag), tag, then len(part), part for each)."""
    prefix = _prefix(name)

    def digest(*parts: bytes) -> bytes:
        data = prefix
        for part in parts:
            data += len(part).to_bytes(4, "big") + part
        return sha256(data).digest()

    return digest


def pair_hash(name: str) -> Callable[[bytes, bytes], bytes]:
    """`tagged_hash(name)` of exactly two 32-byte parts: the same digest in half the time.

    For inner nodes of trees. The caller vouches for the lengths.
    """
    length = HASH_BYTES.to_bytes(4, "big")
    prefix = _prefix(name) + length

    def digest(left: bytes, right: bytes) -> bytes:
        return sha256(prefix + left + length + right).digest()

    return digest


def part_hash(name: str) -> Callable[[bytes], bytes]:
    """`tagged_hash(name)` of exactly one part: the same digest in two thirds of the time."""
    prefix = _prefix(name)

    def digest(part: bytes) -> bytes:
        return sha256(prefix + len(part).to_bytes(4, "big") + part).digest()

    return digest


def _prefix(name: str) -> bytes:
    tag = (_DOMAIN + name).encode("ascii")
    return bytes((len(tag),)) + tag


def is_canonical_key(key: bytes) -> bool:
    """A public key's y coordinate is below the field prime and the point is not of small order.

    Cheap (no curve arithmetic): for keys revealed by a spender. Whether the point lies on the
    curve is found by verification itself.
    """
    y = int.from_bytes(key, "little") & _Y_MASK
    return len(key) == HASH_BYTES and y < _FIELD_PRIME and y not in _SMALL_ORDER_Y


def is_licensed_key(key: bytes) -> bool:
    """As `is_canonical_key`, and the point lies in the prime-order subgroup.

    For keys that are registered once (genesis, licences): 33 us.
    """
    return is_canonical_key(key) and bool(crypto_core_ed25519_is_valid_point(key))


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    """True when `signature` (64 bytes) is `key`'s over `message`; never raises on bad input."""
    if len(signature) != SIGNATURE_BYTES or len(key) != HASH_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


class SigningKey:
    """An Ed25519 key pair from its 32-byte seed. Never printed, never compared."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        self.public, self._secret = crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """64 bytes, deterministic (RFC 8032)."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public.hex()})"
