"""Signatures at the edges of Ed25519, where implementations are known to disagree."""

from __future__ import annotations

from hashlib import sha256, sha512
from typing import Any

from ledger.crypto import is_canonical_key, is_licensed_key, verify
from tests.ledger.faults import GROUP_ORDER, NON_CANONICAL_KEY, SMALL_ORDER_KEY
from tests.ledger.world import key

FIELD_PRIME = 2**255 - 19


def ed25519_cases() -> list[dict[str, Any]]:
    """Good signatures (the first key is that of RFC 8032, test 1) and every edge case."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer, other = key("vector"), key("another")
    message = sha256(b"message").digest()
    good = signer.sign(message)
    rfc = type(signer)(seed)
    rows = [
        ("rfc 8032 test 1", rfc.public, b"", rfc.sign(b"")),
        ("good", signer.public, message, good),
        ("another key", other.public, message, good),
        ("another message", signer.public, sha256(message).digest(), good),
        ("flipped bit of R", signer.public, message, bytes([good[0] ^ 1]) + good[1:]),
        ("flipped bit of S", signer.public, message, good[:32] + bytes([good[32] ^ 1]) + good[33:]),
        ("short signature", signer.public, message, good[:63]),
        ("S + L", signer.public, message, good[:32] + _shifted(good[32:], GROUP_ORDER)),
        ("S = L", signer.public, message, good[:32] + GROUP_ORDER.to_bytes(32, "little")),
        ("S with high bits", signer.public, message, good[:63] + bytes([good[63] | 0xE0])),
        ("small-order R that fits", signer.public, message, _neutral_r("vector", message)),
        ("key not on the curve", (2).to_bytes(32, "little"), message, good),
        ("key of all ones", b"\xff" * 32, message, good),
    ]
    universal = SMALL_ORDER_KEY + bytes(32)
    for y in _small_order_y():
        for sign_bit in (0, 0x80):
            data = bytearray(y.to_bytes(32, "little"))
            data[31] |= sign_bit
            rows.append((f"small-order key {bytes(data).hex()}", bytes(data), message, universal))
            rows.append(
                (
                    f"small-order R {bytes(data).hex()}",
                    signer.public,
                    message,
                    bytes(data) + good[32:],
                )
            )
    for excess in (0, 1, 2, 18):
        data = (int.from_bytes(NON_CANONICAL_KEY, "little") + excess).to_bytes(32, "little")
        rows.append((f"key y = p + {excess}", data, message, universal))
        rows.append((f"R y = p + {excess}", signer.public, message, data + good[32:]))
    for count in range(4):
        mixed = _plus_order_two(signer.public)
        text = sha256(b"mixed %d" % count).digest()
        rows.append(
            (f"key outside the subgroup {count}", mixed, text, _sign_as(mixed, "vector", text))
        )
    return [
        {
            "name": name,
            "key": public.hex(),
            "message": text.hex(),
            "signature": signature.hex(),
            "valid": verify(public, text, signature),
            "canonical": is_canonical_key(public),
            "licensed": is_licensed_key(public),
        }
        for name, public, text, signature in rows
    ]


def _shifted(scalar: bytes, by: int) -> bytes:
    return (int.from_bytes(scalar, "little") + by).to_bytes(32, "little")


def _scalar(name: str) -> int:
    """The secret scalar of a named key (RFC 8032, 5.1.5)."""
    data = bytearray(sha512(sha256(name.encode()).digest()).digest()[:32])
    data[0] &= 248
    data[31] = data[31] & 127 | 64
    return int.from_bytes(data, "little")


def _challenge(r: bytes, public: bytes, message: bytes) -> int:
    return int.from_bytes(sha512(r + public + message).digest(), "little") % GROUP_ORDER


def _neutral_r(name: str, message: bytes) -> bytes:
    """R is the neutral point, S fits it: verifiers without a rule for R accept this."""
    s = _challenge(SMALL_ORDER_KEY, key(name).public, message) * _scalar(name) % GROUP_ORDER
    return SMALL_ORDER_KEY + s.to_bytes(32, "little")


def _sign_as(public: bytes, name: str, message: bytes) -> bytes:
    """A signature for a key that is `name`'s plus a point of order two; fits where the challenge
    is even."""
    nonce = key(f"nonce of {name}")
    s = _scalar(f"nonce of {name}") + _challenge(nonce.public, public, message) * _scalar(name)
    return nonce.public + (s % GROUP_ORDER).to_bytes(32, "little")


def _plus_order_two(public: bytes) -> bytes:
    """P + (0, -1) = (-x, -y)."""
    encoded = int.from_bytes(public, "little")
    y, sign_bit = encoded & (2**255 - 1), encoded >> 255
    return ((sign_bit ^ 1) << 255 | FIELD_PRIME - y).to_bytes(32, "little")


def _small_order_y() -> list[int]:
    order_eight = 2707385501144840649318225287225658788936804267575313519463743609750303402022
    return [0, 1, FIELD_PRIME - 1, order_eight, FIELD_PRIME - order_eight]
