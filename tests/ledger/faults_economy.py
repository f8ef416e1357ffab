"""Faults of capacity, bonds, orders and keys, each with the one reason it is refused with.

As in `faults`: bytes made on the state of genesis, where each issuer has one live commitment.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger import operations as ops
from ledger.economy.attestor import AttestorGrant
from ledger.economy.regulator import RegulatorKeys
from ledger.operations import Operation
from ledger.reasons import Reason
from ledger.transaction import Fee, Output, SignedTransaction
from tests.ledger.faults import Fault
from tests.ledger.world import (
    COIN,
    DAY_MS,
    PERIOD_MS,
    TIME_MS,
    World,
    device,
    grant,
    key,
    lock_of,
    regulator_keys,
    sign,
    terms,
)

replace = msgspec.structs.replace
FEE = 9_000
HASH = b"\x07" * 32
NAME = "capacity-val0"


def economy_faults(world: World) -> list[Fault]:
    return [
        *company_faults(world),
        *capacity_faults(world),
        *attestor_faults(world),
        *holder_faults(world),
        *government_faults(world),
    ]


def by(world: World, signers: str, *operations: Operation) -> SignedTransaction:
    """Signed by the keys that operations name, without inputs."""
    return sign(world.body(operations=operations), [], signers.split())


def held(
    world: World, amount: int, *operations: Operation, coin: str = "val1"
) -> SignedTransaction:
    """Alice pays for operations that take so much of a coin."""
    spent = world.coin("alice", coin)
    change = Output(spent.asset, spent.amount - amount - FEE, lock_of("alice"))
    body = world.body([spent], [change], fee=Fee(spent.asset, FEE), operations=operations)
    return sign(body, ["alice"])


def company_faults(world: World) -> list[Fault]:
    """What the bytes show alone: who pays, who signs, what goes with what."""
    public = key("val0/operations").public
    rotation = ops.RotateKey("val0", public, 0, "treasury", key("next").public)
    bond = ops.DepositBond("val0", world.asset("val1"), COIN)
    minted = world.mint("val1", COIN).body
    stolen = replace(minted, operations=(*minted.operations, bond), outputs=())
    order = ops.LiftOrder("case", 1)
    coin = world.coin("alice", "val1")
    paid = world.body(
        [coin],
        [Output(coin.asset, coin.amount - FEE, lock_of("alice"))],
        fee=Fee(coin.asset, FEE),
        operations=[order],
    )
    rows: tuple[tuple[str, SignedTransaction, Reason], ...] = (
        (
            "application that nobody pays for",
            by(world, "new/operations", ops.Apply(grant("new"))),
            Reason.FEE_TOO_LOW,
        ),
        ("application unsigned", held(world, 0, ops.Apply(grant("new"))), Reason.MISSING_SIGNATURE),
        (
            "rotation without the new key",
            by(world, "val0/operations", rotation),
            Reason.MISSING_SIGNATURE,
        ),
        ("rotation without the old key", by(world, "next", rotation), Reason.MISSING_SIGNATURE),
        ("bond out of a mint", sign(stolen, [], ["val1/treasury"]), Reason.UNBALANCED),
        ("bond that nothing is taken for", held(world, 0, bond), Reason.UNBALANCED),
        ("order beside inputs", sign(paid, ["alice"], ["val0/operations"]), Reason.NOT_ALONE),
        (
            "order beside a commitment",
            by(world, "val0/operations", order, ops.Commit(public, 0, 0, terms("val0"))),
            Reason.NOT_ALONE,
        ),
    )
    return [Fault(name, tx.raw, reason) for name, tx, reason in rows]


def capacity_faults(world: World) -> list[Fault]:
    """Promises that cannot be made."""
    signer, public = "val0/operations", key("val0/operations").public
    good = replace(terms("val0", name="more"), region="us-east")

    def commit(number: int = 0, **changes: Any) -> Operation:
        return ops.Commit(public, 0, number, replace(good, **changes))

    def pledge(*names: str, commitment: str = NAME, version: int = 0) -> Operation:
        devices = tuple(device(name) for name in names)
        return ops.PledgeDevices("val0", public, 0, 0, commitment, version, devices)

    def amend(**changes: int) -> Operation:
        fields = {"version": 0, "microhours": 1_000_000, "to_ms": TIME_MS + 30 * DAY_MS, **changes}
        return ops.Amend("val0", public, 0, 0, NAME, **fields)

    first, second = sorted((f"new/{index}" for index in range(2)), key=device)
    late = {"from_ms": TIME_MS + DAY_MS, "to_ms": TIME_MS + 367 * DAY_MS}
    drawn = ops.OpenDevices("val0", public, 1, 0, (device("val0//0"),))
    foreign = replace(drawn, devices=(device("val1//0"),))
    rows: tuple[tuple[str, Operation, Reason], ...] = (
        ("commitment of another's number", commit(1), Reason.OPERATION_GAP),
        ("commitment of nobody", commit(issuer="nobody"), Reason.UNKNOWN_ISSUER),
        ("commitment of another", commit(issuer="val1"), Reason.WRONG_ROLE_KEY),
        ("commitment of an unknown class", commit(device_class="tpu"), Reason.UNKNOWN_CLASS),
        ("commitment of half a period", commit(to_ms=TIME_MS + 1), Reason.BAD_SCHEDULE),
        ("commitment that is over", commit(to_ms=TIME_MS), Reason.BAD_SCHEDULE),
        ("commitment too far ahead", commit(**late), Reason.BAD_SCHEDULE),
        ("commitment of no hours", commit(microhours=0), Reason.BAD_SCHEDULE),
        (
            "commitment with workloads in disorder",
            commit(workloads=("training", "inference")),
            Reason.BAD_SCHEDULE,
        ),
        ("commitment of the same name", commit(id=NAME), Reason.COMMITMENT_EXISTS),
        ("commitment of the same line", commit(region="eu-west"), Reason.OVERLAPPING_SCHEDULE),
        ("pledge to nothing", pledge("new", commitment="none"), Reason.UNKNOWN_COMMITMENT),
        ("pledge at a later version", pledge("new", version=1), Reason.WRONG_VERSION),
        ("pledge of a pledged device", pledge("val1//0"), Reason.DEVICE_PLEDGED),
        ("pledge in disorder", pledge(second, first), Reason.DEVICE_PLEDGED),
        ("amendment at a later version", amend(version=1), Reason.WRONG_VERSION),
        ("amendment to nothing else", amend(), Reason.NO_EFFECT),
        ("amendment to fewer hours", amend(microhours=999_999), Reason.BAD_SCHEDULE),
        ("amendment to an earlier end", amend(to_ms=TIME_MS + DAY_MS), Reason.BAD_SCHEDULE),
        ("opening of what is not drawn", drawn, Reason.BAD_PERIOD),
        ("opening of another's device", foreign, Reason.UNKNOWN_DEVICE),
    )
    return [
        Fault(name, by(world, signer, operation).raw, reason, needs_state=True)
        for name, operation, reason in rows
    ]


def attestor_faults(world: World) -> list[Fault]:
    """Words of those who may not say them, or at the wrong time."""
    name, signer = "att-north", "attestor/att-north"
    public = key(signer).public
    period = TIME_MS // PERIOD_MS

    def attest(
        attestor: str = name,
        commitment: str = NAME,
        born: int = 0,
        figure: int = 1,
        more_ms: int = 0,
    ) -> Operation:
        until_ms = TIME_MS + 30 * DAY_MS + more_ms
        return ops.Attest(attestor, public, 0, 0, "val0", commitment, born, until_ms, figure)

    rows: tuple[tuple[str, Operation, Reason], ...] = (
        ("attestation by nobody", attest("nobody"), Reason.UNKNOWN_ATTESTOR),
        ("attestation by another", attest("att-south"), Reason.WRONG_ROLE_KEY),
        ("attestation of nothing", attest(commitment="none"), Reason.UNKNOWN_COMMITMENT),
        ("attestation of another of its name", attest(born=1), Reason.UNKNOWN_COMMITMENT),
        ("attestation of less than before", attest(more_ms=-1), Reason.BAD_SCHEDULE),
        ("attestation of longer", attest(more_ms=1), Reason.ABOVE_COMMITMENT),
        ("attestation of too much", attest(figure=1_000_001), Reason.ABOVE_COMMITMENT),
        (
            "ruling on no challenge",
            ops.Rule(name, public, "val0", NAME, True, TIME_MS),
            Reason.UNKNOWN_CHALLENGE,
        ),
        ("nonce for this period", ops.SealNonce(name, public, period, HASH), Reason.BAD_PERIOD),
        ("nonce never sealed", ops.RevealNonce(name, public, period - 1, HASH), Reason.BAD_PERIOD),
    )
    return [
        Fault(name, by(world, signer, operation).raw, reason, needs_state=True)
        for name, operation, reason in rows
    ]


def holder_faults(world: World) -> list[Fault]:
    """Deposits and bonds."""

    def doubt(coin: str, amount: int, name: str = NAME) -> SignedTransaction:
        opened = ops.OpenChallenge("val0", name, world.asset(coin), amount, lock_of("alice"))
        return held(world, amount, opened, coin=coin)

    def deposit(issuer: str) -> SignedTransaction:
        return held(world, 5, ops.DepositBond(issuer, world.asset("val1"), 5))

    def withdraw(amount: int, coin: str = "val1") -> SignedTransaction:
        public, asset = key("val0/treasury").public, world.asset(coin)
        operation = ops.WithdrawBond("val0", public, 0, 0, asset, amount)
        body = world.body([], [Output(asset, amount, lock_of("bob"))], operations=[operation])
        return sign(body, [], ["val0/treasury"])

    rows: tuple[tuple[str, SignedTransaction, Reason], ...] = (
        ("challenge of nothing", doubt("val1", COIN, "none"), Reason.UNKNOWN_COMMITMENT),
        ("challenge in its own coin", doubt("val0", 500 * COIN), Reason.OWN_COIN),
        ("challenge for too little", doubt("val1", COIN), Reason.LOW_DEPOSIT),
        ("bond of nobody", deposit("nobody"), Reason.UNKNOWN_ISSUER),
        ("bond in its own coin", deposit("val1"), Reason.OWN_COIN),
        ("bond that is needed", withdraw(300 * COIN), Reason.SHORT_BOND),
        ("bond that is not there", withdraw(301 * COIN), Reason.SHORT_BOND),
        ("bond of another coin", withdraw(1, "val3"), Reason.SHORT_BOND),
    )
    return [Fault(name, tx.raw, reason, needs_state=True) for name, tx, reason in rows]


def government_faults(world: World) -> list[Fault]:
    """Orders, attestors and keys that government may not have so."""
    north = world.genesis.attestors[0]
    fresh = AttestorGrant("att-new", "New Lab", "new", key("attestor/att-new").public)
    public = key("val0/operations").public
    good = regulator_keys()

    def freeze(until_ms: int, *targets: bytes) -> Operation:
        return ops.FreezeOrder("case", HASH, targets or (HASH,), until_ms)

    rows: tuple[tuple[str, Operation, Reason], ...] = (
        ("order without end", freeze(TIME_MS + 91 * DAY_MS), Reason.NO_EXPIRY),
        ("order that is over", freeze(TIME_MS), Reason.NO_EXPIRY),
        ("order with targets in disorder", freeze(TIME_MS + DAY_MS, HASH, HASH), Reason.BAD_ORDER),
        ("renewal of no order", ops.RenewOrder("case", 1, TIME_MS + 1), Reason.UNKNOWN_ORDER),
        ("end of no order", ops.LiftOrder("case", 1), Reason.UNKNOWN_ORDER),
        ("attestor who is licensed", ops.AdmitAttestor(north, 1), Reason.BAD_GRANT),
        ("attestor at a later version", ops.AdmitAttestor(fresh, 1), Reason.WRONG_VERSION),
        (
            "attestor with a key of another",
            ops.AdmitAttestor(replace(fresh, key=north.key), 0),
            Reason.BAD_GRANT,
        ),
        ("removal of no attestor", ops.RemoveAttestor("nobody", 0), Reason.UNKNOWN_ATTESTOR),
        ("removal of an attestor later", ops.RemoveAttestor(north.id, 2), Reason.WRONG_VERSION),
        ("regulator at a later version", ops.RotateRegulator(1, good), Reason.WRONG_VERSION),
        (
            "regulator with too few keys",
            ops.RotateRegulator(0, RegulatorKeys(4, good.keys)),
            Reason.BAD_KEY,
        ),
        (
            "regulator with keys in disorder",
            ops.RotateRegulator(0, RegulatorKeys(1, good.keys[::-1])),
            Reason.BAD_KEY,
        ),
        (
            "regulator with a key of another",
            ops.RotateRegulator(0, RegulatorKeys(1, (public,))),
            Reason.BAD_GRANT,
        ),
        ("reinstatement of the active", ops.Reinstate("val0", 0), Reason.LICENCE_INACTIVE),
    )
    found = [(name, world.govern(operation), reason) for name, operation, reason in rows]
    validators = [f"val{index}/operations" for index in range(3)]
    admission, suspension = ops.Admit(grant("new"), 0), ops.Suspend("val0", 0)

    def signed(operation: Operation, *names: str) -> SignedTransaction:
        return world.govern(operation, approvers=names)

    quorum = Reason.NEEDS_QUORUM
    found += [
        ("admission by validators alone", signed(admission, *validators), quorum),
        ("admission by the regulator alone", signed(admission, "reg-0", "reg-1"), quorum),
        ("suspension by one regulator", signed(suspension, "reg-0"), quorum),
        (
            "suspension by both",
            signed(suspension, *validators, "reg-0", "reg-1"),
            quorum,
        ),
        ("removal by both", signed(ops.Remove("val0", 0), *validators, "reg-0", "reg-1"), quorum),
    ]
    rotations = (
        ("rotation of a seat's key", "consensus", key("next").public, Reason.BAD_ROLE),
        ("rotation of no key", "nobody", key("next").public, Reason.BAD_ROLE),
        ("rotation to a key of another", "treasury", north.key, Reason.BAD_GRANT),
    )
    names = {key("next").public: "next", north.key: f"attestor/{north.id}"}
    for what, role, new_key, reason in rotations:
        rotation = ops.RotateKey("val0", public, 0, role, new_key)
        found.append((what, by(world, f"val0/operations {names[new_key]}", rotation), reason))
    ended = ops.WindDown("val0", public, 1)
    found.append(("wind-down later", by(world, "val0/operations", ended), Reason.WRONG_VERSION))
    return [Fault(name, tx.raw, reason, needs_state=True) for name, tx, reason in found]
