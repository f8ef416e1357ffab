"""A second codec, written from the protocol's description alone; it imports nothing of the node.

`SHAPES` lists every struct that the ledger hashes, signs, stores or sends. Bytes are good when they
unpack to the shape and pack to themselves again.
"""

from __future__ import annotations

from typing import Any

import msgpack

from tests.ledger.second_shape import (
    Refused,
    Shape,
    among,
    binary,
    boolean,
    coded,
    integer,
    many,
    need,
    struct,
    text,
    union,
)

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
REGULATOR_KEYS = struct(integer(1, 16), many(HASH, 1, 16))
ATTESTOR = struct(SLUG, NAME, SLUG, HASH)
WORKLOADS = many(SLUG, 1, 8)
TERMS = struct(SLUG, SLUG, SLUG, SLUG, WORKLOADS, UINT, UINT, MICROHOURS)
DEVICES = many(HASH, 1, 256)
TARGETS = many(HASH, 1, 64)
VOTES = (VOTE, SIGNATURE)
VERSION = integer(1, 2**32 - 1)
FACTOR = struct(SLUG, SLUG, integer(1, 10**9))
REFERENCE = struct(SLUG, integer(1, 2**40))
RECEIPT = struct(HASH, UINT, AMOUNT, UINT, HASH)
ENDPOINT = text(r"[!-~]*", 128)
ON_ORDER = (SLUG, HASH, HASH)
_FIELDS: dict[int, tuple[str, tuple[Shape, ...]]] = {
    1: ("Mint", (SLUG, HASH, LANE, UINT, AMOUNT)),
    2: ("Burn", (HASH, AMOUNT)),
    3: ("Admit", (GRANT, UINT)),
    4: ("Remove", (SLUG, UINT)),
    5: ("Suspend", (SLUG, UINT)),
    6: ("Revoke", (SLUG, UINT)),
    7: ("EndEpoch", (UINT,)),
    8: ("ValidatorReady", (SLUG, HASH, UINT, HASH)),
    9: ("Evidence", (SLUG, HASH, *VOTES, *VOTES)),
    10: ("Apply", (GRANT,)),
    11: ("Reinstate", (SLUG, UINT)),
    12: ("WindDown", (SLUG, HASH, UINT)),
    13: ("RotateKey", (SLUG, HASH, UINT, SLUG, HASH)),
    14: ("RotateRegulator", (UINT, REGULATOR_KEYS)),
    15: ("AdmitAttestor", (ATTESTOR, UINT)),
    16: ("RemoveAttestor", (SLUG, UINT)),
    17: ("Commit", (HASH, LANE, UINT, TERMS)),
    18: ("PledgeDevices", (SLUG, HASH, LANE, UINT, SLUG, UINT, DEVICES)),
    19: ("Amend", (SLUG, HASH, LANE, UINT, SLUG, UINT, MICROHOURS, UINT)),
    20: ("Attest", (SLUG, HASH, LANE, UINT, SLUG, SLUG, UINT, UINT, MICROHOURS)),
    21: ("OpenChallenge", (SLUG, SLUG, HASH, AMOUNT, HASH)),
    22: ("Rule", (SLUG, HASH, SLUG, SLUG, boolean, UINT)),
    23: ("SealNonce", (SLUG, HASH, UINT, HASH)),
    24: ("RevealNonce", (SLUG, HASH, UINT, HASH)),
    25: ("OpenDevices", (SLUG, HASH, UINT, UINT, DEVICES)),
    26: ("DepositBond", (SLUG, HASH, AMOUNT)),
    27: ("WithdrawBond", (SLUG, HASH, LANE, UINT, HASH, AMOUNT)),
    28: ("FreezeOrder", (SLUG, HASH, TARGETS, UINT)),
    29: ("RenewOrder", (SLUG, UINT, UINT)),
    30: ("LiftOrder", (SLUG, UINT)),
    31: ("Redeem", (SLUG, SLUG, SLUG, AMOUNT, HASH, HASH, UINT, UINT, UINT)),
    32: ("CancelRedemption", ON_ORDER),
    33: ("AcceptRedemption", ON_ORDER),
    34: ("ReadyRedemption", (*ON_ORDER, ENDPOINT, HASH)),
    35: ("PostReceipt", (SLUG, HASH, RECEIPT, HASH, SIGNATURE)),
    36: ("CloseRedemption", ON_ORDER),
    37: ("DisputeRedemption", (*ON_ORDER, AMOUNT_OR_ZERO, HASH, AMOUNT, HASH)),
    38: ("RuleRedemption", (SLUG, HASH, HASH, boolean)),
    41: ("ProposeStandard", (VERSION, many(REFERENCE, 0, 64), many(FACTOR, 0, 64))),
    42: ("WithdrawStandard", (UINT,)),
}
OPERATIONS: dict[str, Shape] = {
    name: struct(integer(number, number), *fields) for number, (name, fields) in _FIELDS.items()
}
OPERATION = union(dict(zip(_FIELDS, OPERATIONS.values(), strict=True)), "unknown_operation")
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
FACTORS = many(FACTOR, 1, 256)
REFERENCES = many(REFERENCE, 1, 64)
STANDARD = struct(VERSION, FACTORS, REFERENCES, UINT)
ATTESTATION = struct(SLUG, MICROHOURS, UINT, UINT, many(struct(MICROHOURS, UINT), 0, 1))
SIGNED = struct(SLUG, MICROHOURS, SIGNATURE)
FOUNDING = struct(TERMS, many(HASH, 0, 10_000), many(SIGNED, 0, 16))
MINUTE, DAY = 60_000, 86_400_000
WEEK, MONTH, HALF_YEAR, YEAR = (integer(MINUTE, days * DAY) for days in (7, 30, 180, 365))
ECONOMY = struct(
    integer(10_000, 250_000),
    integer(1_000, 10**6),
    integer(50_000, 500_000),
    integer(1_000, 100_000),
    *(MONTH, WEEK, MONTH, MONTH, MONTH, HALF_YEAR, HALF_YEAR, HALF_YEAR, MONTH, HALF_YEAR),
    integer(MINUTE, 3_650 * DAY),
    HALF_YEAR,
    integer(59, 1_000),
    *(WEEK, WEEK, integer(1_000, 3_600_000)),
    *(integer(1_000, 200_000), integer(1_000, 200_000), MONTH),
    integer(0, 400_000),
    *(YEAR, YEAR),
    integer(10_000, 10**6),
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
    ECONOMY,
)
ROTATION = struct(SLUG, HASH, UINT)
CHANGE = struct(REGULATOR_KEYS, UINT)
KEPT = struct(UINT, UINT)
PANEL_VOTE = struct(SLUG, boolean)
SEALED = struct(SLUG, HASH, HASH)
FROZEN_BY = struct(SLUG, UINT)
FOUNDING_BOND = struct(SLUG, SLUG, AMOUNT)
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
    **OPERATIONS,
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
    "Reference": REFERENCE,
    "Standard": STANDARD,
    "PastStandard": struct(STANDARD, UINT),
    "StandardStep": struct(integer(1, 2), VERSION, UINT, UINT, FACTORS, REFERENCES),
    "RoleKeys": ROLE_KEYS,
    "LicenceGrant": GRANT,
    "Rotation": ROTATION,
    "Licence": struct(
        *(GRANT, integer(1, 7), UINT, integer(0, 4), UINT, UINT, integer(0, 4)),
        *(many(ROTATION, 0, 3), UINT, UINT),
    ),
    "RegulatorKeys": REGULATOR_KEYS,
    "RegulatorChange": CHANGE,
    "Regulator": struct(UINT, REGULATOR_KEYS, many(CHANGE, 0, 1)),
    "AttestorGrant": ATTESTOR,
    "Attestor": struct(ATTESTOR, boolean, UINT, UINT),
    "LowerFigure": struct(MICROHOURS, UINT),
    "Attestation": ATTESTATION,
    "CommitmentTerms": TERMS,
    "CapacityCommitment": struct(
        *(TERMS, integer(1, 4), UINT, UINT, UINT, UINT),
        *(many(ATTESTATION, 0, 16), UINT, UINT, UINT, UINT),
    ),
    "Device": struct(HASH, SLUG, SLUG, UINT, UINT, UINT, UINT),
    "Vote": PANEL_VOTE,
    "Challenge": struct(
        *(SLUG, SLUG, HASH, AMOUNT, AMOUNT, HASH, UINT),
        *(many(SLUG, 0, 5), many(PANEL_VOTE, 0, 5), UINT),
    ),
    "Sealed": SEALED,
    "AuditRound": struct(UINT, many(SEALED, 0, 64)),
    "Opening": struct(UINT, SLUG, HASH, UINT, UINT, UINT),
    "Bond": struct(SLUG, HASH, AMOUNT),
    "Order": struct(SLUG, HASH, TARGETS, UINT, UINT),
    "FrozenBy": FROZEN_BY,
    "Freeze": struct(HASH, many(FROZEN_BY, 1, 8)),
    "Due": struct(UINT, among(*range(1, 11), 20), binary(0, 128)),
    "Used": struct(UINT, HASH),
    "EconomyParameters": ECONOMY,
    "AttestationStatement": struct(SLUG, MICROHOURS, TERMS, HASH),
    "SignedAttestation": SIGNED,
    "GenesisCommitment": FOUNDING,
    "GenesisBond": FOUNDING_BOND,
    "Reserve": struct(
        *(HASH, SLUG, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO, integer(1, 4)),
        *(UINT, boolean, UINT, AMOUNT_OR_ZERO, UINT),
        *(AMOUNT_OR_ZERO, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO),
    ),
    "Receipt": RECEIPT,
    "Redemption": struct(
        *(HASH, SLUG, SLUG, SLUG, HASH, AMOUNT, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO),
        *(integer(1, 12), UINT, boolean, HASH, HASH, integer(1, 10**9), integer(1, 2**40)),
        *(integer(0, 2**40), UINT, UINT, UINT, UINT, ENDPOINT, HASH, UINT, UINT, HASH),
    ),
    "Dispute": struct(
        *(HASH, boolean, AMOUNT_OR_ZERO, HASH, AMOUNT, HASH, UINT),
        *(many(SLUG, 0, 5), many(PANEL_VOTE, 0, 5), UINT),
    ),
    "Conduct": struct(SLUG, UINT, UINT, UINT, UINT, AMOUNT_OR_ZERO, AMOUNT_OR_ZERO),
    "Kept": KEPT,
    "Book": struct(SLUG, SLUG, many(KEPT, 0, 169), UINT, UINT, UINT, UINT, UINT),
    "Place": struct(HASH),
    "ResidualClaim": struct(SLUG, HASH, AMOUNT),
    "Throughput": struct(SLUG, SLUG, UINT, UINT),
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
        REFERENCES,
        REGULATOR_KEYS,
        many(ATTESTOR, 0, 64),
        many(GRANT, 0, 64),
        many(FOUNDING, 0, 1_024),
        many(FOUNDING_BOND, 0, 4_096),
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
    "Regulator": 44,
    "Device": 45,
    "Bond": 46,
    "Challenge": 47,
    "AuditRound": 48,
    "Opening": 49,
    "Order": 50,
    "Freeze": 51,
    "Due": 52,
    "Used": 53,
    "StandardStep": 59,
    "PastStandard": 68,
    "Redemption": 54,
    "Dispute": 55,
    "Conduct": 56,
    "Book": 57,
    "ResidualClaim": 58,
    "Place": 70,
    "Throughput": 71,
}


def write_payload(name: str, value: Any) -> bytes:
    """The bytes of a value that has the shape."""
    SHAPES[name](value)
    return bytes(msgpack.packb(value, use_bin_type=True))


def write(name: str, value: Any) -> bytes:
    """With the type byte and the version byte in front."""
    return bytes((TYPE_BYTES[name], 1)) + write_payload(name, value)


def unpack(data: bytes) -> Any:
    """The value of bytes that `write` made: it had the shape then. Each time another one, that
    whoever reads it may change."""
    return msgpack.unpackb(data[2:], raw=False, strict_map_key=True, use_list=True)


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
