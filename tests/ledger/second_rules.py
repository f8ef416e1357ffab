"""The rules of keys, signatures and transactions a second time; it imports nothing of the node.

`cryptography` verifies with OpenSSL, which accepts keys and R of small order: the rules that
libsodium has built in are worked out here from the curve itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise, product
from typing import Any

import msgpack
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.ledger.second_codec import read
from tests.ledger.second_shape import Refused, digest, need

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1)

GOVERNMENT = {3, 4, 5, 6, 7, 11, 14, 15, 16, 28, 29, 30, 41, 42}
MINT, BURN, EVIDENCE, APPLY, ROTATE = 1, 2, 9, 10, 13
PLEDGE, CHALLENGE, DEPOSIT, WITHDRAW = 18, 21, 26, 27
REDEEM, POST, DISPUTE = 31, 35, 37
"""Numbers of operations."""
KEY_PLACE = {1: 2, 8: 2, 12: 2, 13: 2, 17: 1, 27: 2, **dict.fromkeys(range(18, 21), 2)}
KEY_PLACE |= dict.fromkeys(range(22, 26), 2)
KEY_PLACE |= {POST: 2, 38: 2, **dict.fromkeys((32, 33, 34, 36, DISPUTE), 3)}
"""Where an operation names the key that signs it."""

KEYS_KEPT = 4_096
"""Of which it is known what they are: curves take milliseconds here, and the same keys return."""

Point = tuple[int, int]


def add(a: Point, b: Point) -> Point:
    """The complete addition law, in affine coordinates."""
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P
    return x, y


def multiply(n: int, point: Point) -> Point:
    total = NEUTRAL
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def point_of(data: bytes) -> Point | None:
    """The point of 32 bytes, None where y is not canonical or on no point."""
    number = int.from_bytes(data, "little")
    y, sign = number & (2**255 - 1), number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * SQRT_MINUS_ONE % P
    if x * x % P != square or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


@lru_cache(maxsize=KEYS_KEPT)
def has_small_order(data: bytes) -> bool:
    """Judged by y alone: a point and its negative share their order."""
    point = point_of(data[:31] + bytes((data[31] & 0x7F,)))
    return point is not None and multiply(8, point) == NEUTRAL


def is_canonical_key(key: bytes) -> bool:
    y = int.from_bytes(key, "little") & (2**255 - 1)
    return len(key) == 32 and y < P and not has_small_order(key)


@lru_cache(maxsize=KEYS_KEPT)
def is_licensed_key(key: bytes) -> bool:
    point = point_of(key) if is_canonical_key(key) else None
    return point is not None and multiply(L, point) == NEUTRAL


def verify(key: bytes, message: bytes, signature: bytes) -> bool:
    if len(signature) != 64 or not is_canonical_key(key) or has_small_order(signature[:32]):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return int.from_bytes(signature[32:], "little") < L


def pack(value: Any) -> bytes:
    return bytes(msgpack.packb(value, use_bin_type=True))


def asset_of(chain_id: bytes, issuer: str) -> bytes:
    return digest("asset", chain_id, issuer.encode(), b"\0", bytes(8))


def lock_of(condition: Any) -> bytes:
    return digest("lock", pack(condition))


def identities(raw: bytes) -> dict[str, Any]:
    """Everything that follows from the bytes of a transaction."""
    body, witness = read("SealedTransaction", raw, 16 * 1024)
    txid = digest("txid", pack(body))
    return {
        "body": body,
        "witness": witness,
        "txid": txid,
        "wtxid": digest("wtxid", txid, digest("witness", pack(witness))),
        "sighash": digest("transaction", body[1], txid),
        "locks": [lock_of(item) for item in witness[0]],
    }


def check(raw: bytes, chain_id: bytes, fees: tuple[int, int, int]) -> dict[str, Any]:
    """All checks that need no state; raises Refused with the reason."""
    found = identities(raw)
    body, witness = found["body"], found["witness"]
    _, chain, inputs, outputs, fee, operations, _, _ = body
    need(chain == chain_id, "wrong_chain")
    need(bool(inputs or operations), "no_effect")
    points = [(item[0], item[1]) for item in inputs]
    need(len(set(points)) == len(points), "duplicate_input")
    _check_company(inputs, operations)
    need(count_of(operations) <= 32, "too_many")
    _check_holders(chain_id, inputs, operations)
    _check_amounts(chain_id, inputs, outputs, fee, operations)
    _check_fee(len(raw), inputs, outputs, fee, witness, fees)
    _check_witness(found["locks"], witness, operations)
    for key, signature in witness[1]:
        need(verify(key, found["sighash"], signature), "bad_signature")
    for item in operations:
        if item[0] == EVIDENCE:
            for vote, signature in (item[3:5], item[5:7]):
                message = digest("vote", chain_id, pack(vote))
                need(verify(item[2], message, signature), "bad_signature")
        elif item[0] == POST:
            message = digest("redemption/receipt", chain_id, pack(item[3]))
            need(verify(item[4], message, item[5]), "bad_signature")
    return found


def is_government(operations: Any) -> bool:
    """Whether validators, regulator or both have to carry the transaction."""
    return any(item[0] in GOVERNMENT for item in operations)


def _check_company(inputs: Any, operations: Any) -> None:
    if is_government(operations):
        need(not inputs and {item[0] for item in operations} <= GOVERNMENT, "not_alone")
    for item in operations:
        if item[0] == EVIDENCE:
            need(item[3][:4] == item[5][:4] and item[3][4] < item[5][4], "no_conflict")


def count_of(operations: Any) -> int:
    """Eight devices that are pledged, or fewer, are one."""
    return sum((len(item[5]) + 7) // 8 if item[0] == PLEDGE else 1 for item in operations)


def _taken(chain_id: bytes, operations: Any) -> Counter[bytes]:
    """What operations of holders take out: burned, deposited, put into a bond or an order."""
    taken: Counter[bytes] = Counter()
    for item in operations:
        if item[0] in (BURN, CHALLENGE, DEPOSIT, DISPUTE):
            place = {BURN: 1, CHALLENGE: 3, DEPOSIT: 2, DISPUTE: 5}[item[0]]
            taken[item[place]] += item[place + 1]
        elif item[0] == REDEEM:
            taken[asset_of(chain_id, item[1])] += item[4]
    return taken


def _check_holders(chain_id: bytes, inputs: Any, operations: Any) -> None:
    """What they take comes out of inputs, however much is minted beside; wishes are paid for."""
    need(bool(inputs) or all(item[0] != APPLY for item in operations), "fee_too_low")
    spent: Counter[bytes] = Counter()
    for item in inputs:
        spent[item[2]] += item[3]
    taken = _taken(chain_id, operations)
    need(all(amount <= spent[asset] for asset, amount in taken.items()), "unbalanced")


def _check_amounts(chain_id: bytes, inputs: Any, outputs: Any, fee: Any, operations: Any) -> None:
    into: Counter[bytes] = Counter()
    out = _taken(chain_id, operations)
    out[fee[0]] += fee[1]
    for item in inputs:
        into[item[2]] += item[3]
    for item in operations:
        if item[0] == MINT:
            into[asset_of(chain_id, item[1])] += item[5]
        elif item[0] == WITHDRAW:
            into[item[5]] += item[6]
    for item in outputs:
        out[item[0]] += item[1]
    need(all(into[asset] == out[asset] for asset in {*into, *out}), "unbalanced")


def _check_fee(
    size: int, inputs: Any, outputs: Any, fee: Any, witness: Any, fees: tuple[int, int, int]
) -> None:
    if not inputs:
        need(fee == [bytes(32), 0], "fee_not_allowed")
        return
    growth = max(0, len(outputs) - len(inputs))
    needed = fees[0] * size + fees[1] * max(1, len(witness[1])) + fees[2] * growth
    need(fee[1] >= needed, "fee_too_low")
    need(any(item[2] == fee[0] for item in inputs), "fee_not_allowed")


def _check_witness(locks: list[bytes], witness: Any, operations: Any) -> None:
    conditions, signatures, preimages = witness
    keys = [item[0] for item in signatures]
    digests = [sha256(item).digest() for item in preimages]
    for values in (locks, keys, digests):
        need(all(a < b for a, b in pairwise(values)), "witness_order")
    for item in conditions:
        _check_condition(item)
    if is_government(operations):
        need(not digests, "spare_preimage")
        return
    actors = {item[KEY_PLACE[item[0]]] for item in operations if item[0] in KEY_PLACE}
    actors |= {item[5] for item in operations if item[0] == ROTATE}
    actors |= {item[1][6][0] for item in operations if item[0] == APPLY}
    need(actors <= set(keys), "missing_signature")
    for item in conditions:
        everything = {node[1] for node in nodes(item) if node[0] == 5}
        always = dict.fromkeys(limits_of(item), True)
        could = holds(item, set(keys), everything, always)
        need(could, "missing_signature")
        need(holds(item, set(keys), set(digests), always), "missing_preimage")
    for key in keys:
        others = (set(keys) - {key}, set(digests))
        is_used = any(_is_needed(item, keys, digests, *others) for item in conditions)
        need(key in actors or is_used, "spare_signature")
    for digest_ in digests:
        others = (set(keys), set(digests) - {digest_})
        is_used = any(_is_needed(item, keys, digests, *others) for item in conditions)
        need(is_used, "spare_preimage")


def _is_needed(item: Any, keys: Any, digests: Any, fewer_keys: Any, fewer_digests: Any) -> bool:
    """Under some truth of the limits it holds with all and fails with fewer: each is tried."""
    limits = limits_of(item)
    for truth in product((False, True), repeat=len(limits)):
        assigned = dict(zip(limits, truth, strict=True))
        if holds(item, set(keys), set(digests), assigned) and not holds(
            item, fewer_keys, fewer_digests, assigned
        ):
            return True
    return False


def check_moment(item: Any, witness: Any, height: int, time_ms: int) -> None:
    """The condition holds in this block; else it will, or it will not any more."""
    keys = {entry[0] for entry in witness[1]}
    digests = {sha256(entry).digest() for entry in witness[2]}

    def at(*moment: int) -> bool:
        truth = {}
        for path in limits_of(item):
            kind, unit, value = _at(item, path)
            truth[path] = (moment[unit] >= value) == (kind == 3)
        return holds(item, keys, digests, truth)

    if at(height, time_ms):
        return
    later = [_at(item, path)[1:] for path in limits_of(item)]
    heights = {height} | {value for unit, value in later if unit == 0 and value > height}
    times = {time_ms} | {value for unit, value in later if unit == 1 and value > time_ms}
    need(not any(at(h, t) for h in heights for t in times), "not_yet")
    raise Refused("too_late")


def _check_condition(item: Any) -> None:
    need(_depth(item) <= 6, "bad_lock", "depth")
    everything = list(nodes(item))
    keys = [key for node in everything for key in _keys(node)]
    need(len(everything) <= 64, "bad_lock", "parts")
    need(len(keys) <= 16, "bad_lock", "keys")
    need(len(limits_of(item)) <= 8, "bad_lock", "limits")
    for node in everything:
        if node[0] == 2:
            need(node[1] <= len(node[2]), "bad_lock", "more than there are")
            need(all(a < b for a, b in pairwise(node[2])), "bad_lock", "order")
    for key in keys:
        need(is_canonical_key(key), "bad_key")


def _depth(item: Any) -> int:
    return 1 + max(map(_depth, item[1])) if item[0] in (6, 7) else 1


def nodes(item: Any) -> Iterator[Any]:
    yield item
    if item[0] in (6, 7):
        for part in item[1]:
            yield from nodes(part)


Path = tuple[int, ...]
"""Where a node stands: the positions of its parents and its own."""


def limits_of(item: Any, path: Path = ()) -> list[Path]:
    if item[0] in (6, 7):
        return [
            found for index, part in enumerate(item[1]) for found in limits_of(part, (*path, index))
        ]
    return [path] if item[0] in (3, 4) else []


def _at(item: Any, path: Path) -> Any:
    for index in path:
        item = item[1][index]
    return item


def _keys(node: Any) -> list[bytes]:
    return {1: lambda: [node[1]], 2: lambda: list(node[2])}.get(node[0], list)()


def holds(
    item: Any, signers: set[bytes], digests: set[bytes], truth: dict[Path, bool], path: Path = ()
) -> bool:
    """With these signatures, preimages and truths of the limits."""
    if item[0] == 1:
        return item[1] in signers
    if item[0] == 2:
        return len(signers & set(item[2])) >= item[1]
    if item[0] == 5:
        return item[1] in digests
    if item[0] in (3, 4):
        return truth[path]
    parts = [
        holds(part, signers, digests, truth, (*path, index)) for index, part in enumerate(item[1])
    ]
    return all(parts) if item[0] == 6 else any(parts)
