"""Faults of governance, readiness and evidence, each with the one reason it is refused with.

As in `faults`: bytes made on the state of genesis, where four members hold every seat.
"""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec

from ledger.crypto import ZERO_HASH
from ledger.economy.licence import LicenceGrant
from ledger.operations import Admit, EndEpoch, Evidence, Operation, Remove, Revoke, Suspend
from ledger.reasons import Reason
from ledger.transaction import Fee, Output
from tests.ledger.faults import SMALL_ORDER_KEY, Fault, transaction_faults
from tests.ledger.faults_economy import economy_faults
from tests.ledger.world import World, grant, key, lock_of, sign

replace = msgspec.structs.replace


def all_faults(world: World) -> list[Fault]:
    """Of every operation and of transactions as such."""
    return [*transaction_faults(world), *membership_faults(world), *economy_faults(world)]


def membership_faults(world: World) -> list[Fault]:
    return [
        *shape_faults(world),
        *company_faults(world),
        *approval_faults(world),
        *licence_faults(world),
        *grant_faults(world),
        *ready_faults(world),
        *evidence_faults(world),
    ]


def shape_faults(world: World) -> list[Fault]:
    """Fields of the operations, none of which is an amount."""
    removed = world.govern(Remove("val0", 0)).raw
    admitted = world.govern(Admit(grant("new"), 0)).raw
    accused, ready = world.accuse("val0").raw, world.ready("val0").raw
    rows: tuple[tuple[str, bytes, tuple[int, ...], Any], ...] = (
        ("removal of version -1", removed, (2,), -1),
        ("removal of a licence in capitals", removed, (1,), "VAL0"),
        ("removal with a field more", removed, (), [4, "val0", 0, 0]),
        ("admission of version -1", admitted, (2,), -1),
        ("admission without a certificate", admitted, (1, 4), b""),
        ("admission with a name in another alphabet", admitted, (1, 1), "Сloud"),
        ("admission with a seat that is a number", admitted, (1, 8), 1),
        ("readiness at height -1", ready, (3,), -1),
        ("readiness with a key of 31 bytes", ready, (2,), bytes(31)),
        ("evidence with a key of 31 bytes", accused, (2,), bytes(31)),
        ("evidence with a vote of phase 3", accused, (5, 1), 3),
        ("evidence with a vote that is a number", accused, (5,), 5),
        ("evidence with a signature of 63 bytes", accused, (6,), bytes(63)),
    )
    return [
        Fault(name, _with_field(raw, path, value), Reason.MALFORMED)
        for name, raw, path, value in rows
    ]


def company_faults(world: World) -> list[Fault]:
    """Operations of the validators beside what is not theirs."""
    coin, members = world.coin("alice"), [f"val{index}/operations" for index in range(3)]
    ends, mint = EndEpoch(0), world.mint().body
    ready = world.ready("val0").body.operations
    paid = world.body(
        [coin],
        [Output(coin.asset, coin.amount - 9_000, lock_of("alice"))],
        fee=Fee(coin.asset, 9_000),
        operations=[ends],
    )
    minted = replace(mint, operations=(ends, *mint.operations))
    seated = world.body(operations=[*ready, ends])
    accused = world.body(operations=[world.evidence("val0"), ends])
    free = world.body(operations=[ends], fee=Fee(world.asset(), 5_000))
    late = replace(world.body(operations=[ends]), chain_id=ZERO_HASH)
    return [
        Fault("governance with an input", sign(paid, ["alice"], members).raw, Reason.NOT_ALONE),
        Fault(
            "governance beside a mint",
            sign(minted, [], [*members, "val0/treasury"]).raw,
            Reason.NOT_ALONE,
        ),
        Fault(
            "governance beside readiness",
            sign(seated, [], [*members, "val0/consensus"]).raw,
            Reason.NOT_ALONE,
        ),
        Fault("governance beside evidence", sign(accused, [], members).raw, Reason.NOT_ALONE),
        Fault("governance with a fee", sign(free, [], members).raw, Reason.UNBALANCED),
        Fault("governance of another chain", sign(late, [], members).raw, Reason.WRONG_CHAIN),
    ]


def approval_faults(world: World) -> list[Fault]:
    """Too few, too many and other keys under what a quorum has to carry."""
    body = world.body(operations=[EndEpoch(0)])
    names = [f"val{index}" for index in range(4)]

    def signed(*signers: str) -> bytes:
        return sign(body, [], signers).raw

    good = [f"{name}/operations" for name in names[:3]]
    consensus = [f"{name}/consensus" for name in names[:3]]
    return [
        Fault("approved by q - 1", signed(*good[:2]), Reason.NEEDS_QUORUM, True),
        Fault("approved by nobody", signed(), Reason.NEEDS_QUORUM, True),
        Fault("approved by q + 1", signed(*good, "val3/operations"), Reason.NEEDS_QUORUM, True),
        Fault("approved by a stranger", signed(*good[:2], "bob"), Reason.WRONG_ROLE_KEY, True),
        Fault("approved by consensus keys", signed(*consensus), Reason.WRONG_ROLE_KEY, True),
        Fault(
            "approved with a condition",
            sign(body, ["bob"], good).raw,
            Reason.SPARE_CONDITION,
            True,
        ),
    ]


def licence_faults(world: World) -> list[Fault]:
    """Acts on licences that are not there, or not in the state that they suppose."""
    rows: tuple[tuple[str, tuple[Operation, ...], Reason], ...] = (
        ("removal of nobody", (Remove("nobody", 0),), Reason.UNKNOWN_LICENCE),
        ("suspension of nobody", (Suspend("nobody", 0),), Reason.UNKNOWN_LICENCE),
        ("revocation of nobody", (Revoke("nobody", 0),), Reason.UNKNOWN_LICENCE),
        ("removal at a later version", (Remove("val0", 1),), Reason.WRONG_VERSION),
        ("removal twice", (Remove("val0", 0), Remove("val0", 0)), Reason.WRONG_VERSION),
        ("removal of who leaves", (Remove("val0", 0), Remove("val0", 1)), Reason.NO_SEAT),
        (
            "suspension of the suspended",
            (Suspend("val0", 0), Suspend("val0", 1)),
            Reason.LICENCE_INACTIVE,
        ),
        (
            "suspension of the revoked",
            (Revoke("val0", 0), Suspend("val0", 1)),
            Reason.LICENCE_INACTIVE,
        ),
        (
            "revocation of the revoked",
            (Revoke("val0", 0), Revoke("val0", 1)),
            Reason.LICENCE_INACTIVE,
        ),
        ("end of another epoch", (EndEpoch(1),), Reason.WRONG_EPOCH),
        ("end of an epoch twice", (EndEpoch(0), EndEpoch(0)), Reason.WRONG_EPOCH),
        ("admission of who is seated", (Admit(moved_grant("val0"), 0),), Reason.HAS_SEAT),
        (
            "admission of who leaves",
            (Remove("val0", 0), Admit(moved_grant("val0"), 1)),
            Reason.HAS_SEAT,
        ),
        ("admission at a later version", (Admit(grant("new"), 1),), Reason.WRONG_VERSION),
        (
            "admission twice",
            (Admit(grant("new"), 0), Admit(grant("new"), 0)),
            Reason.WRONG_VERSION,
        ),
        (
            "admission of the revoked",
            (
                Admit(grant("new", validator=False), 0),
                Revoke("new", 1),
                Admit(grant("new", validator=False), 2),
            ),
            Reason.LICENCE_INACTIVE,
        ),
    )
    return [
        Fault(name, world.govern(*operations).raw, reason, True)
        for name, operations, reason in rows
    ]


def grant_faults(world: World) -> list[Fault]:
    """Grants that nobody may be given."""
    good = grant("new")

    def keys(**changes: bytes) -> LicenceGrant:
        return replace(good, keys=replace(good.keys, **changes))

    rows = (
        ("another certificate", replace(good, certificate=b"another"), Reason.BAD_GRANT),
        ("an expiry in the past", replace(good, expires_ms=world.time_ms), Reason.BAD_GRANT),
        ("the name of another", replace(good, name="CLOUD VAL1"), Reason.BAD_GRANT),
        ("a key of another", keys(link=key("val2/metering").public), Reason.BAD_GRANT),
        ("one key for two roles", keys(link=good.keys.treasury), Reason.BAD_GRANT),
        ("a small-order key", keys(consensus=SMALL_ORDER_KEY), Reason.BAD_KEY),
    )
    return [
        Fault(f"grant with {name}", world.govern(Admit(item, 0)).raw, reason, True)
        for name, item, reason in rows
    ]


def ready_faults(world: World) -> list[Fault]:
    """Readiness of those that wait for no seat, or not signed by them."""
    ready = world.ready("val0")
    (operation,) = ready.body.operations
    unknown = world.body(operations=[replace(operation, licence="nobody")])
    return [
        Fault("readiness of who is seated", ready.raw, Reason.NO_SEAT, True),
        Fault(
            "readiness of nobody",
            sign(unknown, [], ["val0/consensus"]).raw,
            Reason.UNKNOWN_LICENCE,
            True,
        ),
        Fault("readiness unsigned", sign(ready.body, []).raw, Reason.MISSING_SIGNATURE),
        Fault(
            "readiness signed by the operations key",
            sign(ready.body, [], ["val0/operations"]).raw,
            Reason.MISSING_SIGNATURE,
        ),
        Fault(
            "readiness signed by two",
            sign(ready.body, [], ["val0/consensus", "val0/operations"]).raw,
            Reason.SPARE_SIGNATURE,
        ),
    ]


def evidence_faults(world: World) -> list[Fault]:
    """Votes that prove nothing, or nothing against the one they name."""
    good = world.evidence("val0")
    other = world.evidence("val1")

    def raw(item: Evidence, *signers: str) -> bytes:
        return sign(world.body(operations=[item]), [], signers).raw

    def moved(**changes: int) -> bytes:
        later = world.evidence("val0", **changes)
        return raw(replace(good, second=later.second, second_signature=later.second_signature))

    turned = replace(
        good,
        first=good.second,
        first_signature=good.second_signature,
        second=good.first,
        second_signature=good.first_signature,
    )
    same = replace(good, second=good.first, second_signature=good.first_signature)
    crossed = replace(good, second_signature=good.first_signature)
    foreign = replace(other, licence="val0")
    twice = world.body(operations=[good, good])
    return [
        Fault("evidence of one block", raw(same), Reason.NO_CONFLICT),
        Fault("evidence in descending order", raw(turned), Reason.NO_CONFLICT),
        Fault("evidence of two views", moved(view=3), Reason.NO_CONFLICT),
        Fault("evidence of two heights", moved(height=8), Reason.NO_CONFLICT),
        Fault("evidence of two phases", moved(phase=2), Reason.NO_CONFLICT),
        Fault("evidence of two epochs", moved(epoch=1), Reason.NO_CONFLICT),
        Fault("evidence with a wrong signature", raw(crossed), Reason.BAD_SIGNATURE),
        Fault(
            "evidence with a key that did not sign",
            raw(replace(good, key=other.key)),
            Reason.BAD_SIGNATURE,
        ),
        Fault("evidence signed by its sender", raw(good, "bob"), Reason.SPARE_SIGNATURE),
        Fault("evidence against nobody", raw(_renamed(good)), Reason.UNKNOWN_LICENCE, True),
        Fault("evidence by the key of another", raw(foreign), Reason.WRONG_ROLE_KEY, True),
        Fault("evidence given twice", sign(twice, []).raw, Reason.LICENCE_INACTIVE, True),
        Fault(
            "evidence of a later epoch",
            world.accuse("val0", epoch=1).raw,
            Reason.WRONG_EPOCH,
            True,
        ),
    ]


def moved_grant(name: str) -> LicenceGrant:
    """The grant of a licence with another consensus key: no seat goes over to that."""
    held = grant(name)
    return replace(held, keys=replace(held.keys, consensus=key(f"{name}/moved").public))


def _renamed(evidence: Evidence) -> Evidence:
    return replace(evidence, licence="nobody")


def _with_field(raw: bytes, path: tuple[int, ...], value: Any) -> bytes:
    """The only operation of a transaction with a field changed, or replaced whole."""
    tree = msgpack.unpackb(raw[2:])
    place, steps = tree[0][5], (0, *path)
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value
    return raw[:2] + bytes(msgpack.packb(tree))
