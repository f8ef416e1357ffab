"""Ed25519 as the chain rules it, on a library that is more lenient.

OpenSSL accepts keys and R of small order, with which one signature verifies for many messages. So
a key must be canonical and not of small order, R not of small order, S below the group order.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_BYTES = 32
SIGNATURE_BYTES = 64
FIELD_PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
Y_MASK = 2**255 - 1
KEYS_REMEMBERED_MAX = 256

SMALL_ORDER_Y = frozenset(
    (
        0,
        1,
        FIELD_PRIME - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)
"""The y coordinates of the eight points of small order."""


def is_usable_key(key: bytes) -> bool:
    """Canonical and not of small order. Whether it lies on the curve, verification finds."""
    y = int.from_bytes(key, "little") & Y_MASK
    return len(key) == KEY_BYTES and y < FIELD_PRIME and y not in SMALL_ORDER_Y


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's over the message, by every rule."""
    if len(signature) != SIGNATURE_BYTES or not is_usable_key(key):
        return False
    r, s = signature[:KEY_BYTES], signature[KEY_BYTES:]
    y = int.from_bytes(r, "little") & Y_MASK
    if y >= FIELD_PRIME or y in SMALL_ORDER_Y or int.from_bytes(s, "little") >= GROUP_ORDER:
        return False
    try:
        _public_key(key).verify(signature, message)
    except (InvalidSignature, ValueError):  # of which the second is a key that is no point
        return False
    return True


@lru_cache(KEYS_REMEMBERED_MAX)
def _public_key(key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(key)
