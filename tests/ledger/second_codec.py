"""A second codec, written from the protocol's description alone; it imports nothing of the node.

Shapes are small objects that check an untyped MessagePack value; `SHAPES` lists every struct that
the ledger hashes, signs, stores or sends. Bytes are good when they unpack to the shape and pack
to themselves again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgpack

Shape = Callable[[Any], None]


class Refused(Exception):
    """Bad input, with the reason code."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


def digest(name: str, *parts: bytes) -> bytes:
    """SHA-256 over the tag and the parts, each behind its length."""
    tag = b"marsa/1/" + name.encode()
    data = bytes([len(tag)]) + tag
    for part in parts:
        data += len(part).to_bytes(4, "big") + part
    return sha256(data).digest()


def need(condition: bool, code: str = "malformed", detail: str = "") -> None:
    if not condition:
        raise Refused(code, detail)


def integer(low: int, high: int, code: str = "malformed") -> Shape:
    def check(value: Any) -> None:
        need(type(value) is int and low <= value <= high, code, repr(value))

    return check


def binary(low: int, high: int | None = None, code: str = "malformed") -> Shape:
    def check(value: Any) -> None:
        need(type(value) is bytes and low <= len(value) <= (high or low), code, repr(value))

    return check


def text(pattern: str, longest: int) -> Shape:
    def check(value: Any) -> None:
        good = type(value) is str and re.fullmatch(pattern, value) and len(value) <= longest
        need(bool(good), detail=repr(value))

    return check


def boolean(value: Any) -> None:
    need(type(value) is bool, detail=repr(value))


def many(item: Shape, low: int, high: int) -> Shape:
    def check(value: Any) -> None:
        need(type(value) is list and low <= len(value) <= high)
        for entry in value:
            item(entry)

    return check


def struct(*fields: Shape) -> Shape:
    def check(value: Any) -> None:
        need(type(value) is list and len(value) == len(fields))
        for field, entry in zip(fields, value, strict=True):
            field(entry)

    return check


def union(shapes: dict[int, Shape], code: str) -> Shape:
    """A struct that begins with its number."""

    def check(value: Any) -> None:
        need(type(value) is list and bool(value))
        tag = value[0]
        need(type(tag) is int and tag in shapes, code, repr(tag))
        shapes[tag](value)

    return check


def coded(shape: Shape, code: str) -> Shape:
    """Whatever is wrong inside has one reason."""

    def check(value: Any) -> None:
        try:
            shape(value)
        except Refused as error:
            raise Refused(code, str(error)) from None

    return check


SLUG = text(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", 32)
NAME = text(r"[!-~](?:[ -~]{0,62}[!-~])?", 64)
HASH = binary(32)
SIGNATURE = binary(64)
UINT = integer(0, 2**63 - 1)
AMOUNT = integer(1, 2**62 - 1, "bad_amount")
AMOUNT_OR_ZERO = integer(0, 2**62 - 1, "bad_amount")
INDEX = integer(0, 2**32 - 1)
LANE = integer(0, 255)
CERTIFICATE = binary(1, 2048)
MICROHOURS = integer(0, 2**40)
PATH = many(HASH, 0, 63)


def condition(value: Any) -> None:
    """Seven types; the last two hold conditions."""
    parts = many(condition, 1, 16)
    limit = struct(integer(0, 7), integer(0, 1), integer(1, 2**53 - 1))
    union(
        {
            1: struct(integer(1, 1), HASH),
            2: struct(integer(2, 2), integer(1, 16), many(HASH, 1, 16)),
            3: limit,
            4: limit,
            5: struct(integer(5, 5), HASH),
            6: struct(integer(6, 6), parts),
            7: struct(integer(7, 7), parts),
        },
        "malformed",
    )(value)


INPUT = struct(HASH, INDEX, HASH, AMOUNT)
OUTPUT = struct(HASH, AMOUNT, HASH)
FEE = struct(HASH, AMOUNT_OR_ZERO)
ROLE_KEYS = struct(HASH, HASH, HASH, HASH, HASH)
GRANT = struct(SLUG, NAME, NAME, HASH, CERTIFICATE, HASH, ROLE_KEYS, UINT, boolean, boolean)
VOTE = struct(UINT, integer(1, 2), UINT, UINT, HASH)
MINT = struct(integer(1, 1), SLUG, HASH, LANE, UINT, AMOUNT)
BURN = struct(integer(2, 2), HASH, AMOUNT)
ADMIT = struct(integer(3, 3), GRANT, UINT)
REMOVE = struct(integer(4, 4), SLUG, UINT)
SUSPEND = struct(integer(5, 5), SLUG, UINT)
REVOKE = struct(integer(6, 6), SLUG, UINT)
END_EPOCH = struct(integer(7, 7), UINT)
READY = struct(integer(8, 8), SLUG, HASH, UINT, HASH)
EVIDENCE = struct(integer(9, 9), SLUG, HASH, VOTE, SIGNATURE, VOTE, SIGNATURE)
OPERATION = union(
    {
        1: MINT,
        2: BURN,
        3: ADMIT,
        4: REMOVE,
        5: SUSPEND,
        6: REVOKE,
        7: END_EPOCH,
        8: READY,
        9: EVIDENCE,
    },
    "unknown_operation",
)
TRANSACTION = struct(
    integer(1, 1, "unsupported_version"),
    HASH,
    many(INPUT, 0, 64),
    many(OUTPUT, 0, 64),
    FEE,
    many(OPERATION, 0, 16),
    UINT,
    binary(0, 256, "memo_too_long"),
)
KEY_SIGNATURE = struct(HASH, SIGNATURE)
WITNESS = struct(
    many(coded(condition, "bad_lock"), 0, 64),
    many(KEY_SIGNATURE, 0, 64),
    many(binary(0, 64), 0, 64),
)
HEADER = struct(
    integer(1, 1), HASH, UINT, UINT, HASH, HASH, HASH, HASH, HASH, HASH, HASH, UINT, HASH
)
FACTOR = struct(SLUG, SLUG, integer(1, 10**9))
FACTORS = many(FACTOR, 1, 256)
ATTESTOR = struct(SLUG, NAME, SLUG, HASH)
ATTESTATION = struct(SLUG, MICROHOURS, SIGNATURE)
WORKLOADS = many(SLUG, 1, 8)
COMMITMENT = struct(
    SLUG,
    SLUG,
    SLUG,
    SLUG,
    WORKLOADS,
    UINT,
    UINT,
    MICROHOURS,
    many(ATTESTATION, 0, 16),
)
PARAMETERS = struct(
    integer(1, 10**6),
    integer(1, 10**6),
    integer(1, 10**6),
    integer(0, 400_000),
    integer(60_000, 86_400_000),
    integer(2, 16),
    integer(1, 4),
    integer(1, 1_000),
    integer(100, 30_000),
    integer(100, 60_000),
    integer(100, 60_000),
    integer(1, 10**6),
    integer(1_000, 7 * 24 * 3_600_000),
)
MEMBER = struct(HASH, SLUG)
AUTHORITY = struct(CERTIFICATE, HASH)
ALLOCATION = struct(SLUG, AMOUNT, text(r"[ -~]*", 90))
OBJECT_LEAF = struct(HASH, HASH)

OUTPUT_ENTRY = struct(HASH, AMOUNT, HASH, UINT, UINT, binary(16))
OUT_POINT = struct(HASH, INDEX)
LIST_PROOF = struct(UINT, UINT, PATH)
SPENT_PROOF = struct(UINT, binary(128), PATH)
STATE_ROOTS = struct(HASH, UINT, HASH, HASH, HASH)

FINALITY = struct(
    UINT, integer(1, 2), UINT, UINT, HASH, integer(0, 2**32 - 1), many(SIGNATURE, 0, 32)
)
UNSPENT = struct(OUT_POINT, OUTPUT_ENTRY)
STORED_OBJECT = struct(binary(0, 256), binary(0, 65_536))

SHAPES: dict[str, Shape] = {
    "OutPoint": OUT_POINT,
    "Input": INPUT,
    "Output": OUTPUT,
    "Fee": FEE,
    "Mint": MINT,
    "Burn": BURN,
    "Admit": ADMIT,
    "Remove": REMOVE,
    "Suspend": SUSPEND,
    "Revoke": REVOKE,
    "EndEpoch": END_EPOCH,
    "ValidatorReady": READY,
    "Evidence": EVIDENCE,
    "Transaction": TRANSACTION,
    "KeySignature": KEY_SIGNATURE,
    "Witness": WITNESS,
    "SealedTransaction": struct(TRANSACTION, WITNESS),
    **dict.fromkeys(("Key", "Threshold", "After", "Before", "HashLock", "All", "Any"), condition),
    "Header": HEADER,
    "Block": struct(HEADER, many(binary(1, 16_384), 0, 2_000)),
    "VotePayload": VOTE,
    "Certificate": FINALITY,
    "OutputEntry": OUTPUT_ENTRY,
    "Member": MEMBER,
    "ValidatorSet": struct(UINT, many(MEMBER, 0, 32)),
    "MerkleProof": LIST_PROOF,
    "OutputProof": LIST_PROOF,
    "SpentProof": SPENT_PROOF,
    "ObjectLeaf": OBJECT_LEAF,
    "ObjectProof": struct(many(HASH, 0, 256), many(OBJECT_LEAF, 0, 1)),
    "StateRoots": STATE_ROOTS,
    "TransactionProof": struct(HEADER, LIST_PROOF),
    "UnspentProof": struct(HEADER, OUT_POINT, OUTPUT_ENTRY, LIST_PROOF, SPENT_PROOF, STATE_ROOTS),
    "Boundary": struct(HEADER, FINALITY, many(MEMBER, 0, 32)),
    "Manifest": struct(HEADER, FINALITY, STATE_ROOTS),
    "Unspent": UNSPENT,
    "OutputChunk": struct(PATH, SPENT_PROOF, many(HASH, 0, 1_024), many(UNSPENT, 0, 1_024)),
    "StoredObject": STORED_OBJECT,
    "ObjectChunk": struct(many(HASH, 0, 52), many(STORED_OBJECT, 0, 4_096), many(HASH, 0, 2)),
    "LedgerClock": struct(UINT),
    "FeePot": struct(UINT, HASH, AMOUNT_OR_ZERO),
    "Epoch": struct(UINT, UINT, HASH, UINT, boolean, many(MEMBER, 0, 32), many(HASH, 0, 32)),
    "Parameters": PARAMETERS,
    "Factor": FACTOR,
    "Standard": struct(integer(1, 2**32 - 1), FACTORS),
    "RoleKeys": ROLE_KEYS,
    "LicenceGrant": GRANT,
    "Licence": struct(GRANT, integer(1, 4), UINT, integer(0, 4), UINT),
    "Attestor": ATTESTOR,
    "Attestation": ATTESTATION,
    "CapacityCommitment": COMMITMENT,
    "AttestationStatement": struct(
        SLUG, MICROHOURS, SLUG, SLUG, SLUG, SLUG, WORKLOADS, UINT, UINT, MICROHOURS
    ),
    "Reserve": struct(HASH, SLUG, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO),
    "SupplyLine": struct(HASH, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO, UINT, UINT),
    "Lane": struct(SLUG, SLUG, LANE, UINT),
    "Authority": AUTHORITY,
    "Allocation": ALLOCATION,
    "Genesis": struct(
        integer(1, 1),
        text("main|test|devnet", 6),
        HASH,
        UINT,
        AUTHORITY,
        PARAMETERS,
        FACTORS,
        many(ATTESTOR, 0, 64),
        many(GRANT, 0, 64),
        many(COMMITMENT, 0, 1_024),
        many(ALLOCATION, 0, 4_096),
    ),
}
TYPE_BYTES = {
    "SealedTransaction": 1,
    "Header": 2,
    "Block": 3,
    "Certificate": 4,
    "OutputEntry": 5,
    "Manifest": 10,
    "OutputChunk": 11,
    "ObjectChunk": 12,
    "Boundary": 13,
    "LedgerClock": 32,
    "FeePot": 33,
    "Parameters": 34,
    "Standard": 35,
    "Licence": 36,
    "Attestor": 37,
    "CapacityCommitment": 38,
    "Reserve": 39,
    "Lane": 40,
    "Genesis": 41,
    "Epoch": 42,
}


def write_payload(name: str, value: Any) -> bytes:
    """The bytes of a value that has the shape."""
    SHAPES[name](value)
    return bytes(msgpack.packb(value, use_bin_type=True))


def write(name: str, value: Any) -> bytes:
    """With the type byte and the version byte in front."""
    return bytes((TYPE_BYTES[name], 1)) + write_payload(name, value)


def read_payload(name: str, data: bytes) -> Any:
    """The value, when the bytes are the one encoding of one."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True)
    except msgpack.ExtraData as error:
        raise Refused("trailing_bytes", str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Refused("malformed", repr(error)) from None
    SHAPES[name](value)
    need(msgpack.packb(value, use_bin_type=True) == data, "non_canonical", name)
    return value


def read(name: str, data: bytes, size_max: int) -> Any:
    need(len(data) <= size_max, "too_large", str(len(data)))
    need(len(data) >= 2 and data[0] == TYPE_BYTES[name], "malformed", "type byte")
    need(data[1] == 1, "unsupported_version", str(data[1]))
    return read_payload(name, data[2:])
