"""What the tests of the commitments share: hashes and trees written a second time, naively."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TypeVar

from ledger.codec import Wire, decode_payload, encode_payload
from ledger.reasons import Invalid

Proof = TypeVar("Proof", bound=Wire)


def tagged(name: str, *parts: bytes) -> bytes:
    """The tagged hash, from its description alone."""
    tag = b"marsa/1/" + name.encode()
    lengths = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return sha256(bytes([len(tag)]) + tag + lengths).digest()


def top_of(node: str, level: Sequence[bytes]) -> bytes:
    """The top over hashed leaves, from the top down: the left half is the largest power of two."""
    if len(level) == 1:
        return level[0]
    half = 1
    while half * 2 < len(level):
        half *= 2
    return tagged(node, top_of(node, level[:half]), top_of(node, level[half:]))


def root_of(tree: str, count: int, level: Sequence[bytes]) -> bytes:
    """The root over hashed leaves, with a count."""
    tops = [top_of(f"{tree}/node", level)] if level else []
    return tagged(f"{tree}/root", count.to_bytes(8, "big"), *tops)


def leaf(number: int) -> bytes:
    """A 32-byte hash that no other number has."""
    return sha256(number.to_bytes(8, "big")).digest()


def bit_flips(proof: Proof) -> Iterator[Proof]:
    """The proof with each bit of its encoding turned over, where that still decodes."""
    data = encode_payload(proof)
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        try:
            yield decode_payload(bytes(damaged), type(proof), size_max=len(data))
        except Invalid:
            continue


def none_verifies(proof: Proof, is_valid: Callable[[Proof], bool]) -> bool:
    """Whether every damaged proof that decodes is refused, and at least a hash was damaged."""
    verdicts = [is_valid(damaged) for damaged in bit_flips(proof)]
    return bool(verdicts) and not any(verdicts)
